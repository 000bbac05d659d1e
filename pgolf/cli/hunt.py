"""A search at work: proposes, examines, runs, and writes down what came of it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgolf.campaign import Outcome
from pgolf.cli.console import say
from pgolf.cli.planning import Manner, Plan, plan_runs
from pgolf.cli.running import failure_of, watch
from pgolf.cli.spec import resolved
from pgolf.errors import CheckFailed, DataError, SpecError, UsageError
from pgolf.preflight.cost import usd_an_hour
from pgolf.preflight.examined import examine_any
from pgolf.report.groups import SeedRow
from pgolf.rundir import RunDirectory
from pgolf.searching.ledger import Candidate, Ledger
from pgolf.searching.promotion import End, Evaluate, Propose, Purse, discards, next_step, score_at
from pgolf.searching.proposers import Proposer, is_known, size_of
from pgolf.specs.loading import Loaded, load_any, load_any_of_run
from pgolf.specs.script import ScriptSpec
from pgolf.specs.search import LENGTH, Search
from pgolf.specs.sweeps import Point, label_of
from trainer.recipe.exit_codes import ALREADY_RUNNING, INTERRUPTED

LEDGER = "ledger.yaml"
# So many proposals in a row of which none can be run: the space is used up, or nothing in it is allowed.
MOST_REFUSALS = 50
# Exit codes of runs that say something of a place, or of whoever sits here, and nothing of a point.
NOT_OF_THE_POINT = (2, 4, 5, 6, ALREADY_RUNNING, INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may use, in one unit."""

    unit: str
    """`usd`, `seconds` or `runs`."""
    amount: float


@dataclass(frozen=True, slots=True)
class Again:
    """How the base spec is loaded once more, with values on top."""

    reference: str | None
    base: Loaded
    overlays: list[str]
    assignments: list[str]

    def __call__(self, changes: list[str]) -> Loaded:
        if self.reference is None:
            return load_any_of_run(self.base.file, self.overlays, [*self.assignments, *changes])
        return load_any(self.reference, self.overlays, [*self.assignments, *changes])


@dataclass(slots=True)
class Hunt:
    """A search at work."""

    base: Loaded
    search: Search
    load: Again
    proposer: Proposer
    budget: Budget
    manner: Manner
    ledger: Ledger = field(default_factory=lambda: Ledger(Path(LEDGER)))
    refusals: int = 0

    def go(self) -> str:
        """Why it ended; the ledger has everything else.

        Raises: UsageError for a ledger of another spec; the error of a place where runs cannot be run.
        """
        first_cost = self.begin()
        while True:
            purse = self.purse(first_cost)
            step = next_step(self.search, self.ledger.candidates(), self.base.spec.seeds, purse)
            match step:
                case Evaluate():
                    self.evaluate(step)
                case Propose() if len(self.ledger.candidates()) < size_of(self.search):
                    self.propose()
                case Propose():
                    return self.end("every point of the space has been tried")
                case End(why=why):
                    return self.end(why)
            if self.refusals >= MOST_REFUSALS:
                return self.end(f"{self.refusals} proposals in a row were known already, or could not be run")

    def begin(self) -> float:
        """What a run at the full share is expected to cost, in the budget's unit; the ledger is that of this spec."""
        if len(self.base.spec.seeds) < max(rung.seeds for rung in self.search.rungs):
            raise UsageError("the last rung wants more seeds than the spec's `seeds:` has")
        if self.budget.unit == "usd" and not usd_an_hour(self.base.spec.launch):
            raise UsageError(f"{self.base.spec.launch.on} has no price here; take --budget-seconds or --budget-runs")
        examined = examine_any(self.base.spec, runs_dir=self.manner.runs_dir, on_progress=say)
        identity = examined.identity
        if identity is None:
            raise DataError(next(finding.message for finding in examined.failures if finding.rule == "data"))
        begun = next((event for event in self.ledger.events if event["what"] == "begun"), None)
        if any(event.get("rung", 0) not in range(len(self.search.rungs)) for event in self.ledger.events):
            raise UsageError(f"{self.ledger.path} names a rung that the spec does not have")
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
                f"{self.ledger.path} is of spec {str(begun['spec_sha256'])[:8]}, this one is {identity[:8]}; "
                "move it away, or give the spec another name"
            )
        elif any(begun.get(key) != value for key, value in self.rules.items()):
            raise UsageError(
                f"{self.ledger.path} was begun with other rungs, or another length; scores of both would not compare. "
                "Move it away, or give the spec another name"
            )
        expected = {"usd": examined.usd, "seconds": examined.planned_seconds}.get(self.budget.unit)
        return expected or 0.0

    @property
    def rules(self) -> dict[str, Any]:
        """What scores of one ledger must have in common."""
        return {"rungs": [rung.model_dump() for rung in self.search.rungs], "length": self.search.length or LENGTH}

    def purse(self, first_cost: float) -> Purse:
        """What is left, and what a full run costs, as those that were tried tell."""
        unit = self.budget.unit
        rates = [
            event[unit] / self.search.rungs[event["rung"]].share
            for event in self.ledger.events
            if event["what"] == "tried" and event.get(unit)
        ]
        left = self.budget.amount - self.ledger.spent(unit)
        return Purse(left, sum(rates) / len(rates) if rates else first_cost, unit == "runs")

    def propose(self) -> None:
        """Nothing; the ledger has a new point, or one refusal more stands against going on."""
        try:
            point = self.proposer.propose(self.search, self.ledger, self.refusals)
        except SpecError as error:
            say(str(error))
            self.refusals += 1
            return
        if is_known(point, self.ledger.candidates()):
            self.refusals += 1
            return
        self.ledger.add("proposed", point=point, by=self.proposer.name)

    def evaluate(self, step: Evaluate) -> None:
        """Nothing; the ledger says what a run of a point came to, or why there was none."""
        candidate, number = step.candidate, step.candidate.number
        try:
            loaded = self.load(self.changes(candidate, step.rung))
            (plan,) = plan_runs([loaded], lambda _: [step.seed], self.manner)
        except (SpecError, CheckFailed) as error:
            self.refusals += 1
            self.ledger.add("refused", number=number, why=str(error).splitlines()[0])
            return
        self.refusals = 0
        if step.why is not None:
            self.ledger.add("kept", number=number, rung=step.rung, why=step.why)
        run = plan.tasks[0].run
        say(f"{number}: {label_of(candidate.point)}, share {self.search.rungs[step.rung].share:g}, seed {step.seed}")
        self.ledger.add("started", number=number, rung=step.rung, seed=step.seed, run=run.run_id)
        (outcome,) = watch(plan.tasks, is_quiet=self.manner.is_json)
        self.account_for(step, plan, outcome)

    def changes(self, candidate: Candidate, rung: int) -> list[str]:
        """What a point and a rung change, as assignments."""
        share, key = self.search.rungs[rung].share, self.search.length or LENGTH
        changes = [f"{name}={json.dumps(value)}" for name, value in candidate.point.items()]
        if share < 1:
            changes.append(f"{key}={json.dumps(shortened(self.full_length(candidate.point, key), share))}")
        if self.budget.unit == "usd":  # the place itself ends a run that would take more than there is
            left, own = self.budget.amount - self.ledger.spent("usd"), self.base.spec.spend.usd
            changes.append(f"spend.usd={left if own is None else min(left, own):.6f}")
        if self.budget.unit == "seconds" and isinstance(self.base.spec, ScriptSpec):
            left, own = self.budget.amount - self.ledger.spent("seconds"), self.base.spec.program.seconds
            changes.append(f"program.seconds={left if own is None else min(left, own):.3f}")
        rival = self.rival(candidate, rung)
        if self.search.stop_worse_by is not None and rival is not None:
            rule = {"run": rival, "by_bpb": self.search.stop_worse_by}
            changes.append(f"stop.worse_than={json.dumps(rule)}")
        return changes

    def full_length(self, point: Point, key: str) -> float:
        """The length of a run at the full share.

        Raises: SpecError where the spec has no number there.
        """
        value: Any = point.get(key)
        if value is None:
            value = resolved(self.base.spec)
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise SpecError(
                f"search.length: {key} is {value!r}, expected a number that a share can be taken of"
            ) from None

    def rival(self, candidate: Candidate, rung: int) -> str | None:
        """The run of the best other point at a rung."""
        others = [
            (score, other.runs[rung])
            for other in self.ledger.candidates()
            if other.number != candidate.number and (score := score_at(self.search, other, rung)) is not None
        ]
        return min(others)[1] if others else None

    def account_for(self, step: Evaluate, plan: Plan, outcome: Outcome) -> None:
        """Nothing; the ledger says how a run ended.

        Raises: the run's error where it says nothing of the point.
        """
        run, status = outcome.run, outcome.status
        facts = {"number": step.candidate.number, "rung": step.rung, "seed": step.seed, "run": run.run_id}
        facts |= costs_of(run, plan) if plan.starting else {"is_reused": True}
        if not run.is_finished:
            if status.exit_code in NOT_OF_THE_POINT:
                raise failure_of(outcome, 1, 1)
            what = "stopped" if status.reason == "stop_rule" else "failed"
            self.ledger.add(what, **facts, why=status.message or "it ended without a word")
            return
        row = SeedRow(run, run.read_result())
        if row.is_over_limit:
            self.ledger.add("failed", **facts, why=f"{row.total_bytes:,} bytes are over the limit")
            return
        self.ledger.add("tried", **facts, val_bpb=row.val_bpb, total_bytes=row.total_bytes)

    def end(self, why: str) -> str:
        """Why it ended; the ledger says of each point that stayed behind at which rank."""
        said = {event["number"]: event["why"] for event in self.ledger.events if event["what"] == "discarded"}
        for candidate, rank in discards(self.search, self.ledger.candidates()):
            if said.get(candidate.number) != rank:
                self.ledger.add("discarded", number=candidate.number, why=rank)
        return why


def shortened(length: float, share: float) -> float | int:
    """A share of a length; whole where the length is."""
    return max(1, round(length * share)) if length.is_integer() else length * share


def costs_of(run: RunDirectory, plan: Plan) -> dict[str, float]:
    """Seconds and dollars of a run."""
    if run.is_finished:
        seconds = SeedRow(run, run.read_result()).seconds
    else:
        rows = run.read_metrics()
        seconds = sum(run.read_attempts()) or (float(rows[-1]["elapsed_seconds"]) if rows else 0.0)
    hourly = usd_an_hour(plan.loaded.spec.launch) or 0.0
    return {"seconds": round(seconds, 3), "usd": round(hourly * seconds / 3600, 6)}
