"""A rope table cut short, as in published scripts."""

from trainer.recipe.plan import RopeUse


def truncated_rope(head_width: int, base: float) -> RopeUse:
    """The first half of the frequencies that would rotate a whole head: 22 dimensions of 46 (#1579, #927)."""
    return RopeUse(dims=2 * (head_width // 2 // 2), period_dims=head_width, base=base)
