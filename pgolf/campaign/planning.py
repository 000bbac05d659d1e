"""Plan the runs of a command: bytes, seconds and dollars of every run, before the first of them starts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgolf.campaign.dispatch import Dispatch, with_launcher_findings
from pgolf.campaign.from_checkpoint import Parent
from pgolf.campaign.moving import find_moves
from pgolf.campaign.observer import Observer
from pgolf.campaign.queue import Task, tasks_of
from pgolf.errors import CheckFailed, RunDamaged, UsageError
from pgolf.launching import Launcher, check_options, load_launcher
from pgolf.preflight.cost import is_rented
from pgolf.preflight.examine import examine
from pgolf.preflight.preflight import Preflight
from pgolf.rulesets.limits import is_over_cap
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.specs.experiment import Experiment
from pgolf.specs.loading import LoadedSpec
from pgolf.specs.sweeps import label_of

ASK_ABOVE_USD = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How runs are started."""

    runs_dir: Path
    is_detached: bool = False
    """Whether runs outlive the command."""
    is_fresh: bool = False
    """Whether another attempt is started beside earlier ones."""
    parent: Parent | None = None
    """The run whose weights are quantized and scored again, in place of training."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of one spec that a command would start or show."""

    loaded: LoadedSpec
    dispatch: Dispatch
    seeds: list[int]
    starting: list[int]
    """The seeds for which a job has to be started."""
    is_refused: bool = False
    """Whether preflight refuses this point of a sweep; none of its runs is started."""
    damaged: tuple[RunDamaged, ...] = ()
    """What is wrong with the runs of further seeds, which are left alone."""

    @property
    def preflight(self) -> Preflight:
        return self.dispatch.preflight

    @property
    def name(self) -> str:
        """The spec's name, with its point of a sweep."""
        return self.loaded.name

    @property
    def usd(self) -> float | None:
        """Dollars of the runs that have to be started."""
        return self.preflight.usd if self.starting and not self.is_refused else 0.0

    def create_runs(self) -> list[Task]:
        """Create the run directories, and return the runs."""
        return [] if self.is_refused else tasks_of(self.dispatch, self.seeds)

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `--dry-run --json`."""
        directories = [self.dispatch.directory(seed) for seed in self.seeds]
        return {
            "name": self.name,
            "point": self.loaded.point,
            "spec_sha256": self.preflight.identity,
            "folder": str(directories[0].root.parent),
            "seeds": self.seeds,
            "to_run": [] if self.is_refused else self.starting,
            "refused": [finding.as_json() for finding in self.preflight.failures] if self.is_refused else [],
            "total_bytes": self.preflight.artifact_json()["total_bytes"],
            "seconds": self.preflight.planned_seconds,
            "usd": self.usd,
        }


def plan_runs(
    specs: Sequence[LoadedSpec],
    choose_seeds: Callable[[Experiment], list[int]],
    options: RunOptions,
    observer: Observer,
) -> list[Plan]:
    """Return a plan for each spec, with the findings of the launcher it would run on.

    In a sweep, points that preflight refuses come last and are marked; for a single spec a refusal is an error.

    Raises:
        DataError: the data is missing or wrong.
        CheckFailed: another check fails, or all points of a sweep are refused, or the runs cost more than the cap.
    """
    launchers: dict[str, Launcher] = {}
    for point, why in dict.fromkeys((label_of(point), why) for loaded in specs for point, why in loaded.left_out):
        observer.say(f"left out: {point}: {why}")
    plans = [plan_one(loaded, choose_seeds(loaded.spec), options, launchers, observer) for loaded in specs]
    plans = without_duplicates(plans, observer)
    allowed = [plan for plan in plans if may_start(plan, observer)]
    if not allowed:
        raise CheckFailed(f"preflight refuses all {len(plans)} points of the sweep")
    check_spending_cap(allowed)
    starting = sum(len(plan.starting) for plan in allowed)
    shared = [replace(plan, dispatch=replace(plan.dispatch, runs=max(1, starting))) for plan in allowed]
    return [*shared, *(replace(plan, is_refused=True) for plan in plans if plan not in allowed)]


def choose_seeds(spec: Experiment, n: int) -> list[int]:
    """Return the first n seeds: those of the spec, then those of its ruleset.

    Raises:
        UsageError: both together are fewer, or the script takes no seed.
    """
    if spec.is_script and spec.program.seed_variable is None and n > 1:
        raise UsageError(f"--n {n}: program.seed_variable is null, so all runs of {spec.name} would be identical")
    known = list(dict.fromkeys([*spec.seeds, *load_ruleset(spec.ruleset).seeds]))
    if n > len(known):
        raise UsageError(f"--n {n}: spec and ruleset list {len(known)} seeds; add more to the spec's `seeds:`")
    return known[:n]


def plan_one(
    loaded: LoadedSpec, seeds: list[int], options: RunOptions, launchers: dict[str, Launcher], observer: Observer
) -> Plan:
    """Return the plan of one spec, with the findings of preflight and launcher."""
    name = loaded.spec.launch.on
    launcher = launchers.setdefault(name, load_launcher(name))
    check_options(launcher, loaded.spec.launch.options)
    preflight = examine(loaded.spec, runs_dir=options.runs_dir, runs=len(seeds), on_progress=observer.say)
    dispatch = Dispatch(
        preflight,
        loaded.origin,
        launcher,
        options.runs_dir,
        is_detached=options.is_detached,
        is_fresh=options.is_fresh,
        parent=options.parent,
    )
    starting, damaged = seeds, list[RunDamaged]()
    if preflight.identity is not None:
        seeds, damaged = without_damaged(dispatch, seeds)
        dispatch = replace(dispatch, moving=find_moves(dispatch, seeds, observer))
        starting = dispatch.to_start(seeds)
        preflight = preflight.priced(len(starting)) if starting else preflight
    if starting:
        preflight = with_launcher_findings(preflight, launcher, options.runs_dir, len(starting))
    return Plan(loaded, replace(dispatch, preflight=preflight), seeds, starting, damaged=tuple(damaged))


def without_damaged(dispatch: Dispatch, seeds: list[int]) -> tuple[list[int], list[RunDamaged]]:
    """Return the seeds whose runs can go on or be started, and what is wrong with the others.

    Raises:
        RunDamaged: there are only others.
    """
    usable, damaged = [], []
    for seed in seeds:
        run = dispatch.directory(seed)
        try:
            run.read_run()
            run.read_handle()
            usable.append(seed)
        except RunDamaged as error:
            damaged.append(error)
    if damaged and not usable:
        raise damaged[0]
    return usable, damaged


def without_duplicates(plans: Sequence[Plan], observer: Observer) -> list[Plan]:
    """Return the plans, and of several that are the same experiment only the first."""
    found: dict[tuple[str | None, str, tuple[int, ...]], Plan] = {}
    for number, plan in enumerate(plans):
        key = (plan.preflight.identity or str(number), plan.loaded.spec.name, tuple(plan.seeds))
        if found.setdefault(key, plan) is not plan:
            observer.say(f"left out: {plan.name} is the same experiment as {found[key].name}")
    return list(found.values())


def may_start(plan: Plan, observer: Observer) -> bool:
    """Return whether a plan may be carried out, after showing its failures and warnings.

    A plan with nothing to start is always allowed: its runs are finished and only shown.

    Raises:
        DataError: the data is missing or wrong.
        CheckFailed: another check fails, and it is not a point of a sweep.
    """
    if not plan.starting:
        return True
    notable = [finding for finding in plan.preflight.findings if finding.severity != "pass"]
    if notable:
        observer.show_findings(plan.name if plan.loaded.point else "", notable)
    failed = plan.preflight.failures
    plan.preflight.require_data()
    if failed and not plan.loaded.point:
        raise CheckFailed(f"preflight of {plan.name} failed: {', '.join(finding.rule for finding in failed)}")
    return not failed


def check_spending_cap(plans: Sequence[Plan]) -> None:
    """Check that all runs together stay under the spending cap.

    Raises:
        CheckFailed: they do not; names both amounts.
    """
    caps = [cap for plan in plans if (cap := plan.loaded.spec.spend.usd) is not None]
    usd = total_usd(plans)
    if usd is not None and is_over_cap(usd, min(caps, default=None)):
        runs = runs_to_start(plans)
        raise CheckFailed(
            f"{runs} runs would cost ${usd:.2f} together, but spend.usd is ${min(caps):.2f}; take fewer points or seeds"
        )


def runs_to_start(plans: Sequence[Plan]) -> int:
    """Return the number of runs that have to be started."""
    return sum(len(plan.starting) for plan in plans if not plan.is_refused)


def total_usd(plans: Sequence[Plan]) -> float | None:
    """Return the dollars of all runs that have to be started; None where a price is unknown."""
    costs = [plan.usd for plan in plans]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def needs_agreement(plans: Sequence[Plan]) -> bool:
    """Return whether the user has to agree to the cost: above a dollar, or unknown on a rented machine."""
    usd = total_usd(plans)
    starting = [plan for plan in plans if plan.starting and not plan.is_refused]
    if usd is None:
        return any(is_rented(plan.loaded.spec.launch) for plan in starting)
    return bool(starting) and usd > ASK_ABOVE_USD
