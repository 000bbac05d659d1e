"""What all tests share: a cache folder of their own, a fork server, the pgolf command, and finished runs."""

import json
import os
import signal
import subprocess
import sys
import threading
import venv
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import pytest
from filelock import FileLock

from pgolf.cli.app import main
from pgolf.rundir import RunDirectory
from tests.forked import fork_server, real_processes

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"
TRAINER_TESTS = Path(__file__).parent / "trainer"
Pgolf = Callable[..., "Ended"]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let workers of `-n` take tests from each other; as an option in pyproject.toml this would need xdist."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    """Keep each worker and its children on one core: trainers whose threads share cores slow each other down.

    Restore Ctrl-C, too, which a shell that starts pytest in the background has it ignore, and have hypothesis write
    elsewhere than into the checkout.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker:
        folder = TemporaryDirectory(prefix="pgolf-hypothesis-")
        config.add_cleanup(folder.cleanup)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder.name
        # As trainer/__main__.py sets it: a fork whose OpenMP settings differ from the server's is a real process.
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if is_worker or not getattr(config.option, "numprocesses", None):  # workers inherit the cores of their controller
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[worker_number() % len(cores)]})
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Refuse a module outside tests/trainer that imports torch at its top, which takes every run two seconds."""
    had_torch = "torch" in sys.modules
    report = yield
    is_foreign = isinstance(collector, pytest.Module) and TRAINER_TESTS not in collector.path.parents
    if is_foreign and not had_torch and "torch" in sys.modules:
        report.outcome, report.longrepr = "failed", f"{collector.path} imports torch at its top; import it in the tests"
    return report


def worker_number() -> int:
    """Return the number of this worker; 0 where tests run in pytest's own process."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker a core."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of this test session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session", autouse=True)
def own_cache(session_folder: Path) -> None:
    """Keep the user's caches out of the tests, and assume no terminal."""
    os.environ["XDG_CACHE_HOME"] = str(session_folder / "cache")
    for name in ("COLUMNS", "FORCE_COLOR", "CLICOLOR_FORCE"):
        os.environ.pop(name, None)
    os.environ["TERM"] = "dumb"


@pytest.fixture(scope="session", autouse=True)
def fork_trainers(own_cache: None) -> Iterator[None]:
    """Fork the project's processes instead of starting a Python for each."""
    with fork_server():
        yield


@pytest.fixture(autouse=True)
def start_real_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start a Python for each process of a test that is marked `real_process`."""
    if request.node.get_closest_marker("real_process") is None:
        yield
        return
    with real_processes():
        yield


@pytest.fixture
def pgolf(tmp_path: Path) -> Pgolf:
    """Return the command, run in an empty folder; in this process, which saves a second each time."""
    return lambda *arguments, **options: run_here(options.pop("cwd", tmp_path), *arguments, **options)


def run_here(cwd: Path, *arguments: str | Path) -> Ended:
    """`pgolf ARGUMENTS` by its own main function. What it leaves behind in a process is as it was."""
    handler, environment, folder = signal.getsignal(signal.SIGTERM), dict(os.environ), Path.cwd()
    code: object = 0
    with Captured() as captured, pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("default")
        patched.setattr(sys, "argv", ["pgolf", *map(str, arguments)])
        os.chdir(cwd)
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            os.chdir(folder)
            signal.signal(signal.SIGTERM, handler)
            os.environ.clear()
            os.environ.update(environment)
    return Ended(code if isinstance(code, int) else 0, *captured.texts)


class Captured:
    """What is written to the two streams while it is entered, by this process and by those that it starts."""

    def __enter__(self) -> "Captured":
        sys.stdout.flush()
        sys.stderr.flush()
        self.python = sys.stdin, sys.stdout, sys.stderr
        self.kept = [os.dup(number) for number in (1, 2)]
        self.files = [TemporaryFile() for _ in self.kept]  # noqa: SIM115
        for number, file in enumerate(self.files, start=1):
            os.dup2(file.fileno(), number)
        sys.stdin = Path(os.devnull).open()
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin.close()
        sys.stdin, sys.stdout, sys.stderr = self.python
        self.texts = []
        for number, (kept, file) in enumerate(zip(self.kept, self.files, strict=True), start=1):
            os.dup2(kept, number)
            os.close(kept)
            file.seek(0)
            self.texts.append(file.read().decode())
            file.close()


def run_pgolf(
    cwd: Path, *arguments: str | Path, timeout: float = 200, environment: dict[str, str] | None = None
) -> Ended:
    """`pgolf ARGUMENTS` as a process of its own."""
    command = [sys.executable, "-m", "pgolf", *map(str, arguments)]
    ended = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def shared_run(
    folder: Path, *arguments: str, spec: str = "quickstart", environment: dict[str, str] | None = None
) -> RunDirectory:
    """Return a finished run, made by the first worker that asks for it."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            ended = run_pgolf(folder, "run", spec, *arguments, "--json", environment=environment)
            assert ended.code == 0, ended.err
    (found,) = folder.glob("runs/*/seed-*")
    return RunDirectory(found)


# Long enough for several checkpoints, with both kinds of optimizer state and an average.
LONG = ("--with", "micro", "--set", "recipe.budget.train=300", "--set", "recipe.optimizer.momentum.warmup_steps=100")
SHARED_RUNS = {"micro": ("--with", "micro"), "long": LONG}


@pytest.fixture(scope="session", autouse=True)
def begin_shared_runs(request: pytest.FixtureRequest, session_folder: Path, fork_trainers: None) -> Iterator[None]:
    """Have the first worker make, beside its first tests, the runs that this session's tests share."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    names = [name for name in SHARED_RUNS if worker_number() == 0 and f"{name}_run" in wanted]

    environment = dict(os.environ)  # tests may change this process's own

    def make_them() -> None:
        for name in names:
            shared_run(session_folder / name, *SHARED_RUNS[name], environment=environment)

    thread = threading.Thread(target=make_them)
    thread.start()
    yield
    thread.join()


@pytest.fixture(scope="session")
def micro_run(session_folder: Path, fork_trainers: None) -> RunDirectory:
    """Return a finished run of quickstart at micro. Read it, do not change it."""
    return shared_run(session_folder / "micro", *SHARED_RUNS["micro"])


@pytest.fixture(scope="session")
def long_run(session_folder: Path, fork_trainers: None) -> RunDirectory:
    """Return a finished run that took a few seconds. Read it, do not change it."""
    return shared_run(session_folder / "long", *SHARED_RUNS["long"])


@pytest.fixture(scope="session")
def micro_data(micro_run: RunDirectory) -> Path:
    """Return the shards behind `micro_run`."""
    return Path(micro_run.read_run()["data_folder"])


@pytest.fixture(scope="session")
def bare_python(session_folder: Path) -> Path:
    """Return a Python with the libraries that are installed here, and nothing of pgolf."""
    folder = session_folder / "bare"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            venv.create(folder, with_pip=False)
            site = next(folder.glob("lib/python*/site-packages"))
            here = next(Path(path) for path in sys.path if path.endswith("site-packages"))
            for path in here.iterdir():
                if "pgolf" not in path.name:
                    (site / path.name).symlink_to(path)
    python = folder / "bin" / "python"
    for package in ("pgolf", "trainer", "launchers"):
        ended = subprocess.run([python, "-P", "-c", f"import {package}"], capture_output=True, check=False)
        assert ended.returncode, f"{package} can be imported"
    return python


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the development corpus and the challenge's tokenizers, beside a checkout; not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"shared development data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a disk of a quarter of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
