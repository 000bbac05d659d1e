"""What `run` and `seeds` have in common: examine, launch, watch, and answer for how it ended."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pgolf.cli.console import agree_to_pay, answer_console, findings_table, print_json, printable, progress_console, say
from pgolf.cli.progress import Display, pause, run_display
from pgolf.data.references import describe_references
from pgolf.dispatch import Dispatch, Outcome, with_launcher_findings
from pgolf.errors import CheckFailed, DataError, Interrupted, PgolfError, RunFailed, error_for_exit_code
from pgolf.launching import check_options, load_launcher
from pgolf.parents import Parent
from pgolf.preflight.cost import is_rented
from pgolf.preflight.examined import Examined, examine_any
from pgolf.report.groups import group_runs
from pgolf.report.rows import Group
from pgolf.report.tables import rich_table
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import Loaded

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


def prepare_dispatch(
    loaded: Loaded, manner: Manner, seeds: list[int], sharing: int = 1, parent: Parent | None = None
) -> Dispatch:
    """The dispatch of a spec that has passed preflight. What is checked, priced and asked for is what will start.

    `sharing` specs divide the spending cap.

    Raises: DataError when the data says no, CheckFailed when anything else does.
    """
    launcher = load_launcher(loaded.spec.launch.on)
    check_options(launcher, loaded.spec.launch.options)
    preflight = examine_any(loaded.spec, runs_dir=manner.runs_dir, runs=len(seeds), on_progress=say)
    settings = (loaded.origin, launcher, manner.runs_dir, manner.is_detached, manner.is_fresh, parent)
    if preflight.identity is not None:
        starting = Dispatch(preflight, *settings).to_start(seeds)
        if not starting:
            return Dispatch(preflight, *settings)
        preflight = preflight.priced(len(starting) * sharing)
    preflight = with_launcher_findings(preflight, launcher, manner.runs_dir, preflight.runs)
    notable = [finding for finding in preflight.findings if finding.severity != "pass"]
    if notable:
        progress_console().print(findings_table(notable))
    refuse_failures(preflight)
    is_costly = is_rented(loaded.spec.launch) if preflight.usd is None else preflight.usd > ASK_ABOVE_USD
    if is_costly and not manner.is_agreed and not manner.is_dry:
        agree_to_pay(preflight.usd)
    return Dispatch(preflight, *settings, runs=preflight.runs)


def refuse_failures(preflight: Examined) -> None:
    """Nothing, if no check failed.

    Raises: DataError when the data says no, CheckFailed when anything else does.
    """
    failed = preflight.failures
    if any(finding.rule == "data" for finding in failed):
        raise DataError(next(finding.message for finding in failed if finding.rule == "data"))
    if failed:
        raise CheckFailed(f"preflight of {preflight.spec.name} says no: {', '.join(f.rule for f in failed)}")


def watch(dispatch: Dispatch, seeds: list[int], is_quiet: bool) -> list[Outcome]:
    """How the runs of some seeds ended.

    Raises: Interrupted on Ctrl-C or SIGTERM, once the runs started here have left their checkpoints.
    """
    signal.signal(signal.SIGTERM, interrupt)
    outcomes = []
    with run_display(is_quiet) as display:
        try:
            for outcome in dispatch.carry_out(seeds, lambda run: announce(run, display), say):
                display.look()
                if outcome is None:
                    pause()
                else:
                    display.end(outcome.run)
                    outcomes.append(outcome)
        except KeyboardInterrupt:
            stop_runs(dispatch)
            raise Interrupted("interrupted; the same command goes on with what is not finished") from None
    return outcomes


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


def detach(dispatch: Dispatch, seeds: list[int]) -> list[Outcome]:
    """The runs of some seeds, started and left alone."""
    outcomes = dispatch.detach(seeds)
    for outcome in outcomes:
        if outcome.status.state == "running":
            run_id = outcome.run.run_id
            say(f"{run_id} started; `pgolf logs {run_id} -f` follows it, `pgolf cancel {run_id}` stops it")
    return outcomes


def answer(outcomes: list[Outcome], group_folders: list[Path], manner: Manner) -> None:
    """Nothing; what came out stands on stdout.

    Raises: the error of the first run that has no result.
    """
    if manner.is_json:
        print_json({"runs": [run_json(outcome.run) for outcome in outcomes]})
    elif any(outcome.run.is_finished for outcome in outcomes):
        siblings = [RunDirectory(path) for folder in group_folders for path in sorted(folder.glob("seed-*"))]
        print_groups(group_runs(siblings), answer_console())
    failed = [] if manner.is_detached else [outcome for outcome in outcomes if not outcome.run.is_finished]
    if failed:
        raise failure_of(failed[0], len(failed), len(outcomes))


def print_groups(groups: Sequence[Group], console: Console) -> None:
    """Nothing; the table, what it is to be compared with, and every problem."""
    console.print(rich_table(groups))
    for words, of_same_text in by_reference(groups).items():
        own = ", ".join(
            f"{group.name} {group.spread.mean:.4f} bpb" for group in of_same_text if group.spread is not None
        )
        console.print(f"the same validation bytes: {words}, {own}", markup=False)
    for group in groups:
        if group.usd:
            console.print(f"cost: ${group.usd:.2f} for {len(group.rows)} runs of {group.name}")
        for finding in group.problems():
            style = "yellow" if finding.severity == "warn" else "red"
            console.print(printable(f"{finding.rule}: {finding.message}"), style=style, markup=False)


def by_reference(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Groups by what old methods make of their validation bytes, so that it is said once."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        references = group.rows[0].references() if group.rows else None
        if references is not None and group.spread is not None:
            found.setdefault(describe_references(references), []).append(group)
    return found


def run_json(run: RunDirectory) -> dict[str, Any]:
    """A run, with its result where there is one."""
    result = run.read_result() if run.is_finished else None
    return {"run_id": run.run_id, "run_dir": str(run.root.resolve()), "state": run.state, "result": result}


def failure_of(outcome: Outcome, failed: int, total: int) -> PgolfError:
    """The error of a run that ended without a result: its exit code, and its last word where it left one."""
    run, status = outcome.run, outcome.status
    code = status.exit_code if status.exit_code and status.exit_code > 0 else RunFailed.exit_code
    error = type(error_for_exit_code(code, ""))
    word = status.message or f"it ended without a word ({error.__doc__})"
    among = f" ({failed} of {total} runs failed)" if total > 1 else ""
    again = "starts the script again" if "script" in run.read_run() else "goes on from the last checkpoint"
    return error(f"{run.run_id}: {word}; see {run.files.log}; the same command {again}{among}")
