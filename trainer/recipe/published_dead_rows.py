"""Parameters that published scripts create and never use."""

from trainer.recipe.topology import LoopedTopology


def dead_rows_of(topology: LoopedTopology, used_skips: int) -> tuple[int, int]:
    """Return the numbers of unused skip weight rows and unused blends.

    The scripts have skip weights for all flat blocks, and a blend for the first loop too. Source: #1579, #1817.
    """
    return topology.flat_before + topology.flat_after - used_skips, 1
