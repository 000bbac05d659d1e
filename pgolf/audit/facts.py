"""Facts: the numbers of a submission that audits look at, wherever they were read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import log
from typing import Any

from pgolf.findings import Finding
from pgolf.records.folder import MAIN
from pgolf.records.rows import RecordGroup, RecordRow

NON_RECORD = re.compile(r"(?:^|[^a-z])non[-_ ]?record|non[-_ ]record", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """One seed's numbers; None where nobody says."""

    place: str
    """The log they are from."""
    seed: int | None = None
    stage: str | None = None
    val_loss: float | None = None
    val_bpb: float | None = None
    validation_tokens: int | None = None
    train_shards: int | None = None
    train_seconds: float | None = None
    evaluate_seconds: float | None = None
    is_whole_evaluation: bool = False
    """Whether these seconds are said to be of everything after training, and not of one of several evaluations."""
    total_bytes: int | None = None
    model_bytes: int | None = None
    code_bytes: int | None = None
    processes: int | None = None
    gpus: tuple[str, ...] = ()

    @property
    def bytes_a_token(self) -> float | None:
        """Bytes of text that a token stands for, as loss and bits per byte imply."""
        if self.val_loss is None or not self.val_bpb:
            return None
        return self.val_loss / log(2) / self.val_bpb

    @property
    def implied_bytes(self) -> float | None:
        """Bytes of the validation text, as tokens, loss and bits per byte imply."""
        ratio = self.bytes_a_token
        return None if ratio is None or self.validation_tokens is None else ratio * self.validation_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """A submission's numbers."""

    runs: tuple[RunFacts, ...] = ()
    is_record: bool = True
    """Whether it is meant for the track with clock, hardware and seeds; a folder that does not say is taken as one."""
    headline: float | None = None
    claimed_bpb: Mapping[int, float] = field(default_factory=dict)
    claimed_bytes: tuple[int, ...] = ()
    claimed_seeds: tuple[int, ...] = ()
    claimed_evaluate_seconds: tuple[float, ...] = ()
    claimed_bytes_a_token: float | None = None
    committed: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each committed code file."""
    problems: Mapping[str, Finding] = field(default_factory=dict)
    """What the report found, by its rules."""

    def of_runs(self, name: str) -> list[Any]:
        """A number of every run that has it."""
        return [value for run in self.runs if (value := getattr(run, name)) is not None]


def facts_of_group(group: RecordGroup) -> Facts:
    """The facts of a public record, from its logs and claims."""
    claims = group.record.claims
    sizes = [*claims.bytes_of.values(), *([claims.bytes_total] if claims.bytes_total else [])]
    return Facts(
        runs=tuple(map(run_facts, group.rows)),
        is_record=NON_RECORD.search(claims.track or group.record.folder.resolve().parent.name) is None,
        headline=claims.headline,
        claimed_bpb=claims.bpb_of,
        claimed_bytes=tuple(sizes),
        claimed_seeds=tuple(claims.seeds),
        claimed_evaluate_seconds=tuple(claims.seconds_of.values()),
        committed=group.record.code,
        problems={found.rule: found for found in group.problems()},
    )


def run_facts(row: RecordRow) -> RunFacts:
    """The facts of one seed's log."""
    run = row.run
    return RunFacts(
        place=run.file,
        seed=run.seed,
        stage=row.score.stage,
        val_loss=row.val_loss,
        val_bpb=row.val_bpb,
        validation_tokens=run.validation_tokens,
        train_shards=run.train_shards,
        train_seconds=run.train_seconds,
        evaluate_seconds=row.evaluate_seconds,
        is_whole_evaluation=run.total_eval_seconds is not None,
        total_bytes=row.total_bytes,
        model_bytes=row.model_bytes,
        code_bytes=row.code_bytes,
        processes=run.world_size,
        gpus=tuple(sorted(run.gpus)),
    )


def facts_of_case(case: Mapping[str, Any]) -> Facts:
    """The facts of a labelled case: a public submission reduced to its numbers."""
    said: Mapping[str, Any] = case.get("metadata") or {}
    return Facts(
        runs=tuple(case_runs(case, said)),
        is_record=case.get("track") != "non_record",
        headline=said.get("val_bpb"),
        claimed_bytes=tuple(filter(None, (said.get("bytes_total"),))),
        claimed_seeds=tuple(said.get("seeds_claimed") or ()),
        claimed_bytes_a_token=said.get("bytes_per_token_from_json"),
        committed=said.get("committed_py_bytes") or {},
    )


def case_runs(case: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[RunFacts]:
    """The runs of a case. What only the folder's numbers have stands in a run of its own."""
    for run in case.get("runs") or ():
        total, code = run.get("total_bytes"), run.get("code_bytes")
        model = run.get("model_bytes", total - code if total and code else None)
        yield RunFacts(
            place=run["log"],
            seed=run.get("seed"),
            val_loss=run.get("val_loss"),
            val_bpb=run.get("val_bpb"),
            validation_tokens=run.get("val_tokens"),
            train_shards=run.get("train_shards"),
            train_seconds=run.get("train_time_s"),
            evaluate_seconds=run.get("eval_time_s"),
            is_whole_evaluation=run.get("eval_time_from") == "total_eval_time",
            total_bytes=total,
            model_bytes=model,
            code_bytes=code,
            processes=run.get("world_size"),
        )
    known = {run.get("val_tokens") for run in case.get("runs") or ()}
    for tokens in said.get("val_tokens") or ():
        if tokens not in known:
            yield RunFacts(place="a log without a final score", validation_tokens=tokens)


def shipped_bytes(facts: Facts) -> list[int]:
    """Model with train_gpt.py as committed, for every seed that tells its model apart."""
    code = facts.committed.get(MAIN)
    return [] if code is None else [model + code for model in facts.of_runs("model_bytes")]
