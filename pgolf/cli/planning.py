"""What a command is about to run: every run with its bytes, seconds and dollars, before the first of them starts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from pgolf.campaign import Task, tasks_of
from pgolf.cli.console import agree_to_pay, answer_console, findings_table, in_time, print_json, progress_console, say
from pgolf.dispatch import Dispatch, with_launcher_findings
from pgolf.errors import CheckFailed, DataError
from pgolf.launching import Launcher, check_options, load_launcher
from pgolf.parents import Parent
from pgolf.preflight.cost import is_rented
from pgolf.preflight.examined import Examined, examine_any
from pgolf.specs.experiment import Experiment
from pgolf.specs.loading import Loaded
from pgolf.specs.sweeps import label_of

ASK_ABOVE_USD = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How the user wants it done."""

    runs_dir: Path
    is_detached: bool
    is_fresh: bool
    is_dry: bool
    is_agreed: bool
    is_json: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of one spec that a command is about."""

    loaded: Loaded
    dispatch: Dispatch
    seeds: list[int]
    starting: list[int]
    """The seeds for which a job has to be started."""
    is_refused: bool = False
    """Whether preflight says no to this point of a sweep; nothing of it is run."""

    @property
    def examined(self) -> Examined:
        return self.dispatch.preflight

    @property
    def name(self) -> str:
        """The spec's name, with its point of a sweep."""
        return f"{self.loaded.spec.name} {label_of(self.loaded.point)}".rstrip()

    @property
    def usd(self) -> float | None:
        """Dollars of what has to be started."""
        return self.examined.usd if self.starting and not self.is_refused else 0.0

    @property
    def tasks(self) -> list[Task]:
        """Its runs, each with a run directory."""
        return [] if self.is_refused else tasks_of(self.dispatch, self.seeds)


def plan_runs(
    specs: Sequence[Loaded], choose: Callable[[Experiment], list[int]], manner: Manner, parent: Parent | None = None
) -> list[Plan]:
    """The plans of all specs, each with the findings of the place where it would run.

    Of a sweep the points that preflight refuses come last and are marked; of a single spec a refusal is an error.
    Raises: DataError when the data says no, CheckFailed when anything else does, or all of a sweep is refused.
    """
    launchers: dict[str, Launcher] = {}
    for point, why in dict.fromkeys((label_of(point), why) for loaded in specs for point, why in loaded.left_out):
        say(f"left out: {point}: {why}")
    plans = once_each([plan_one(loaded, choose(loaded.spec), manner, launchers, parent) for loaded in specs])
    allowed = [plan for plan in plans if is_allowed(plan)]
    if not allowed:
        raise CheckFailed(f"preflight refuses all {len(plans)} points of the sweep")
    check_total(allowed)
    starting = sum(len(plan.starting) for plan in allowed)
    shared = [replace(plan, dispatch=replace(plan.dispatch, runs=max(1, starting))) for plan in allowed]
    return [*shared, *(replace(plan, is_refused=True) for plan in plans if plan not in allowed)]


def once_each(plans: Sequence[Plan]) -> list[Plan]:
    """The plans, of those that are one experiment the first."""
    found: dict[tuple[str | None, str, tuple[int, ...]], Plan] = {}
    for number, plan in enumerate(plans):
        key = (plan.examined.identity or str(number), plan.loaded.spec.name, tuple(plan.seeds))
        if found.setdefault(key, plan) is not plan:
            say(f"left out: {plan.name} is the same experiment as {found[key].name}")
    return list(found.values())


def plan_one(
    loaded: Loaded, seeds: list[int], manner: Manner, launchers: dict[str, Launcher], parent: Parent | None
) -> Plan:
    """The plan of one spec, with whatever preflight and the launcher have to say."""
    name = loaded.spec.launch.on
    launcher = launchers.setdefault(name, load_launcher(name))
    check_options(launcher, loaded.spec.launch.options)
    examined = examine_any(loaded.spec, runs_dir=manner.runs_dir, runs=len(seeds), on_progress=say)
    settings = (loaded.origin, launcher, manner.runs_dir, manner.is_detached, manner.is_fresh, parent)
    starting = seeds
    if examined.identity is not None:
        starting = Dispatch(examined, *settings).to_start(seeds)
        examined = examined.priced(len(starting)) if starting else examined
    if starting:
        examined = with_launcher_findings(examined, launcher, manner.runs_dir, len(starting))
    return Plan(loaded, Dispatch(examined, *settings), seeds, starting)


def is_allowed(plan: Plan) -> bool:
    """Whether a plan may be carried out; what speaks against it, or for caution, has been said. Runs that are finished
    already are shown, whatever preflight would say of them today.

    Raises: DataError when the data says no; CheckFailed when anything else does, unless it is a point of a sweep.
    """
    if not plan.starting:
        return True
    notable = [finding for finding in plan.examined.findings if finding.severity != "pass"]
    if notable:
        if plan.loaded.point:
            say(f"{plan.name}:")
        progress_console().print(findings_table(notable))
    failed = plan.examined.failures
    if any(finding.rule == "data" for finding in failed):
        raise DataError(next(finding.message for finding in failed if finding.rule == "data"))
    if failed and not plan.loaded.point:
        raise CheckFailed(f"preflight of {plan.name} says no: {', '.join(f.rule for f in failed)}")
    return not failed


def check_total(plans: Sequence[Plan]) -> None:
    """Nothing, if all runs together stay under the spending cap.

    Raises: CheckFailed with both.
    """
    caps = [cap for plan in plans if (cap := plan.loaded.spec.spend.usd) is not None]
    usd = total_usd(plans)
    if caps and usd is not None and usd > min(caps):
        runs = sum(len(plan.starting) for plan in plans)
        raise CheckFailed(
            f"{runs} runs would cost ${usd:.2f} together, spend.usd is ${min(caps):.2f}; take fewer points"
        )


def total_usd(plans: Sequence[Plan]) -> float | None:
    """Dollars of all that has to be started; None where some of it has no known price."""
    costs = [plan.usd for plan in plans]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def agree(plans: Sequence[Plan], manner: Manner) -> None:
    """Nothing, if whoever sits here agrees to what all of it will cost.

    Raises: UsageError when nobody does.
    """
    starting = [plan for plan in plans if plan.starting and not plan.is_refused]
    usd = total_usd(starting)
    is_costly = any(is_rented(plan.loaded.spec.launch) for plan in starting) if usd is None else usd > ASK_ABOVE_USD
    if starting and is_costly and not manner.is_agreed:
        agree_to_pay(usd)


def show_plans(plans: Sequence[Plan], is_json: bool) -> None:
    """Nothing; what would run, and what would not, is on stdout."""
    if is_json:
        print_json({"plans": [plan_json(plan) for plan in plans]})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("spec", "seeds", "to run", "folder", "total bytes", "from", "to", "seconds a run", "cost"):
        table.add_column(column, no_wrap=column == "spec")
    for plan in plans:
        facts = plan_json(plan)
        total = facts["total_bytes"] or dict.fromkeys(("estimate", "low", "high"))
        sizes = ["?" if total[key] is None else f"{total[key]:,}" for key in ("estimate", "low", "high")]
        cost = "?" if facts["usd"] is None else f"${facts['usd']:.2f}"
        to_run = "refused" if plan.is_refused else joined(plan.starting) or "none"
        cells = (facts["name"], joined(plan.seeds), to_run, facts["folder"])
        table.add_row(*map(escape, cells), *sizes, in_time(facts["seconds"]), cost)
    console = answer_console()
    console.print(table)
    usd, runs = total_usd(plans), sum(len(plan.starting) for plan in plans if not plan.is_refused)
    console.print(f"would run {runs} of {sum(len(plan.seeds) for plan in plans)}, "
                  f"for {'a price nobody knows' if usd is None else f'${usd:.2f}'}; nothing was started")  # fmt: skip


def joined(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as JSON."""
    examined, directories = plan.examined, [plan.dispatch.directory(seed) for seed in plan.seeds]
    return {
        "name": plan.name,
        "point": plan.loaded.point,
        "spec_sha256": examined.identity,
        "folder": str(directories[0].root.parent),
        "seeds": plan.seeds,
        "to_run": [] if plan.is_refused else plan.starting,
        "refused": [finding.as_json() for finding in examined.failures] if plan.is_refused else [],
        "total_bytes": examined.artifact_json()["total_bytes"],
        "seconds": examined.planned_seconds,
        "usd": plan.usd,
    }
