"""Numbers of logs as evidence of a problem: each with its file, line and printed decimals."""

from collections.abc import Iterable

from pgolf.alike import decimals_of
from pgolf.records.printed import Printed
from pgolf.rulesets.judging import RunSize
from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import Score
from trainer.dialects.sizes import Size


def printed_score(run: LoggedRun, score: Score) -> Printed:
    return Printed(score.val_bpb, score.decimals, score.file or run.file, score.line, score.label)


def printed_size(run: LoggedRun, size: Size) -> Printed:
    return Printed(size.total, 0, run.file, size.line, size.label)


def logged(run: LoggedRun, field: str, key: str) -> list[Printed]:
    """Return a number of a run's log as evidence; nothing if the log does not print it."""
    value: float | None = getattr(run, field)
    if value is None:
        return []
    decimals = 0 if value == int(value) else decimals_of(value)
    return [Printed(value, decimals, run.file, run.lines.get(field), key)]


def printed_seeds(runs: Iterable[LoggedRun]) -> list[Printed]:
    """Return the known seeds of runs; one that only the name of its log has is without a line."""
    return [Printed(run.seed, 0, run.file, run.seed_line or None, "seed") for run in runs if run.seed is not None]


def logged_size(run: LoggedRun) -> RunSize:
    """Return what a run used, as far as its log says."""
    return RunSize(parameters=run.parameters, steps=run.step, batch_tokens=run.batch_tokens)
