"""Parameters that a published script makes and never uses."""

from trainer.recipe.topology import LoopedTopology


def dead_rows_of(topology: LoopedTopology, used_skips: int) -> tuple[int, int]:
    """Rows of skip weights, and blends, beyond those in use.

    There are skip weights for all flat blocks, and a blend for the first loop too. Source: #1579, #1817.
    """
    return topology.flat_before + topology.flat_after - used_skips, 1
