"""What `run`, `seeds` and `search` share: ask about the cost, start or watch the runs, print what came out."""

import signal
from collections.abc import Sequence
from typing import Any

from pgolf.campaign.execution import check_finished, run_to_end, start_detached
from pgolf.campaign.planning import Plan, needs_agreement, total_usd
from pgolf.campaign.queue import Outcome
from pgolf.cli.display.console import agree_to_pay, answer_console, print_json, say
from pgolf.cli.display.groups import print_groups
from pgolf.cli.display.progress import MessageObserver, watching
from pgolf.errors import RunDamaged
from pgolf.report.groups import group_runs
from pgolf.rundir import RunDirectory


def carry_out_plans(plans: Sequence[Plan], *, is_detached: bool, is_agreed: bool, is_json: bool) -> None:
    """Run all plans, or start them and return, and print what came out.

    Raises:
        UsageError: the user does not agree to the cost.
        RunDamaged: a run of a seed cannot be read. The others are carried out.
        PgolfError: the error of the first run that has no result.
    """
    if needs_agreement(plans) and not is_agreed:
        agree_to_pay(total_usd(plans))
    tasks = [task for plan in plans for task in plan.create_runs()]
    if is_detached:
        outcomes = start_detached(tasks, MessageObserver())
        announce_detached(outcomes)
    else:
        stop_on_sigterm()
        with watching(is_quiet=is_json) as observer:
            outcomes = run_to_end(tasks, observer)
    print_outcomes(outcomes, is_json)
    if not is_detached:
        check_finished(outcomes)
        for outcome in outcomes:
            outcome.run.read_result()
    if damaged := [error for plan in plans for error in plan.damaged]:
        raise damaged[0]


def stop_on_sigterm() -> None:
    """Treat SIGTERM as Ctrl-C, so that both leave checkpoints."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def announce_detached(outcomes: Sequence[Outcome]) -> None:
    """Print how each run that was started can be followed and stopped."""
    for outcome in outcomes:
        if outcome.status.state == "running":
            run_id = outcome.run.run_id
            say(f"{run_id} started; `pgolf logs {run_id} -f` follows it, `pgolf cancel {run_id}` stops it")


def print_outcomes(outcomes: Sequence[Outcome], is_json: bool) -> None:
    """Print the runs and their groups as JSON, or the table of the groups."""
    folders = dict.fromkeys(outcome.run.root.parent for outcome in outcomes)
    siblings = [RunDirectory(path) for folder in folders for path in sorted(folder.glob("seed-*"))]
    if is_json:
        runs = [run_json(outcome.run) for outcome in outcomes]
        print_json({"runs": runs, "groups": [group.as_json() for group in group_runs(siblings)]})
    elif any(outcome.run.is_finished for outcome in outcomes):
        print_groups(group_runs(siblings), answer_console())


def run_json(run: RunDirectory) -> dict[str, Any]:
    """Return a run, with its result if there is one that can be read."""
    state, result = str(run.state), None
    if run.is_finished:
        try:
            result = run.read_result()
        except RunDamaged:
            state = "damaged"
    return {"run_id": run.run_id, "run_dir": str(run.root.resolve()), "state": state, "result": result}
