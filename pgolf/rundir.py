"""Run directories: their names, and the state of a run as its files describe it. There is no daemon and no database."""

import re
import shutil
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from pgolf import run_files
from pgolf.errors import MachineError, RunDamaged, UsageError
from pgolf.run_reading import naming_damage, read_any_result, read_if_any, read_or_empty, read_present, read_rows_if_any
from trainer.recipe.files import RunFiles
from trainer.recipe.locks import is_locked
from trainer.recipe.reading import open_regular
from trainer.recipe.writing import write_json, write_once, write_whole

State = Literal["prepared", "queued", "running", "unfetched", "stopped", "failed", "finished"]
# Of a log that is read at once: it may be one of others.
LOG_PART_BYTES = 1 << 20
SEED_FOLDER = re.compile(r"seed-(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The directory of one seed of one experiment."""

    root: Path

    @property
    def files(self) -> RunFiles:
        return RunFiles(self.root)

    @property
    def run_id(self) -> str:
        """Folder names of the experiment and the seed, fixed before the run starts."""
        return f"{self.root.parent.name}/{self.root.name}"

    @property
    def remote_id(self) -> str:
        """Name of the run on other machines. A random token tells it from the same run id of other runs folders."""
        token = self.read_run().get("token")
        return self.run_id if token is None else f"{self.run_id}-{token}"

    @property
    def handle(self) -> Path:
        """What the launcher needs to find the job again."""
        return self.root / "handle.json"

    @property
    def preflight(self) -> Path:
        """The findings of preflight when the run was launched."""
        return self.root / "preflight.json"

    @property
    def seed(self) -> int:
        return seed_and_attempt(self.root)[0]

    @property
    def attempt(self) -> int:
        """Number of the attempt: 0 for the first, one more for each --fresh."""
        return seed_and_attempt(self.root)[1]

    @property
    def order(self) -> tuple[int, str]:
        """Sort key of attempts at one seed, oldest first: by number, then by when they were created.

        Times of files are no part of it: copying a runs folder changes them.
        """
        return self.attempt, self.created

    @property
    def created(self) -> str:
        """When the run was created, in UTC as ISO 8601; empty if run.json does not say it."""
        with suppress(RunDamaged):
            return str(self.read_run().get("created", ""))
        return ""

    @property
    def is_finished(self) -> bool:
        return self.files.result.exists()

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last attempt as its files show it; None if they do not."""
        return 0 if self.is_finished else self.read_state().get("exit_code")

    @property
    def is_alive(self) -> bool:
        """Return whether a trainer holds the lock of the directory. Asking does not disturb the trainer."""
        return is_locked(self.files.lock)

    @property
    def state(self) -> State:
        """State of the run as its files describe it; "unfetched" if it has finished and its files are elsewhere."""
        if self.is_finished:
            return "finished"
        if self.is_alive:
            return "running"
        if (remote := self.remote_state) is not None:
            return remote
        phase = self.read_state().get("phase")
        if phase == "failed":
            return "failed"
        if phase == "finished" and read_or_empty(self.handle).get("state") == "ended":
            return "unfetched"
        return "prepared" if phase is None else "stopped"

    @property
    def remote_state(self) -> Literal["queued", "running"] | None:
        """State in which a job elsewhere was last seen, unless it had ended; None for all other runs."""
        state = read_or_empty(self.handle).get("state")
        return state if state in ("queued", "running") else None

    def read_state(self) -> dict[str, Any]:
        """Return state.json, empty before the trainer has written it.

        A damaged one counts as none: it only reports, and must not keep a run from being resumed.
        """
        with suppress(RunDamaged):
            return cast(dict[str, Any], read_if_any(self.files.state, run_files.State) or {})
        return {}

    def read_run(self) -> dict[str, Any]:
        """Return run.json, empty if there is none.

        Raises:
            RunDamaged: it is not what a run begins with.
        """
        return cast(dict[str, Any], read_if_any(self.files.run, run_files.RunDocument) or {})

    def read_spec(self) -> run_files.SpecDocument:
        """Return spec.json.

        Raises:
            RunDamaged: it is missing or is not a spec.
        """
        return read_present(self.files.spec, run_files.SpecDocument)

    def read_handle(self) -> dict[str, Any]:
        """Return handle.json, empty if the run was never launched.

        Raises:
            RunDamaged: it is not a handle.
        """
        return cast(dict[str, Any], read_if_any(self.handle, run_files.HandleDocument) or {})

    def read_result(self) -> dict[str, Any]:
        """Return result.json of a finished run.

        Raises:
            RunDamaged: it is missing or is not a result.
        """
        return cast(dict[str, Any], read_any_result(self.files.result))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the logged steps, up to a last line that is only half written.

        Raises:
            RunDamaged: a line is not a logged step.
        """
        return cast(list[dict[str, Any]], read_rows_if_any(self.files.metrics, run_files.MetricsRow))

    def read_attempts(self) -> list[float]:
        """Return the seconds of each attempt on a rented machine; empty for local runs.

        Raises:
            RunDamaged: a line is not an attempt.
        """
        return [row["seconds"] for row in read_rows_if_any(self.files.attempts, run_files.Attempt)]

    def check_documents(self) -> None:
        """Check what says which run this is and where it stands.

        Raises:
            RunDamaged: a file is damaged; names it and its key.
        """
        read_present(self.files.run, run_files.RunDocument)
        self.read_spec()
        self.read_handle()
        read_if_any(self.files.state, run_files.State)
        if self.is_finished:
            self.read_result()

    def create(
        self,
        spec: dict[str, Any],
        run: dict[str, Any],
        preflight: dict[str, Any],
        local: Mapping[str, Path] | None = None,
        program: bytes | None = None,
    ) -> None:
        """Write all files that a trainer needs. run.json comes last: with it the directory is complete.

        `local` are the user's own code files by name, which are copied; `program` is the bundle.

        Raises:
            MachineError: a file cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for name, file in (local or {}).items():
                copy = self.files.local / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
            if program is not None:
                self.files.artifact.mkdir(exist_ok=True)
                write_whole(self.files.program, program)
            write_json(self.files.spec, spec)
            write_json(self.preflight, preflight)
            write_once(self.files.run, run | {"created": datetime.now(UTC).isoformat(timespec="microseconds")})
        except OSError as error:
            raise MachineError.from_os_error(error, self.root) from error


def seed_and_attempt(root: Path) -> tuple[int, int]:
    """Return seed and attempt of a run folder.

    Raises:
        UsageError: it does not have the name of one.
    """
    found = SEED_FOLDER.fullmatch(root.name)
    if found is None:
        raise UsageError(f"{root} is not a run folder: its name should look like seed-1337 or seed-1337.1")
    return int(found[1]), int(found[2] or 0)


def find_runs(runs_dir: Path) -> list[RunDirectory]:
    """Return all runs of a runs folder, sorted by name."""
    folders = sorted(path.parent for path in runs_dir.glob("*/seed-*/run.json"))
    return [RunDirectory(folder) for folder in folders if SEED_FOLDER.fullmatch(folder.name)]


def usable_results(runs_dir: Path) -> Iterator[tuple[RunDirectory, dict[str, Any]]]:
    """Yield the finished runs of a runs folder with their results, without those that are damaged."""
    for run in find_runs(runs_dir):
        if run.is_finished:
            with suppress(RunDamaged):
                yield run, run.read_result()


def newest_run(runs_dir: Path) -> RunDirectory | None:
    """Return the run that was created last, by `created` in run.json, or None if there are no runs."""
    return max(find_runs(runs_dir), key=lambda run: (run.created, run.attempt), default=None)


def find_run(reference: str, runs_dir: Path) -> RunDirectory:
    """Return the run named by its folder, its run id or a unique part of its id.

    Raises:
        UsageError: no run has this name, or several do; lists the candidates.
    """
    matching = matching_runs(reference, runs_dir)
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(run.run_id for run in matching or find_runs(runs_dir)) or "none"
    wanted = "more than one run matches" if matching else "no such run"
    raise UsageError(f"{reference}: {wanted} in {runs_dir}; candidates: {names}")


def matching_runs(reference: str, runs_dir: Path) -> list[RunDirectory]:
    """Return the run in a folder, or the runs whose id contains a text."""
    for path in (Path(reference), runs_dir / reference):
        if (path / "run.json").is_file():
            return [RunDirectory(path.resolve())]
    return [run for run in find_runs(runs_dir) if reference in run.run_id]


def attempts(folder: Path, seed: int) -> list[RunDirectory]:
    """Return the attempts at a seed, oldest first."""
    found = [RunDirectory(path) for path in folder.glob(f"seed-{seed}*") if SEED_FOLDER.fullmatch(path.name)]
    return sorted((run for run in found if run.seed == seed), key=lambda run: run.attempt)


def run_folder(runs_dir: Path, name: str, spec_sha256: str, parent_sha256: str | None = None) -> Path:
    """Return the folder of all seeds of an experiment; `parent_sha256` is that of the run whose weights it inherits."""
    origin = "" if parent_sha256 is None else f"-from-{parent_sha256[:8]}"
    return runs_dir / f"{name}-{spec_sha256[:8]}{origin}"


def new_attempt(folder: Path, seed: int) -> RunDirectory:
    """Return the run directory of the next attempt at a seed."""
    earlier = attempts(folder, seed)
    suffix = f".{earlier[-1].attempt + 1}" if earlier else ""
    return RunDirectory(folder / f"seed-{seed}{suffix}")


def follow_file(path: Path, has_growth: Iterator[bool]) -> Iterator[str]:
    """Yield the lines of a file as they are written; `has_growth` yields whether there may be more.

    Raises:
        RunDamaged: it is no regular file.
    """
    position, rest, decoder = 0, "", getincrementaldecoder("utf-8")("replace")
    for may_grow in has_growth:
        if path.exists():
            with naming_damage(), open_regular(path) as file:
                file.seek(position)
                while content := file.read(LOG_PART_BYTES):
                    position += len(content)
                    *complete, rest = (rest + decoder.decode(content)).split("\n")
                    yield from complete
                    if len(rest) > LOG_PART_BYTES:  # a line without end
                        yield rest
                        rest = ""
        if not may_grow:
            break
        time.sleep(0.2)
    if rest:
        yield rest
