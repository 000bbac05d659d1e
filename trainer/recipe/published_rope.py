"""A truncated rotary table, as in published scripts."""

from trainer.recipe.execution_rope import ExecutionRope


def truncated_rope(head_width: int, base: float) -> ExecutionRope:
    """Return the first half of the frequencies that rotate a whole head: 22 dimensions of 46 (#1579, #927)."""
    return ExecutionRope(dims=2 * (head_width // 2 // 2), period_dims=head_width, base=base)
