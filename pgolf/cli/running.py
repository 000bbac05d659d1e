"""What `run` and `seeds` have in common: examine, launch, watch, and answer for how it ended."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from pgolf.cli.console import answer_console, findings_table, print_json, progress_console, say
from pgolf.cli.progress import Display, pause, run_display
from pgolf.data.references import describe_references
from pgolf.dispatch import Dispatch
from pgolf.errors import CheckFailed, DataError, Interrupted, PgolfError, RunFailed, error_for_exit_code
from pgolf.launching import check_options, load_launcher
from pgolf.preflight.examine import Preflight, examine
from pgolf.report.groups import RunGroup, group_runs
from pgolf.report.tables import rich_table
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import LoadedSpec

ASK_ABOVE_USD = 1.0
STOPPING_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How the user wants it done."""

    runs_dir: Path
    is_detached: bool
    is_fresh: bool
    is_dry: bool
    is_agreed: bool
    is_json: bool


def prepare_dispatch(loaded: LoadedSpec, manner: Manner, runs: int) -> Dispatch:
    """The dispatch of a spec that has passed preflight.

    Raises: DataError when the data says no, CheckFailed when anything else does.
    """
    preflight = examine(loaded.spec, runs_dir=manner.runs_dir, runs=runs, on_progress=say)
    launcher = load_launcher(loaded.spec.launch.on)
    check_options(launcher, loaded.spec.launch.options)
    dispatch = Dispatch(
        preflight, loaded.sources, launcher, manner.runs_dir, manner.is_detached, manner.is_fresh
    )  # fmt: skip
    probe = RunDirectory(manner.runs_dir / loaded.spec.name / "seed-0")
    preflight = preflight.with_findings(launcher.check(dispatch.job(probe)))
    notable = [finding for finding in preflight.findings if finding.severity != "pass"]
    if notable:
        progress_console().print(findings_table(notable))
    refuse_failures(preflight)
    if (preflight.usd or 0) > ASK_ABOVE_USD and not manner.is_agreed and not manner.is_dry:
        typer.confirm(f"This will cost about ${preflight.usd:.2f}. Go on?", abort=True, err=True)
    return Dispatch(preflight, loaded.sources, launcher, manner.runs_dir, manner.is_detached, manner.is_fresh)


def refuse_failures(preflight: Preflight) -> None:
    """Nothing, if no check failed.

    Raises: DataError when the data says no, CheckFailed when anything else does.
    """
    failed = preflight.failures
    if any(finding.rule == "data" for finding in failed):
        raise DataError(next(finding.message for finding in failed if finding.rule == "data"))
    if failed:
        raise CheckFailed(f"preflight of {preflight.spec.name} says no: {', '.join(f.rule for f in failed)}")


def watch(dispatch: Dispatch, seeds: list[int], is_quiet: bool) -> list[RunDirectory]:
    """The runs of some seeds, all of them over.

    Raises: Interrupted on Ctrl-C or SIGTERM, once the runs started here have left their checkpoints.
    """
    signal.signal(signal.SIGTERM, interrupt)
    ended = []
    with run_display(is_quiet) as display:
        try:
            for run in dispatch.carry_out(seeds, lambda run: announce(run, display)):
                display.look()
                if run is None:
                    pause()
                else:
                    display.end(run)
                    ended.append(run)
        except KeyboardInterrupt:
            stop_runs(dispatch)
            raise Interrupted("interrupted; the same command goes on from the last checkpoint") from None
    return ended


def interrupt(*_: object) -> None:
    """SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt


def announce(run: RunDirectory, display: Display) -> None:
    say(f"{run.run_id} in {run.root}")
    display.start(run)


def stop_runs(dispatch: Dispatch) -> None:
    """Nothing; the runs started here have ended, or have had their time to."""
    dispatch.cancel_started()
    deadline = time.monotonic() + STOPPING_SECONDS
    while dispatch.living() and time.monotonic() < deadline:
        pause()


def detach(dispatch: Dispatch, seeds: list[int]) -> list[RunDirectory]:
    """The runs of some seeds, started and left alone."""
    runs = [dispatch.prepare(seed) for seed in seeds]
    for run in runs:
        if not run.is_finished:
            dispatch.submit(run)
            say(f"{run.run_id} started; `pgolf logs {run.run_id} -f` follows it, `pgolf cancel {run.run_id}` stops it")
    return runs


def answer(runs: list[RunDirectory], group_folders: list[Path], manner: Manner) -> None:
    """Nothing; what came out stands on stdout.

    Raises: the error of the first run that has no result.
    """
    if manner.is_json:
        print_json({"runs": [run_json(run) for run in runs]})
    elif any(run.is_finished for run in runs):
        siblings = [RunDirectory(path) for folder in group_folders for path in sorted(folder.glob("seed-*"))]
        print_groups(group_runs(run for run in siblings if run.read_run()))
    if manner.is_detached:
        return
    failed = [run for run in runs if not run.is_finished]
    if failed:
        raise failure_of(failed[0], len(failed), len(runs))


def print_groups(groups: list[RunGroup]) -> None:
    """Nothing; the table, what it is to be compared with, and every problem."""
    console = answer_console()
    console.print(rich_table(groups))
    for group in groups:
        references = group.rows[0].references() if group.rows else None
        if references is not None and group.spread is not None:
            own = f"{group.name} {group.spread.mean:.4f} bpb"
            console.print(f"the same validation bytes: {describe_references(references)}, {own}")
        for finding in group.problems():
            console.print(f"{finding.rule}: {finding.message}", style="yellow" if finding.severity == "warn" else "red")


def run_json(run: RunDirectory) -> dict[str, Any]:
    """A run, with its result where there is one."""
    result = run.read_result() if run.is_finished else None
    return {"run_id": run.run_id, "run_dir": str(run.root.resolve()), "state": run.state, "result": result}


def failure_of(run: RunDirectory, failed: int, total: int) -> PgolfError:
    """The error of a run that ended without a result."""
    state = run.read_state()
    message = state.get("error") or "it ended without a word; the same command goes on from its last checkpoint"
    among = f" ({failed} of {total} runs failed)" if total > 1 else ""
    error = error_for_exit_code(int(state.get("exit_code") or RunFailed.exit_code), "")
    return type(error)(f"{run.run_id}: {message}; see {run.files.log}{among}")
