"""The rows of a public record, one for each seed, and the groups of rows that may be averaged."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from pgolf.alike import RunNumbers, are_independent
from pgolf.findings import Finding
from pgolf.records.evidence import logged_size
from pgolf.records.folder import MAIN, Record
from pgolf.records.lead import seed_means
from pgolf.records.printed import Printed
from pgolf.records.track import Track
from pgolf.rulesets.judging import judge_target
from pgolf.rulesets.ruleset import Ruleset
from pgolf.statistics import Spread, summarise
from trainer.dialects.headline import evaluations, protocol_of
from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import Score

# Sorts before every seed.
UNKNOWN_SEED = -1


@dataclass(frozen=True)
class RecordRow:
    """One seed, with the numbers of its log."""

    run: LoggedRun
    score: Score
    code: dict[str, int]
    """Bytes of each committed code file."""
    ruleset: Ruleset
    findings: list[Finding] = field(default_factory=list)

    @property
    def seed(self) -> int:
        return UNKNOWN_SEED if self.run.seed is None else self.run.seed

    @property
    def val_bpb(self) -> float:
        return self.score.val_bpb

    @property
    def val_loss(self) -> float | None:
        return self.score.val_loss

    @property
    def total_bytes(self) -> int | None:
        return None if self.run.size is None else self.run.size.total

    @property
    def model_bytes(self) -> int | None:
        """Bytes of the packed model, from the line of the total or else from the last line about a packed model."""
        return self.run.packed_bytes

    @property
    def code_bytes(self) -> int | None:
        """Bytes of code that the logged total includes; None if it includes none."""
        size = self.run.size
        if size is None or size.kind == "artifact":
            return None
        return size.code if size.code is not None else self.run.code_bytes

    @property
    def total_with_main(self) -> int | None:
        """Bytes of the model and of train_gpt.py as committed."""
        return self.total_with(lambda name: name == MAIN)

    @property
    def total_with_python(self) -> int | None:
        """Bytes of the model and of every committed Python file."""
        return self.total_with(lambda name: name.endswith(".py"))

    def total_with(self, is_counted: Callable[[str], bool]) -> int | None:
        """Return the bytes of the model and of the committed files that are counted; None if either is unknown."""
        sizes = [size for name, size in self.code.items() if is_counted(name)]
        return None if self.model_bytes is None or not sizes else self.model_bytes + sum(sizes)

    @property
    def is_over_limit(self) -> bool:
        return any(found.rule == "over_cap" and found.severity == "fail" for found in self.findings)

    @property
    def evaluate_seconds(self) -> float | None:
        return self.run.total_eval_seconds or self.score.seconds

    @property
    def protocol(self) -> str:
        """The evaluation protocol, from the line of the score or, after adaptation, from the line that begins it."""
        return protocol_of(self.score, self.run)

    @property
    def numbers(self) -> RunNumbers:
        """The numbers by which the run is told from another."""
        return RunNumbers(
            name=self.run.file,
            val_bpb=self.val_bpb,
            decimals=self.score.decimals,
            seed=self.run.seed,
            total_bytes=self.total_bytes,
            train_seconds=self.run.train_seconds,
            losses=dict(self.run.curve),
        )

    @property
    def machine(self) -> str:
        """The GPUs that the log names, with their number where it is known; empty if it names none."""
        names = " or ".join(sorted(self.run.gpus))
        return f"{self.run.world_size}x {names}" if names and self.run.world_size else names

    def problems(self) -> list[Finding]:
        return self.findings

    def references(self) -> None:
        """Return None: the scores of reference methods on this text are not known."""

    @property
    def usd(self) -> None:
        """None: a log does not state a cost."""

    @property
    def curve_unit(self) -> str:
        """The unit of the curve: public logs count steps."""
        return "steps"

    def curve(self) -> list[tuple[float, float]]:
        """Return training loss in nats against steps."""
        return [(float(step), loss) for step, loss in self.run.curve]

    def stages(self) -> list[tuple[str, float]]:
        """Return the label and val_bpb of the last score before packing and of every evaluation after it."""
        before = [score for score in self.run.scores if score.stage == "prequant"][-1:]
        packed = [evaluation.best for evaluation in evaluations(self.run)]
        return [(score.label, score.val_bpb) for score in (*before, *packed)]

    def byte_parts(self) -> dict[str, int]:
        """Return the bytes of model and code, where the log gives them separately."""
        parts = {"model": self.model_bytes, "code": self.code_bytes}
        return {name: size for name, size in parts.items() if size is not None}

    def as_json(self) -> dict[str, Any]:
        return {
            "log": self.run.file,
            "seed": self.run.seed,
            "val_bpb": self.val_bpb,
            "val_loss": self.score.val_loss,
            "stage": self.score.stage,
            "protocol": self.protocol,
            "steps": self.run.step,
            "train_seconds": self.run.train_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            "model_bytes": self.model_bytes,
            "code_bytes": self.code_bytes,
            "total_bytes": self.total_bytes,
            "usd": None,
            "problems": [found.as_json() for found in self.findings],
            "metric": self.score.label,
            "from": self.explain(),
        }

    def explain(self) -> dict[str, str | None]:
        """Return the file and line of each number; None for one that no log gives."""
        run, size = self.run, self.run.size
        score = f"{self.score.file or run.file}:{self.score.line}"
        timed = None if self.evaluate_seconds is None else self.place("total_eval_seconds") or score
        return {
            "val_bpb": score,
            "val_loss": None if self.val_loss is None else score,
            "total_bytes": None if size is None else f"{run.file}:{size.line}",
            "seed": f"{run.file}:{run.seed_line}" if run.seed_line else f"the name {run.file}",
            "steps": self.place("step"),
            "train_seconds": self.place("train_seconds"),
            "evaluate_seconds": timed,
            "model_bytes": self.place("model_bytes"),
            "code_bytes": self.place("code_bytes"),
        }

    def place(self, field: str) -> str | None:
        """Return the file and line that give a field of the run, where the log has a line for it."""
        line = self.run.lines.get(field)
        return None if line is None else f"{self.run.file}:{line}"


@dataclass(frozen=True)
class RecordGroup:
    """The rows of a record that have one model, one run length and one set of logs."""

    name: str
    record: Record
    rows: list[RecordRow]
    findings: list[Finding]
    label: str | None
    """Of the score that all rows have."""
    ambiguous: tuple[Printed, ...] = ()
    """Means of which each may be the headline; empty where the choice is clear."""
    is_claimed: bool = False
    """Whether the claims name this score; else it is the last one that all runs have."""
    track: Track = Track.UNKNOWN
    """Which rules hold."""
    is_mention: bool = False
    """Whether the scores stand on lines that are none of an evaluation, and only the claims name them."""
    is_lead: bool = True
    """Whether it is what the submission speaks of; other groups lie beside it in the folder."""

    @cached_property
    def spread(self) -> Spread | None:
        """The spread of the seeds, of which each counts once."""
        if not self.rows:
            return None
        means = seed_means([(row.run.seed, row.val_bpb) for row in self.rows])
        return summarise(means, are_independent([row.numbers for row in self.rows]))

    @property
    def max_total_bytes(self) -> int | None:
        return max((row.total_bytes for row in self.rows if row.total_bytes is not None), default=None)

    @property
    def limit_bytes(self) -> int | None:
        return self.rows[0].ruleset.limits.bytes if self.rows else None

    @property
    def is_over_limit(self) -> bool:
        return any(row.is_over_limit for row in self.rows)

    @property
    def usd(self) -> None:
        """None: logs do not state a cost."""

    @property
    def question(self) -> None:
        """None: a submission does not state a question."""

    @property
    def data_sha256(self) -> None:
        """None: a submission does not state a hash of its data."""

    def claimed(self) -> list[Printed]:
        """Return the means that the author states, of the group that leads."""
        return list(self.record.claims.headlines.values()) if self.is_lead else []

    @property
    def dates(self) -> list[date]:
        """The day that the author states, if there is one."""
        submitted = self.record.claims.submitted
        return [] if submitted is None else [submitted]

    @property
    def hardware(self) -> list[str]:
        """Each machine that a log shows; without one, what the author states."""
        logged = [row.machine for row in self.rows if row.machine]
        return list(dict.fromkeys(logged or filter(None, [self.record.claims.hardware])))

    def problems(self) -> list[Finding]:
        return self.findings

    def target(self) -> Finding | None:
        known = [(row.val_loss, logged_size(row.run)) for row in self.rows if row.val_loss is not None]
        losses, sizes = [loss for loss, _ in known], [size for _, size in known]
        return judge_target(self.rows[0].ruleset, losses, sizes) if known else None

    def as_json(self) -> dict[str, Any]:
        spread = self.spread
        return {
            "name": self.name,
            "source": "record",
            "folder": str(self.record.folder),
            "metric": self.label,
            "seeds": [row.as_json() for row in self.rows],
            "n": spread.n if spread else 0,
            "mean": spread.mean if spread else None,
            "std": spread.std if spread else None,
            "population_std": spread.population_std if spread else None,
            "ci95": list(spread.ci95) if spread and spread.ci95 else None,
            "max_total_bytes": self.max_total_bytes,
            "recounted_bytes": {
                "model_and_logged_code": largest(row.total_bytes if row.code_bytes else None for row in self.rows),
                "model_and_train_gpt": largest(row.total_with_main for row in self.rows),
                "model_and_all_python": largest(row.total_with_python for row in self.rows),
            },
            "ambiguous": [each.as_json() for each in self.ambiguous],
            "chosen_by": "claim" if self.is_claimed else "last evaluation",
            "ruleset": self.rows[0].ruleset.label if self.rows else None,
            "limit_bytes": self.limit_bytes,
            "over_limit": self.is_over_limit,
            "usd": None,
            "target": None if (target := self.target()) is None else target.as_json(),
            "problems": [found.as_json() for found in self.findings],
            "versus": None,
        }


def largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
