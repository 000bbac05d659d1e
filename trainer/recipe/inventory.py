"""Names, shapes and groups of all tensors of a model, by arithmetic alone.

Preflight counts bytes with it, the optimizer sorts parameters with it, the container lays out tensors with it. A test
holds it equal to the built model for every shipped spec.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from trainer.recipe.model import Gpt
from trainer.recipe.plan import execution_plan, skip_count

Group = Literal["embedding", "attention", "mlp", "control"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor before it exists."""

    name: str
    shape: tuple[int, ...]
    group: Group
    """embedding, attention and mlp are matrices; control is every gain, scale, mix and skip weight."""

    @property
    def size(self) -> int:
        return prod(self.shape)


def inventory(model: Gpt, vocabulary_size: int) -> tuple[TensorSpec, ...]:
    """Every trainable tensor, in the order in which an artifact stores them."""
    plan = execution_plan(model)
    tensors = [TensorSpec("embedding.tokens", (vocabulary_size, model.width), "embedding")]
    for block in dict.fromkeys(execution.block for execution in plan):
        tensors += block_tensors(model, block)
    if skips := skip_count(plan):
        tensors.append(TensorSpec("skip_weights", (skips, model.width), "control"))
    return tuple(tensors)


def block_tensors(model: Gpt, block: str) -> Iterator[TensorSpec]:
    """The tensors of one block."""
    width, kv_width, hidden = model.width, model.kv_width, model.hidden_width
    yield TensorSpec(f"{block}.attention.query", (width, width), "attention")
    yield TensorSpec(f"{block}.attention.key", (kv_width, width), "attention")
    yield TensorSpec(f"{block}.attention.value", (kv_width, width), "attention")
    yield TensorSpec(f"{block}.attention.output", (width, width), "attention")
    yield TensorSpec(f"{block}.attention.q_gain", (model.attention.heads,), "control")
    yield TensorSpec(f"{block}.mlp.up", (hidden, width), "mlp")
    yield TensorSpec(f"{block}.mlp.down", (width, hidden), "mlp")
    yield TensorSpec(f"{block}.attention_scale", (width,), "control")
    yield TensorSpec(f"{block}.mlp_scale", (width,), "control")
    if model.topology.input_mix:
        yield TensorSpec(f"{block}.input_mix", (2, width), "control")


def parameter_groups(tensors: tuple[TensorSpec, ...]) -> dict[str, int]:
    """Parameters by group, in order of appearance."""
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.group] = counts.get(tensor.group, 0) + tensor.size
    return counts
