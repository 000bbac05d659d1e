"""The execution plan: the order in which blocks run, and the settings of each execution.

A model is not simply "n layers": shared blocks run several times, flags differ between executions, skips connect the
halves. Published scripts keep this in module attributes set by loops at construction, which is how "XSA on all 7
layers" became 5 of 7. Here the topology is resolved to a list that can be printed, and the forward pass follows it.
"""

from dataclasses import dataclass, replace
from typing import Literal

from trainer.recipe.execution_rope import ExecutionRope
from trainer.recipe.model import Gpt
from trainer.recipe.patterns import pattern_matches
from trainer.recipe.topology import FlatTopology, LoopedTopology, RecursiveTopology, TopologyRecipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """One execution of a block."""

    block: str
    """Name of the block, which is also the prefix of its tensors."""
    loop: int
    """How many times this block has run before."""
    rope: ExecutionRope
    """Rotary position embedding of its heads."""
    exclusive: bool = False
    """Whether heads lose their component along the token's own value vector (XSA)."""
    adds_value: int | None = None
    """Index of the factor of the value embedding that is added to the values; None adds none."""
    adds_first_value: int | None = None
    """Index of the factor of the first execution's values that are added to the values; None adds none."""
    scale_row: int | None = None
    """Row of the scales and input mixes of executions; None if they belong to blocks."""
    norm_factor: float = 1.0
    """Factor of the normalized inputs."""
    parallel: Literal["none", "sum", "lanes"] = "none"
    """What attention and MLP read; see FlatTopology.parallel."""
    skips_into_first_lane: bool = False
    """Whether the lanes part before this execution's skip is added, and not after it."""
    instruction: int | None = None
    """Index of the loop instruction that is added before the block; None adds none."""
    blend: int | None = None
    """Index of the factor that blends the output into the stream; None replaces the stream."""
    pops_skip: int | None = None
    """Row of skip_weights for the stream popped from the skip stack before the block; None pops nothing."""
    pushes_skip: bool = False
    """Whether the output is pushed on the skip stack."""


Plan = tuple[Execution, ...]


def execution_plan(model: Gpt, progress: float = 1.0) -> Plan:
    """Return the executions of a model, in order, at `progress`, the spent share of its budget."""
    match model.topology:
        case FlatTopology():
            executions = with_skips(model, flat_executions(model, model.topology, progress))
        case LoopedTopology():
            executions = looped_executions(model, model.topology)
        case RecursiveTopology():
            executions = with_skips(model, recursive_executions(model, model.topology))
    plan = tuple(complete_execution(model, executions, position) for position in range(len(executions)))
    check_plan(plan)
    return plan


def plan_change_progress(model: Gpt) -> float | None:
    """Return the share of the budget at which the plan changes, or None if it never does."""
    recurrence = model.topology.recurrence if isinstance(model.topology, FlatTopology) else None
    return None if recurrence is None else recurrence.from_progress


def flat_executions(model: Gpt, topology: FlatTopology, progress: float) -> list[Execution]:
    """Return every block once, and the recurrent range several times once `progress` has reached its start."""
    order = list(range(topology.layers))
    recurrence = topology.recurrence
    if recurrence is not None and progress >= recurrence.from_progress:
        again = list(range(recurrence.first, recurrence.last + 1))
        order[recurrence.last + 1 : recurrence.last + 1] = again * (recurrence.loops - 1)
    executions = []
    for position, layer in enumerate(order):
        execution = Execution(block=f"flat.{layer}", loop=order[:position].count(layer), rope=execution_rope(model))
        is_parallel = layer >= topology.parallel_from
        executions.append(replace(execution, parallel=topology.parallel if is_parallel else "none"))
    if topology.skips_into_first_lane:
        first = next(n for n, execution in enumerate(executions) if execution.parallel == "lanes")
        executions[first] = replace(executions[first], skips_into_first_lane=True)
    return executions


def recursive_executions(model: Gpt, topology: RecursiveTopology) -> list[Execution]:
    """Return executions of the shared blocks in turn."""
    return [
        Execution(
            block=f"shared.{position % topology.blocks}", loop=position // topology.blocks, rope=execution_rope(model)
        )
        for position in range(topology.executions)
    ]


def looped_executions(model: Gpt, topology: LoopedTopology) -> list[Execution]:
    """Return flat blocks, loops, flat blocks; the last flat blocks before the loops feed the first ones after."""
    before, after = topology.flat_before, topology.flat_after
    pairs = min(before, after) if topology.skips == "unet" else 0
    rope = execution_rope(model)
    executions = [
        Execution(block=f"flat.{layer}", loop=0, rope=rope, pushes_skip=layer >= before - pairs)
        for layer in range(before)
    ]
    for loop in range(topology.loops):
        executions += [looped_execution(model, topology, loop, block) for block in range(topology.looped)]
    for layer in range(after):
        pops = layer if layer < pairs else None
        executions.append(Execution(block=f"flat.{before + layer}", loop=0, rope=rope, pops_skip=pops))
    return executions


def looped_execution(model: Gpt, topology: LoopedTopology, loop: int, block: int) -> Execution:
    """Return one block in one loop. From the second loop on its output is blended into the stream."""
    is_blended = topology.blend is not None and loop > 0
    _, dead_blends = dead_rows(topology)
    return Execution(
        block=f"looped.{block}",
        loop=loop,
        rope=execution_rope(model, loop),
        instruction=loop if topology.instructions and block == 0 else None,
        blend=loop - 1 + dead_blends if is_blended else None,
    )


def with_skips(model: Gpt, executions: list[Execution]) -> list[Execution]:
    """Return the executions with skips: the first half pushes, the second half pops, last in first out."""
    first_half = len(executions) // 2 if model.topology.skips != "none" else 0
    return [
        replace(
            execution,
            pops_skip=position - first_half if first_half <= position < 2 * first_half else None,
            pushes_skip=position < first_half,
        )
        for position, execution in enumerate(executions)
    ]


def complete_execution(model: Gpt, executions: list[Execution], position: int) -> Execution:
    """Return an execution with the settings that depend on its block and its position."""
    execution, attention, value = executions[position], model.attention, model.embedding.value
    from_end = len(executions) - position
    adds_value = value.last_executions - from_end if value is not None else -1
    return replace(
        execution,
        exclusive=any(matches_execution(pattern, execution) for pattern in attention.exclusive),
        adds_value=adds_value if adds_value >= 0 else None,
        adds_first_value=position - 1 if attention.value_residual and position else None,
        scale_row=position if model.topology.scales == "execution" else None,
        norm_factor=(block_index(model, execution.block) + 1) ** -0.5 if model.topology.depth_scale else 1.0,
    )


def matches_execution(pattern: str, execution: Execution) -> bool:
    """Return whether a pattern, BLOCK or BLOCK/LOOP with the number of the loop, matches an execution."""
    block, _, loop = pattern.partition("/")
    return pattern_matches(block, execution.block) and loop in ("", str(execution.loop))


def block_index(model: Gpt, block: str) -> int:
    """Return the number of a block among all, from 0; looped blocks come after flat ones."""
    family, _, number = block.partition(".")
    topology = model.topology
    if family == "looped" and isinstance(topology, LoopedTopology):
        return topology.flat_before + topology.flat_after + int(number)
    return int(number)


def execution_rope(model: Gpt, loop: int | None = None) -> ExecutionRope:
    """Return the rotary settings of an execution; `loop` is given for looped blocks only."""
    rope, head_width = model.attention.rope, model.head_width
    if rope.published_truncated:
        from trainer.recipe.published_rope import truncated_rope

        return truncated_rope(head_width, rope.base)
    dims = rope.dims or head_width
    if loop is not None and rope.loop_divisors:
        return ExecutionRope(dims=dims, period_dims=dims, base=rope.base, divisor=rope.loop_divisors[loop])
    return ExecutionRope(dims=dims, period_dims=dims, base=rope.base, trained_tokens=rope.trained_tokens)


def skip_rows(model: Gpt, plan: Plan) -> int:
    """Return the rows of skip_weights: one per execution that pops, and unused ones of a published quirk."""
    used = sum(execution.pops_skip is not None for execution in plan)
    dead_skips, _ = dead_rows(model.topology, used)
    return used + dead_skips


def dead_rows(topology: TopologyRecipe, used_skips: int = 0) -> tuple[int, int]:
    """Return the numbers of skip weight rows and of blends that are never used: 0 except for a published quirk."""
    if isinstance(topology, LoopedTopology) and topology.published_dead_rows:
        from trainer.recipe.published_dead_rows import dead_rows_of

        return dead_rows_of(topology, used_skips)
    return 0, 0


def check_plan(plan: Plan) -> None:
    """Assert that skips add up: no pop from an empty stack, nothing left on it, each weight used once.

    A wrong plan is a bug, not an invalid spec, because plans are computed.
    """
    depth = 0
    for execution in plan:
        depth -= execution.pops_skip is not None
        assert depth >= 0, f"{execution.block} pops an empty skip stack"
        depth += execution.pushes_skip
    assert depth == 0, f"{depth} skips are pushed and never used"
    rows = sorted(execution.pops_skip for execution in plan if execution.pops_skip is not None)
    assert rows == list(range(len(rows))), f"skip weights used: {rows}"
