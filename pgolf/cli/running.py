"""What `run` and `seeds` have in common: launch, watch, and answer for how it ended."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from pgolf.campaign import Outcome, Task, carry_out, leave_alone
from pgolf.cli.console import answer_console, print_json, printable, say
from pgolf.cli.planning import Manner, Plan, agree
from pgolf.cli.progress import Display, pause, run_display
from pgolf.data.references import describe_references
from pgolf.dispatch import Dispatch
from pgolf.errors import Interrupted, PgolfError, RunFailed, error_for_exit_code
from pgolf.report.groups import group_runs
from pgolf.report.rows import Group
from pgolf.report.tables import rich_table
from pgolf.rundir import RunDirectory

STOPPING_SECONDS = 15.0


def start(plans: Sequence[Plan], manner: Manner) -> None:
    """Nothing; the runs of all plans have ended, or have been started and left alone, and what came out is on stdout.

    Raises: the error of the first run that has no result.
    """
    agree(plans, manner)
    tasks = [task for plan in plans for task in plan.tasks]
    ended = detach(tasks) if manner.is_detached else watch(tasks, is_quiet=manner.is_json)
    answer(ended, list(dict.fromkeys(task.run.root.parent for task in tasks)), manner)


def watch(tasks: Sequence[Task], is_quiet: bool) -> list[Outcome]:
    """How some runs ended.

    Raises: Interrupted on Ctrl-C or SIGTERM, once the runs started here have left their checkpoints.
    """
    signal.signal(signal.SIGTERM, interrupt)
    outcomes = []
    with run_display(is_quiet) as display:
        try:
            for outcome in carry_out(tasks, lambda run: announce(run, display), say):
                display.look()
                if outcome is None:
                    pause()
                else:
                    display.end(outcome.run)
                    outcomes.append(outcome)
        except KeyboardInterrupt:
            stop_runs([task.dispatch for task in tasks])
            raise Interrupted("interrupted; the same command goes on with what is not finished") from None
    return outcomes


def interrupt(*_: object) -> None:
    """SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt


def announce(run: RunDirectory, display: Display) -> None:
    say(f"{run.run_id} in {run.root}")
    display.start(run)


def stop_runs(dispatches: Sequence[Dispatch]) -> None:
    """Nothing; the runs started here have ended, or have had their time to."""
    own = list({id(dispatch): dispatch for dispatch in dispatches}.values())
    for dispatch in own:
        dispatch.cancel_started()
    deadline = time.monotonic() + STOPPING_SECONDS
    while any(dispatch.living() for dispatch in own) and time.monotonic() < deadline:
        pause()


def detach(tasks: Sequence[Task]) -> list[Outcome]:
    """Some runs, started and left alone."""
    outcomes = leave_alone(tasks)
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
            whose = f"{group.name}: " if len(groups) > 1 else ""
            console.print(printable(f"{whose}{finding.rule}: {finding.message}"), style=style, markup=False)


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
