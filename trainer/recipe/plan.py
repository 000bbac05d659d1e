"""The execution plan: which block runs when, and what each execution is given.

A model is not "n layers". Shared blocks run several times, flags differ between visits, skips cross the middle. The
published scripts keep this in module attributes set by loops at construction, which is how "XSA on all 7 layers" came
to be 5 of 7. Here the topology resolves to a list that people can print, the forward pass walks it and nothing else.
"""

from dataclasses import dataclass

from trainer.recipe.model import FlatTopology, Gpt


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """One visit to a block."""

    block: str
    """Name of the block, which is also the prefix of its tensors."""
    loop: int
    """How many times this block has run before."""
    rope_dims: int
    """Rotated dimensions of each head."""
    pops_skip: int | None
    """Row of skip_weights that scales the stream popped from the skip stack before the block; None pops nothing."""
    pushes_skip: bool
    """Whether the output goes on the skip stack."""


def execution_plan(model: Gpt) -> tuple[Execution, ...]:
    """The executions of a model, in order."""
    match model.topology:
        case FlatTopology():
            plan = flat_plan(model.topology, model.rope_dims)
    check_plan(plan)
    return plan


def flat_plan(topology: FlatTopology, rope_dims: int) -> tuple[Execution, ...]:
    """Every block once. With U-Net skips the first half pushes, the second half pops, last in first out."""
    first_half = topology.layers // 2 if topology.skips == "unet" else 0
    return tuple(
        Execution(
            block=f"flat.{layer}",
            loop=0,
            rope_dims=rope_dims,
            pops_skip=layer - first_half if first_half <= layer < 2 * first_half else None,
            pushes_skip=layer < first_half,
        )
        for layer in range(topology.layers)
    )


def skip_count(plan: tuple[Execution, ...]) -> int:
    """Rows of skip_weights: executions that take a skip."""
    return sum(execution.pops_skip is not None for execution in plan)


def check_plan(plan: tuple[Execution, ...]) -> None:
    """Nothing, if the parts add up: no pop from an empty stack, nothing left on it, each weight used once.

    Raises: AssertionError; a plan is computed, so a wrong one is a bug and not a bad spec.
    """
    depth = 0
    for execution in plan:
        depth -= execution.pops_skip is not None
        assert depth >= 0, f"{execution.block} pops an empty skip stack"
        depth += execution.pushes_skip
    assert depth == 0, f"{depth} skips are pushed and never used"
    rows = sorted(execution.pops_skip for execution in plan if execution.pops_skip is not None)
    assert rows == list(range(len(rows))), f"skip weights used: {rows}"
