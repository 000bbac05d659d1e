"""Facts: the numbers of a submission that the gates judge, from whichever source."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgolf.audit.stand_ins import find_script
from pgolf.findings import Finding, Severity, counted
from pgolf.records.claim_problems import is_settled, scored_seeds
from pgolf.records.evidence import logged_size
from pgolf.records.mentions import is_machine_stated
from pgolf.records.row_problems import late_seconds
from pgolf.records.rows import RecordGroup, RecordRow
from pgolf.records.track import Track
from pgolf.rulesets.judging import RunSize
from pgolf.rulesets.limits import LATE_SECONDS


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """The numbers of one seed; None where they are not known."""

    log: str
    """The file that they are from."""
    seed: int | None = None
    stage: str | None = None
    val_loss: float | None = None
    val_bpb: float | None = None
    validation_tokens: int | None = None
    train_shards: int | None = None
    train_seconds: float | None = None
    late_seconds: float = LATE_SECONDS
    """Seconds over the limit that the precision of the printed time allows."""
    evaluate_seconds: float | None = None
    is_whole_evaluation: bool = False
    """Whether evaluate_seconds covers everything after training, and not only one of several evaluations."""
    total_bytes: int | None = None
    model_bytes: int | None = None
    code_bytes: int | None = None
    processes: int | None = None
    gpus: tuple[str, ...] = ()
    size: RunSize = RunSize()

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes of text per token that loss and bits per byte imply."""
        if self.val_loss is None or not self.val_bpb:
            return None
        return self.val_loss / math.log(2) / self.val_bpb

    @property
    def implied_bytes(self) -> float | None:
        """Bytes of the validation text that tokens, loss and bits per byte imply."""
        ratio = self.bytes_per_token
        return None if ratio is None or self.validation_tokens is None else ratio * self.validation_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """The numbers of a submission."""

    runs: tuple[RunFacts, ...] = ()
    track: Track = Track.TEN_MINUTES
    headline: float | None = None
    is_settled: bool | None = None
    """Whether the record reader could compare the headline with the logs; None for facts that it did not read."""
    mean: float | None = None
    """Mean of the seeds, as the report gives it."""
    scored_seeds: tuple[int, ...] = ()
    """Claimed seeds, if submission.json gives the score of each one."""
    is_machine_stated: bool = False
    """Whether submission.json or the README names the contest's machine."""
    claimed_bytes: tuple[int, ...] = ()
    claimed_evaluate_seconds: tuple[float, ...] = ()
    claimed_bytes_per_token: float | None = None
    committed: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each committed code file."""
    problems: Mapping[str, Finding] = field(default_factory=dict)
    """Problems that the record reader found, by their rules."""

    @property
    def script(self) -> str | None:
        """The committed training script; accepted folders name it as they like."""
        return find_script(self.committed)

    def run_values(self, name: str) -> list[Any]:
        """Return a field of every run in which it is known."""
        return [value for run in self.runs if (value := getattr(run, name)) is not None]

    def pass_if_all(self, name: str, message: str) -> tuple[Severity, str]:
        """Return `pass` with a message if a field is known of every run, else `unknown` with how many lack it."""
        known = len(self.run_values(name))
        if not self.runs:
            return "unknown", f"{message}; no log shows it"
        if known < len(self.runs):
            return "unknown", f"{message}; {known} of {counted(len(self.runs), 'log')} give it"
        return "pass", message


def facts_of_group(group: RecordGroup) -> Facts:
    """Return the facts of a public record, from its logs and claims."""
    claims, code = group.record.claims, group.record.code
    sizes = [int(each.value) for each in (*claims.bytes_by_seed.values(), claims.bytes_total) if each is not None]
    return Facts(
        runs=tuple(map(run_facts, group.rows)),
        track=group.track,
        headline=None if claims.headline is None else claims.headline.value,
        is_settled=is_settled(group),
        mean=None if group.spread is None else group.spread.mean,
        scored_seeds=tuple(sorted(filter(None, scored_seeds(claims)))),
        is_machine_stated=is_machine_stated(group.record),
        claimed_bytes=tuple(sizes),
        claimed_evaluate_seconds=tuple(each.value for each in claims.evaluate_seconds_by_seed.values()),
        committed=code,
        problems={found.rule: found for found in group.problems()},
    )


def run_facts(row: RecordRow) -> RunFacts:
    """Return the facts of one seed, from its log."""
    run = row.run
    return RunFacts(
        log=run.file,
        seed=run.seed,
        stage=row.score.stage,
        val_loss=row.val_loss,
        val_bpb=row.val_bpb,
        validation_tokens=run.validation_tokens,
        train_shards=run.train_shards,
        train_seconds=run.train_seconds,
        late_seconds=late_seconds(run),
        evaluate_seconds=row.evaluate_seconds,
        is_whole_evaluation=run.total_eval_seconds is not None,
        total_bytes=None if run.size is None else run.size.least,
        model_bytes=row.model_bytes,
        code_bytes=row.code_bytes,
        processes=run.world_size,
        gpus=tuple(sorted(run.gpus)),
        size=logged_size(run),
    )


def shipped_bytes(facts: Facts) -> list[int]:
    """Return the bytes of model and committed script for each run whose model bytes are known."""
    script = facts.script
    return [] if script is None else [model + facts.committed[script] for model in facts.run_values("model_bytes")]
