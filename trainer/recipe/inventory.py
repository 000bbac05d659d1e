"""The inventory: names, shapes and groups of all tensors of a model, computed without building it.

Preflight counts bytes with it, the optimizer groups parameters with it, the container lays out tensors with it. A test
compares it with the built model for every shipped spec.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from trainer.recipe.attention import DenseGate, SparseGate
from trainer.recipe.embedding import ChannelSmear, GatedSmear, UntiedEmbedding
from trainer.recipe.local import Dimension, LocalAttention, LocalMlp
from trainer.recipe.mlp import LeakyReluSquared, SwiGlu
from trainer.recipe.model import Gpt
from trainer.recipe.plan import Plan, dead_rows, execution_plan, skip_rows
from trainer.recipe.topology import FlatTopology, LoopedTopology

Group = Literal["embedding", "projection", "attention", "mlp", "control"]
# Groups that Muon updates, unless the recipe says otherwise.
MATRIX_GROUPS = ("projection", "attention", "mlp")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and group of a tensor."""

    name: str
    shape: tuple[int, ...]
    group: Group
    """`embedding`: tables with a row per token or bucket; `projection`: matrices from such tables or instructions into
    the model; `control`: every gain, scale, mix, gate and skip weight.
    """

    @property
    def size(self) -> int:
        return prod(self.shape)


Inventory = tuple[TensorSpec, ...]


def inventory(model: Gpt, vocabulary_size: int) -> Inventory:
    """Return every trainable tensor, in the order in which an artifact stores them."""
    plan = execution_plan(model)
    tensors = [*embedding_tensors(model, vocabulary_size)]
    for block in dict.fromkeys(execution.block for execution in plan):
        tensors += block_tensors(model, block, block in blocks_with_lanes(model, plan))
    tensors += execution_tensors(model, plan)
    if isinstance(model.embedding, UntiedEmbedding):
        tensors.append(TensorSpec("head", (vocabulary_size, model.width), "embedding"))
    if model.asymmetric_softcap or model.published_unused_softcaps:
        tensors.append(TensorSpec("softcaps", (2,), "control"))
    return tuple(tensors)


def embedding_tensors(model: Gpt, vocabulary_size: int) -> Iterator[TensorSpec]:
    """Yield the tensors of the input embeddings."""
    embedding = model.embedding
    yield TensorSpec("embedding.tokens", (vocabulary_size, model.width), "embedding")
    if (bigram := embedding.bigram) is not None:
        yield TensorSpec("embedding.bigram.table", (bigram.buckets, bigram.width), "embedding")
        yield TensorSpec("embedding.bigram.projection", (model.width, bigram.width), "projection")
        if bigram.scale is not None:
            yield TensorSpec("embedding.bigram.scale", (), "control")
    if (value := embedding.value) is not None:
        yield TensorSpec("embedding.value.table", (vocabulary_size, value.width), "embedding")
        yield TensorSpec("embedding.value.projection", (model.kv_width, value.width), "projection")
        if value.scale is not None:
            yield TensorSpec("embedding.value.scale", (), "control")
        if factors := value.last_executions + value.published_unused:
            yield TensorSpec("embedding.value.factors", (factors,), "control")
    match embedding.smear:
        case ChannelSmear():
            yield TensorSpec("embedding.smear.gate", (model.width,), "control")
        case GatedSmear():
            yield TensorSpec("embedding.smear.gate", (embedding.smear.inputs,), "control")
            yield TensorSpec("embedding.smear.scale", (), "control")


def block_tensors(model: Gpt, block: str, has_lanes: bool) -> Iterator[TensorSpec]:
    """Yield the tensors of one block."""
    width = model.width
    yield from attention_tensors(model, block)
    yield from mlp_tensors(model, block)
    if model.topology.scales == "block":
        yield TensorSpec(f"{block}.attention_scale", (width,), "control")
        yield TensorSpec(f"{block}.mlp_scale", (width,), "control")
        if model.topology.input_mix:
            yield TensorSpec(f"{block}.input_mix", (2, width), "control")
    if has_lanes:
        yield TensorSpec(f"{block}.lanes.kept", (2,), "control")
        yield TensorSpec(f"{block}.lanes.shares", (2, 2), "control")


def blocks_with_lanes(model: Gpt, plan: Plan) -> set[str]:
    """Return the blocks that have factors of lanes: those whose executions use them, or all for a published quirk."""
    topology = model.topology
    has_unused = isinstance(topology, FlatTopology) and topology.published_unused_lanes
    return {execution.block for execution in plan if has_unused or execution.parallel == "lanes"}


def attention_tensors(model: Gpt, block: str) -> Iterator[TensorSpec]:
    """Yield the tensors of the attention of a block."""
    width, kv_width, attention = model.width, model.kv_width, model.attention
    if isinstance(attention, LocalAttention):
        yield from local_tensors(model, block, "attention", attention.tensors)
        return
    yield TensorSpec(f"{block}.attention.query", (width, width), "attention")
    yield TensorSpec(f"{block}.attention.key", (kv_width, width), "attention")
    yield TensorSpec(f"{block}.attention.value", (kv_width, width), "attention")
    yield TensorSpec(f"{block}.attention.output", (width, width), "attention")
    yield TensorSpec(f"{block}.attention.q_gain", (attention.heads,), "control")
    match attention.gate:
        case SparseGate():
            yield TensorSpec(f"{block}.attention.gate", (attention.heads, attention.gate.inputs), "control")
        case DenseGate():
            yield TensorSpec(f"{block}.attention.gate", (attention.heads, width), "control")


def local_tensors(
    model: Gpt, block: str, part: Literal["attention", "mlp"], tensors: dict[str, tuple[Dimension, ...]]
) -> Iterator[TensorSpec]:
    """Yield the tensors that a local component declares; its matrices are in the group of its slot."""
    sizes = {
        "width": model.width,
        "hidden": model.hidden_width(block),
        "heads": model.attention.heads,
        "kv_width": model.kv_width,
        "head_width": model.head_width,
    }
    for name, dimensions in tensors.items():
        shape = tuple(sizes[size] if isinstance(size, str) else size for size in dimensions)
        yield TensorSpec(f"{block}.{part}.{name}", shape, part if len(shape) == 2 else "control")


def mlp_tensors(model: Gpt, block: str) -> Iterator[TensorSpec]:
    """Yield the tensors of the MLP of a block."""
    width, hidden, mlp = model.width, model.hidden_width(block), model.mlp
    if isinstance(mlp, LocalMlp):
        yield from local_tensors(model, block, "mlp", mlp.tensors)
        return
    if isinstance(mlp, SwiGlu):
        yield TensorSpec(f"{block}.mlp.gate", (hidden, width), "mlp")
    yield TensorSpec(f"{block}.mlp.up", (hidden, width), "mlp")
    yield TensorSpec(f"{block}.mlp.down", (width, hidden), "mlp")
    if isinstance(mlp, LeakyReluSquared) and mlp.affine:
        yield TensorSpec(f"{block}.mlp.scale", (hidden,), "control")
        yield TensorSpec(f"{block}.mlp.shift", (hidden,), "control")


def execution_tensors(model: Gpt, plan: Plan) -> Iterator[TensorSpec]:
    """Yield the tensors that belong to executions and to the connections between them."""
    topology, width = model.topology, model.width
    if topology.scales == "execution":
        yield TensorSpec("execution_scales.attention", (len(plan), width), "control")
        yield TensorSpec("execution_scales.mlp", (len(plan), width), "control")
        if topology.input_mix:
            yield TensorSpec("execution_scales.input_mix", (len(plan), 2, width), "control")
    if model.attention.value_residual and len(plan) > 1:
        yield TensorSpec("value_residuals", (len(plan) - 1,), "control")
    if rows := skip_rows(model, plan):
        yield TensorSpec("skip_weights", (rows, width), "control")
    if rows and isinstance(topology, FlatTopology) and topology.skips == "gated_unet":
        yield TensorSpec("skip_gates", (rows, width), "control")
    if isinstance(topology, LoopedTopology):
        yield from loop_tensors(topology, width)


def loop_tensors(topology: LoopedTopology, width: int) -> Iterator[TensorSpec]:
    """Yield the tensors that belong to loops."""
    _, dead_blends = dead_rows(topology)
    blends = topology.loops - 1 + dead_blends
    if topology.blend is not None and blends:
        yield TensorSpec("blends", (blends,), "control")
    if topology.instructions:
        yield TensorSpec("instructions.inner", (topology.instructions, width), "projection")
        for loop in range(topology.loops):
            yield TensorSpec(f"instructions.outer.{loop}", (width, topology.instructions), "projection")


def parameter_groups(tensors: Inventory) -> dict[str, int]:
    """Return the number of parameters by group, in order of appearance."""
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.group] = counts.get(tensor.group, 0) + tensor.size
    return counts
