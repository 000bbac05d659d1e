"""Rows of a public record, and groups of rows that may be averaged."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pgolf.findings import Finding
from pgolf.records.folder import MAIN, Record
from pgolf.rulesets.ruleset import Ruleset
from pgolf.statistics import Spread, summarise
from trainer.dialects.headline import evaluations, protocol_of
from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import Score


@dataclass(frozen=True)
class RecordRow:
    """One seed, as its log says."""

    run: LoggedRun
    score: Score
    code: dict[str, int]
    ruleset: Ruleset
    problems_found: list[Finding] = field(default_factory=list)

    @property
    def seed(self) -> int:
        return -1 if self.run.seed is None else self.run.seed

    @property
    def val_bpb(self) -> float:
        return self.score.val_bpb

    @property
    def val_loss(self) -> float:
        return self.score.val_loss

    @property
    def total_bytes(self) -> int | None:
        return None if self.run.size is None else self.run.size.total

    @property
    def model_bytes(self) -> int | None:
        """The packed model, as the total's own line has it, or the line of the last one packed."""
        return self.run.packed_bytes

    @property
    def code_bytes(self) -> int | None:
        """The code that the log counted; None where it counted none."""
        size = self.run.size
        if size is None or size.kind == "artifact":
            return None
        return size.code if size.code is not None else self.run.code_bytes

    @property
    def with_main(self) -> int | None:
        """The model with train_gpt.py as committed."""
        return self.with_code(lambda name: name == MAIN)

    @property
    def with_all_python(self) -> int | None:
        """The model with every committed Python file."""
        return self.with_code(lambda name: name.endswith(".py"))

    def with_code(self, is_counted: Any) -> int | None:
        sizes = [size for name, size in self.code.items() if is_counted(name)]
        return None if self.model_bytes is None or not sizes else self.model_bytes + sum(sizes)

    @property
    def is_over_limit(self) -> bool:
        return (self.total_bytes or 0) > self.ruleset.artifact_limit_bytes

    @property
    def evaluate_seconds(self) -> float | None:
        return self.run.total_eval_seconds or self.score.seconds

    @property
    def protocol(self) -> str:
        """How it was scored, as the score's line says, or for an adapted one the line that begins adaptation."""
        return protocol_of(self.score, self.run)

    def problems(self) -> list[Finding]:
        return self.problems_found

    def references(self) -> None:
        """Nothing: what old methods make of these bytes is not known."""

    @property
    def usd(self) -> None:
        """Nothing: a log does not say what it cost."""

    @property
    def curve_unit(self) -> str:
        """Steps: logs of records count in them."""
        return "steps"

    def curve(self) -> list[tuple[float, float]]:
        """Training loss against steps."""
        return [(float(step), loss) for step, loss in self.run.curve]

    def stages(self) -> list[tuple[str, float]]:
        """The score before packing, and every evaluation after it, by their labels."""
        before = [score for score in self.run.scores if score.stage == "prequant"][-1:]
        packed = [evaluation.best for evaluation in evaluations(self.run)]
        return [(score.label, score.val_bpb) for score in (*before, *packed)]

    def byte_parts(self) -> dict[str, int]:
        """Model and code, where the log tells them apart."""
        parts = {"model": self.model_bytes, "code": self.code_bytes}
        return {name: size for name, size in parts.items() if size is not None}

    def as_json(self) -> dict[str, Any]:
        return {
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
            "problems": [{"rule": found.rule, "message": found.message} for found in self.problems_found],
            "metric": self.score.label,
            "from": self.explain(),
        }

    def explain(self) -> dict[str, str | None]:
        """The file and line that each number came from."""
        size = self.run.size
        return {
            "val_bpb": f"{self.score.file or self.run.file}:{self.score.line}",
            "total_bytes": None if size is None else f"{self.run.file}:{size.line}",
            "seed": f"{self.run.file}:{self.run.seed_line}" if self.run.seed_line else f"the name {self.run.file}",
        }


@dataclass(frozen=True)
class RecordGroup:
    """The seeds of a record that are runs of one model, of one length, of one set of logs."""

    name: str
    record: Record
    rows: list[RecordRow]
    notes: list[Finding]
    label: str | None

    @cached_property
    def spread(self) -> Spread | None:
        return summarise([row.val_bpb for row in self.rows]) if self.rows else None

    @property
    def max_total_bytes(self) -> int | None:
        return max((row.total_bytes for row in self.rows if row.total_bytes is not None), default=None)

    @property
    def is_over_limit(self) -> bool:
        return any(row.is_over_limit for row in self.rows)

    @property
    def usd(self) -> None:
        """Nothing: logs do not say."""

    def problems(self) -> list[Finding]:
        return self.notes

    def as_json(self) -> dict[str, Any]:
        spread = self.spread
        return {
            "name": self.name,
            "source": "record",
            "folder": str(self.record.folder),
            "metric": self.label,
            "seeds": [row.as_json() for row in self.rows],
            "n": len(self.rows),
            "mean": spread.mean if spread else None,
            "std": spread.std if spread else None,
            "population_std": spread.population_std if spread else None,
            "ci95": list(spread.ci95) if spread and spread.ci95 else None,
            "max_total_bytes": self.max_total_bytes,
            "recounted_bytes": {
                "model_and_logged_code": largest(row.total_bytes if row.code_bytes else None for row in self.rows),
                "model_and_train_gpt": largest(row.with_main for row in self.rows),
                "model_and_all_python": largest(row.with_all_python for row in self.rows),
            },
            "ruleset": self.rows[0].ruleset.label if self.rows else None,
            "limit_bytes": self.rows[0].ruleset.artifact_limit_bytes if self.rows else None,
            "over_limit": self.is_over_limit,
            "usd": None,
            "problems": [{"rule": found.rule, "message": found.message} for found in self.notes],
            "versus": None,
        }


def largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
