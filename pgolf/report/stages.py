"""The stages of an evaluation, over several seeds."""

from collections.abc import Sequence
from statistics import fmean

from pgolf.report.rows import Row


def common_stages(rows: Sequence[Row]) -> list[tuple[str, float]]:
    """The stages that every seed has, in the order of the first, each with its mean."""
    by_seed = [dict(row.stages()) for row in rows]
    if not by_seed:
        return []
    names = [name for name in by_seed[0] if all(name in stages for stages in by_seed)]
    return [(name, fmean(stages[name] for stages in by_seed)) for name in names]
