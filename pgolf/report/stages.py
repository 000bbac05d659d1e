"""Scored stages, averaged over seeds."""

from collections.abc import Sequence
from statistics import fmean

from pgolf.report.rows import Row


def common_stages(rows: Sequence[Row]) -> list[tuple[str, float]]:
    """Return the stages that every seed has, each with its mean, in the order of the first seed."""
    by_seed = [dict(row.stages()) for row in rows]
    if not by_seed:
        return []
    names = [name for name in by_seed[0] if all(name in stages for stages in by_seed)]
    return [(name, fmean(stages[name] for stages in by_seed)) for name in names]
