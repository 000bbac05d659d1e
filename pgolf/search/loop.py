"""The search loop: propose a point, plan its run, run it, and write down what came of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pgolf.campaign.execution import failure_of, run_to_end
from pgolf.campaign.observer import Observer
from pgolf.campaign.planning import Plan, RunOptions, check_spending_cap, plan_one, plan_runs
from pgolf.campaign.queue import Outcome
from pgolf.errors import CheckFailed, DataError, LauncherError, MachineError, PgolfError, SpecError, UsageError
from pgolf.preflight.cost import usd_per_hour
from pgolf.preflight.examine import examine
from pgolf.report.seed_rows import SeedRow
from pgolf.rundir import RunDirectory
from pgolf.search.halving import End, Evaluate, Propose, RemainingBudget, discards, next_step, score_at
from pgolf.search.ledger import Candidate, Ledger, lock_search, read_ledger
from pgolf.search.proposers import Proposer, is_known, size_of
from pgolf.search.refusals import INVALID, Refusal, key_of_whole_numbers, refusal_by_place, shared_refusal
from pgolf.specs.loading import LoadedSpec
from pgolf.specs.search import LENGTH, Search
from pgolf.specs.sweeps import Point, label_of
from trainer.recipe.exit_codes import ALREADY_RUNNING, INTERRUPTED

LEDGER = "ledger.yaml"
# Give up after this many unusable proposals in a row: the space is exhausted, or nothing in it is allowed.
MOST_REFUSALS = 50
# Exit codes caused by the environment or the user, not by the candidate.
NOT_BY_CANDIDATE = (
    UsageError.exit_code,
    LauncherError.exit_code,
    DataError.exit_code,
    MachineError.exit_code,
    ALREADY_RUNNING,
    INTERRUPTED,
)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may use, in one unit."""

    unit: Literal["usd", "seconds", "runs"]
    amount: float


def budget_of(usd: float | None, seconds: float | None, runs: int | None) -> Budget:
    """Return the budget that was given.

    Raises:
        UsageError: none was given, or several.
    """
    amounts = {"usd": usd, "seconds": seconds, "runs": runs}
    given = [unit for unit, amount in amounts.items() if amount is not None]
    if 0 in amounts.values():
        raise UsageError("the budget of a search must be more than 0")
    if len(given) != 1:
        raise UsageError("a search needs exactly one of --budget-usd, --budget-seconds and --budget-runs")
    if usd:
        return Budget("usd", usd)
    return Budget("seconds", seconds) if seconds else Budget("runs", float(runs or 0))


@contextmanager
def open_search(name: str, runs_dir: Path, on_note: Callable[[str], object]) -> Iterator[Ledger]:
    """Yield the ledger of a spec's search, and keep other searches away from it meanwhile.

    `on_note` gets a sentence for people where the file system has no flock.

    Raises:
        UsageError: another search of the spec is running.
        MachineError: the folder cannot be written.
    """
    folder = runs_dir / f"{name}.search"
    with lock_search(folder, on_note):
        yield read_ledger(folder / LEDGER)


BaseLoader = Callable[[list[str]], LoadedSpec]
"""Loads the spec that is searched, with further assignments on top."""


@dataclass(slots=True)
class SearchLoop:
    """A search that is running."""

    base: LoadedSpec
    search: Search
    load_base: BaseLoader
    proposer: Proposer
    budget: Budget
    runs_dir: Path
    ledger: Ledger
    observer: Observer
    refusals: int = 0
    """Unusable proposals in a row."""
    first_cost: float = field(init=False, default=0.0)
    """Expected cost of a run at the full share, in the budget's unit."""

    def run(self) -> str:
        """Search until the rest of the budget suffices for no run or no point is left, and return why it ended.

        Raises:
            UsageError: the ledger belongs to another spec, or every point would be refused for one reason.
            DataError: the data is missing or wrong.
            PgolfError: a run failed because of the machine or the launcher.
        """
        self.first_cost = self.open_ledger()
        while True:
            step = next_step(self.search, self.ledger.candidates(), self.base.spec.seeds, self.remaining_budget())
            match step:
                case Evaluate():
                    if (why := self.evaluate(step)) is not None:
                        return self.end(why)
                case Propose() if len(self.ledger.candidates()) < size_of(self.search):
                    self.propose()
                case Propose():
                    return self.end("every point of the space has been tried")
                case End(why=why):
                    return self.end(why)
            if self.refusals >= MOST_REFUSALS:
                return self.end(f"{self.refusals} proposals in a row were known already, or could not be run")

    def open_ledger(self) -> float:
        """Begin the ledger, or check that it belongs to this spec; return the expected cost of a full run."""
        if len(self.base.spec.seeds) < max(rung.seeds for rung in self.search.rungs):
            raise UsageError("search.rungs: the last rung needs more seeds than the spec's `seeds:` has")
        if self.budget.unit == "usd" and not usd_per_hour(self.base.spec.launch):
            raise UsageError(f"{self.base.spec.launch.on} has no price; give --budget-seconds or --budget-runs")
        preflight = examine(self.base.spec, runs_dir=self.runs_dir, on_progress=self.observer.say)
        preflight.require_data()
        identity = preflight.identity
        assert identity is not None, "only missing data leaves it unknown"
        if any(event.get("rung", 0) not in range(len(self.search.rungs)) for event in self.ledger.events):
            raise UsageError(f"{self.ledger.path} names a rung that the spec does not have")
        begun = next((event for event in self.ledger.events if event["what"] == "begun"), None)
        if not self.ledger.events:
            self.check_whole_numbers()
            if (refusal := self.shared_refusal(0)) is not None:
                raise self.error_of(refusal)
        if begun is None:
            self.ledger.add(
                "begun",
                spec=self.base.spec.name,
                spec_sha256=identity,
                budget=f"{self.budget.amount:g} {self.budget.unit}",
                **self.rules,
            )
        elif begun["spec_sha256"] != identity:
            raise UsageError(
                f"{self.ledger.path} belongs to spec {str(begun['spec_sha256'])[:8]}, but this one is {identity[:8]}; "
                "move it away, or give the spec another name"
            )
        elif any(begun.get(key) != value for key, value in self.rules.items()):
            raise UsageError(
                f"{self.ledger.path} was begun with other rungs or another length, so scores would not compare. "
                "Move it away, or give the spec another name"
            )
        expected = {"usd": preflight.usd, "seconds": preflight.planned_seconds}.get(self.budget.unit)
        return expected or 0.0

    @property
    def rules(self) -> dict[str, Any]:
        """What all scores of a ledger must have in common."""
        return {"rungs": [rung.model_dump() for rung in self.search.rungs], "length": self.search.length or LENGTH}

    def remaining_budget(self) -> RemainingBudget:
        """Return what is left, and what a full run costs according to the runs so far."""
        unit = self.budget.unit
        rates = [
            event[unit] / self.search.rungs[event["rung"]].share
            for event in self.ledger.events
            if event["what"] == "tried" and event.get(unit)
        ]
        left = self.budget.amount - self.ledger.spent(unit)
        return RemainingBudget(left, sum(rates) / len(rates) if rates else self.first_cost, unit == "runs")

    def propose(self) -> None:
        """Add a new point to the ledger, or count a refusal."""
        try:
            point = self.proposer.propose(self.search, self.ledger, self.refusals)
        except SpecError as error:
            self.observer.say(str(error))
            self.refusals += 1
            return
        if is_known(point, self.ledger.candidates()):
            self.refusals += 1
            return
        self.ledger.add("proposed", point=point, by=self.proposer.name)

    def evaluate(self, step: Evaluate) -> str | None:
        """Run a point once more, and add to the ledger what it scored or why it could not run.

        Returns:
            Why the search ends, if the rest of its budget suffices for no point.

        Raises:
            UsageError: the point is refused, and every other point would be for the same reason.
        """
        candidate, number = step.candidate, step.candidate.number
        try:
            loaded = self.load_base(self.changes(candidate, step.rung))
            (plan,) = plan_runs([loaded], lambda _: [step.seed], RunOptions(runs_dir=self.runs_dir), self.observer)
        except (SpecError, CheckFailed, DataError) as error:
            if (shared := self.shared_refusal(step.rung)) is not None:
                if shared.rule == "spend" and self.budget.unit == "usd" and self.ledger.spent("usd"):
                    return f"the rest of the budget suffices for no point: {shared.message}"
                raise self.error_of(shared) from error
            self.refusals += 1
            self.ledger.add("refused", number=number, why=str(error).splitlines()[0])
            return None
        self.refusals = 0
        if step.why is not None:
            self.ledger.add("kept", number=number, rung=step.rung, why=step.why)
        (task,) = plan.create_runs()
        share = self.search.rungs[step.rung].share
        self.observer.say(f"{number}: {label_of(candidate.point)}, share {share:g}, seed {step.seed}")
        self.ledger.add("started", number=number, rung=step.rung, seed=step.seed, run=task.run.run_id)
        (outcome,) = run_to_end([task], self.observer)
        self.record(step, plan, outcome)
        return None

    def check_whole_numbers(self) -> None:
        """Check that no range of fractions is given for a key of whole numbers.

        Raises:
            UsageError: one is; names the key.
        """
        key = key_of_whole_numbers(self.search.values, lambda point: self.refusals_of(point, 0))
        if key is not None:
            raise UsageError(f"search.values.{key}: {key} takes whole numbers; add `whole: true` to its range")

    def shared_refusal(self, rung: int) -> Refusal | None:
        """Return a refusal that all proposals share at a rung, whatever their values; None if none is known."""

        def examine_point(point: Point) -> list[Refusal]:
            return self.refusals_of(point, rung)

        if not self.proposer.is_within_space:
            return refusal_by_place(examine_point)
        return shared_refusal(self.search.values, examine_point)

    def refusals_of(self, point: Point, rung: int) -> list[Refusal]:
        """Return why a point would be refused at a rung; nothing if it may run. Starts and writes nothing."""
        changes: list[str] = []
        try:
            changes = self.changes(Candidate(0, point, self.proposer.name), rung)
            loaded = self.load_base(changes)
            seeds, options = self.base.spec.seeds[:1], RunOptions(runs_dir=self.runs_dir)
            plan = plan_one(loaded, seeds, options, {}, Observer())
        except SpecError as error:
            message = str(error).splitlines()[0]
            for change in changes:
                message = message.removeprefix(f"--set {change}: ")
            return [Refusal(INVALID, message)]
        if not plan.starting:
            return []
        found = [Refusal(finding.rule, finding.message, finding.fix) for finding in plan.preflight.failures]
        try:
            check_spending_cap([plan])
        except CheckFailed as error:
            found.append(Refusal("spend", str(error)))
        return found

    def error_of(self, refusal: Refusal) -> PgolfError:
        """Return the error that ends a search in which every point would be refused."""
        kinds: dict[str, type[PgolfError]] = {INVALID: SpecError, "data": DataError}
        kind = kinds.get(refusal.rule, UsageError)
        return kind(f"every point of the search of {self.base.spec.name} would be refused: {refusal}")

    def changes(self, candidate: Candidate, rung: int) -> list[str]:
        """Return what a point and a rung change in the spec, as assignments."""
        share, key = self.search.rungs[rung].share, self.search.length or LENGTH
        changes = [f"{name}={json.dumps(value)}" for name, value in candidate.point.items()]
        if share < 1:
            changes.append(f"{key}={json.dumps(shortened(self.full_length(candidate.point, key), share))}")
        if self.budget.unit == "usd":  # the launcher itself then ends a run that would cost more than is left
            left, own = self.budget.amount - self.ledger.spent("usd"), self.base.spec.spend.usd
            changes.append(f"spend.usd={left if own is None else min(left, own):.6f}")
        if self.budget.unit == "seconds" and self.base.spec.is_script:
            left, own = self.budget.amount - self.ledger.spent("seconds"), self.base.spec.program.seconds
            changes.append(f"program.seconds={left if own is None else min(left, own):.3f}")
        rival = self.rival(candidate, rung)
        if self.search.stop_worse_by is not None and rival is not None:
            rule = {"run": rival, "by_bpb": self.search.stop_worse_by}
            changes.append(f"stop.worse_than={json.dumps(rule)}")
        return changes

    def full_length(self, point: Point, key: str) -> float:
        """Return the length of a run at the full share.

        Raises:
            SpecError: the spec has no number there.
        """
        value: Any = point.get(key)
        if value is None:
            value = self.base.spec.as_json()
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise SpecError(f"search.length: {key} is {value!r}, expected a number to take a share of") from None

    def rival(self, candidate: Candidate, rung: int) -> str | None:
        """Return the run of the best other point at a rung."""
        others = [
            (score, other.runs[rung])
            for other in self.ledger.candidates()
            if other.number != candidate.number and (score := score_at(self.search, other, rung)) is not None
        ]
        return min(others)[1] if others else None

    def record(self, step: Evaluate, plan: Plan, outcome: Outcome) -> None:
        """Add to the ledger how a run ended.

        Raises:
            PgolfError: the run failed because of the machine or the launcher, which says nothing about the point.
        """
        run, status = outcome.run, outcome.status
        facts = {"number": step.candidate.number, "rung": step.rung, "seed": step.seed, "run": run.run_id}
        facts |= costs_of(run, plan) if plan.starting else {"is_reused": True}
        if not run.is_finished:
            if status.exit_code in NOT_BY_CANDIDATE:
                raise failure_of(outcome)
            what = "stopped" if status.reason == "stop_rule" else "failed"
            self.ledger.add(what, **facts, why=status.message or "it ended without giving a reason")
            return
        row = SeedRow.load(run)
        if row.is_over_limit:
            self.ledger.add("failed", **facts, why=f"{row.total_bytes:,} bytes are over the limit")
            return
        self.ledger.add("tried", **facts, val_bpb=row.val_bpb, total_bytes=row.total_bytes)

    def end(self, why: str) -> str:
        """Add to the ledger the rank of each point that was not promoted, and return why the search ended.

        Raises:
            UsageError: nothing was run.
        """
        if not self.ledger.spent("runs"):
            raise UsageError(f"the search of {self.base.spec.name} ended without a run: {why}")
        known = {event["number"]: event["why"] for event in self.ledger.events if event["what"] == "discarded"}
        for candidate, rank in discards(self.search, self.ledger.candidates()):
            if known.get(candidate.number) != rank:
                self.ledger.add("discarded", number=candidate.number, why=rank)
        return why


def shortened(length: float, share: float) -> float | int:
    """Return a share of a length; a whole number if the length is one."""
    return max(1, round(length * share)) if length.is_integer() else length * share


def costs_of(run: RunDirectory, plan: Plan) -> dict[str, float]:
    """Return the seconds and dollars that a run took."""
    if run.is_finished:
        seconds = SeedRow.load(run).seconds
    else:
        rows = run.read_metrics()
        seconds = sum(run.read_attempts()) or (float(rows[-1]["elapsed_seconds"]) if rows else 0.0)
    hourly = usd_per_hour(plan.loaded.spec.launch) or 0.0
    return {"seconds": round(seconds, 3), "usd": round(hourly * seconds / 3600, 6)}
