"""The model: it runs the executions of its plan and does nothing else.

Shape letters used throughout the trainer:
B batch, T position, S position whose output is needed, D width, H query head, K key/value head, E head width, F all
key/value heads side by side, M hidden unit, V vocabulary, R row, C column, N anything.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.attention_function import AttentionFunction
from trainer.model.attention_kernels import make_attention_function
from trainer.model.block import Block
from trainer.model.block_inputs import BlockInputs, ForwardContext
from trainer.model.embedding import TokenEmbedding
from trainer.model.linear import linear
from trainer.model.loops import LoopInstructions
from trainer.model.loss import asymmetric_softcapped, mean_cross_entropy, softcapped
from trainer.model.norm import rms_norm
from trainer.model.rope import Rotary
from trainer.model.segments import Segments
from trainer.recipe.compute import Compute
from trainer.recipe.inventory import blocks_with_lanes, inventory
from trainer.recipe.local import LocalMlp
from trainer.recipe.model import Gpt
from trainer.recipe.plan import Execution, Plan, execution_plan, plan_change_progress
from trainer.runtime.device import autocast_to, product_dtype

USUAL_COMPUTE = Compute()


class GptModel(nn.Module):
    """A decoder-only transformer, whose parameters are those of `inventory`, name by name."""

    def __init__(self, model: Gpt, vocabulary_size: int, compute: Compute = USUAL_COMPUTE) -> None:
        super().__init__()
        self.recipe, self.compute = model, compute
        self.plans = execution_plan(model, 0.0), execution_plan(model, 1.0)
        self.plan = self.plans[1]
        self.rotaries = {execution.rope: Rotary(execution.rope) for plan in self.plans for execution in plan}
        self.dtypes: tuple[torch.dtype, torch.dtype | None] | None = None
        shapes = {tensor.name: tensor.shape for tensor in inventory(model, vocabulary_size)}
        self.embedding = TokenEmbedding(model, vocabulary_size)
        for family, members in build_blocks(model, self.plan).items():
            self.add_module(family, members)
        self.execution_scales = nn.ParameterDict(
            {name: torch.ones(shapes[f"execution_scales.{name}"]) for name in ("attention", "mlp", "input_mix")
             if f"execution_scales.{name}" in shapes}
        )  # fmt: skip
        self.value_residuals = parameter_of(shapes, "value_residuals", 0.0)
        self.skip_weights = parameter_of(shapes, "skip_weights", 1.0)
        self.skip_gates = parameter_of(shapes, "skip_gates", 0.0)
        self.blends = parameter_of(shapes, "blends", getattr(model.topology, "blend", None))
        self.instructions = LoopInstructions(model) if "instructions.inner" in shapes else None
        self.head = parameter_of(shapes, "head", 0.0)
        self.softcaps = parameter_of(shapes, "softcaps", model.softcap)
        self.check_inventory(shapes)
        self.initialise()

    def check_inventory(self, counted: dict[str, tuple[int, ...]]) -> None:
        """Assert that the parameters are those of the inventory."""
        built = {name: tuple(parameter.shape) for name, parameter in self.named_parameters()}
        assert counted == built, f"inventory and model differ: {set(counted.items()) ^ set(built.items())}"

    def initialise(self) -> None:
        """Initialise every matrix. Projections back into the residual stream stay zero."""
        nn.init.normal_(self.embedding.tokens, std=self.recipe.embedding.deviation)
        for table in (self.embedding.bigram, self.embedding.value):
            if table is not None:
                table.initialise()
        for block in self.modules():
            if isinstance(block, Block):
                block.initialise(self.recipe.initial_matrices)
        if "input_mix" in self.execution_scales:
            with torch.no_grad():
                self.execution_scales["input_mix"][:, 1] = 0.0

    def follow_progress(self, progress: float) -> None:
        """Switch to the plan for this share of the training budget."""
        changes_at = plan_change_progress(self.recipe)
        if changes_at is not None:
            self.plan = self.plans[progress >= changes_at]

    def precompute(self, length: int) -> None:
        """Precompute dtypes and rotary tables for `length`, so that torch.compile sees constants."""
        self.dtypes = self.choose_dtypes()
        for rotary in self.rotaries.values():
            rotary.table(length, self.device)

    def forward(self, tokens_BT: Tensor, last: int | None = None, segments: Segments | None = None) -> Tensor:
        """Return the logits of the next token at every position, or only at the `last` ones.

        Each token sees its own segment only, if there are segments.

        Shapes: (B, T) -> (B, T or last, V), float32.
        """
        with self.autocast():
            x_BTD = self.features(tokens_BT, segments, last)
            z_BTV = linear(rms_norm(x_BTD), self.head_weight).float()
        if self.recipe.asymmetric_softcap:
            assert self.softcaps is not None
            return asymmetric_softcapped(z_BTV, self.softcaps)
        return softcapped(z_BTV, self.recipe.softcap)

    def mean_loss(self, tokens_BT: Tensor, targets_BT: Tensor, segments: Segments | None = None) -> Tensor:
        """Return the mean nats of all targets: the cross entropy of `forward`, at less cost."""
        if self.recipe.asymmetric_softcap:
            logits_BTV = self.forward(tokens_BT, segments=segments)
            return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
        with self.autocast():
            x_ND = rms_norm(self.features(tokens_BT, segments)).flatten(0, 1)
            is_chunked = self.compute.loss == "chunked"
            return mean_cross_entropy(x_ND, self.head_weight, targets_BT.flatten(), self.recipe.softcap, is_chunked)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        return autocast_to(self.choose_dtypes()[0], self.device)

    def choose_dtypes(self) -> tuple[torch.dtype, torch.dtype | None]:
        """Return the dtype of products on the model's device, and that of the residual stream if it is cast."""
        if self.dtypes is not None:
            return self.dtypes
        dtype = product_dtype(self.compute.precision, self.device)
        is_narrow = dtype == product_dtype(self.compute.stream, self.device) == torch.bfloat16
        return dtype, dtype if is_narrow else None

    @property
    def device(self) -> torch.device:
        return self.embedding.tokens.device

    @property
    def head_weight(self) -> Tensor:
        """The matrix that makes logits: the token embedding itself if it is tied."""
        return self.head if self.head is not None else self.embedding.tokens

    def features(self, tokens_BT: Tensor, segments: Segments | None, last: int | None = None) -> Tensor:
        """Return the residual stream of the `last` tokens after the last execution.

        Of the other tokens, that execution computes keys and values only, unless `compute.scoring` is `one_by_one`.

        Shapes: (B, T) -> (B, T or last, D).
        """
        # A local MLP may look at neighbouring tokens, so it gets all of them.
        is_narrowed = self.compute.scoring == "together" and not isinstance(self.recipe.mlp, LocalMlp)
        context = self.forward_context(tokens_BT, segments)
        x_BTD = context.embedded_BTD
        first_value_BTF: Tensor | None = None
        second_BTD: Tensor | None = None
        skips: list[Tensor] = []
        for number, execution in enumerate(self.plan):
            if execution.skips_into_first_lane:
                second_BTD = x_BTD
            if execution.pops_skip is not None:
                x_BTD = context.cast(self.add_skip(x_BTD, skips.pop(), execution.pops_skip))
            if execution.instruction is not None and self.instructions is not None:
                x_BTD = context.cast(x_BTD + self.instructions(x_BTD, execution.instruction))
            needed = last if is_narrowed and number == len(self.plan) - 1 else None
            inputs = self.block_inputs(context, execution, first_value_BTF, needed)
            block = self.get_submodule(execution.block)
            assert isinstance(block, Block)
            if execution.parallel == "lanes":
                second_BTD = x_BTD if second_BTD is None else second_BTD
                x_BTD, second_BTD, v_BTF = block.forward_lanes(x_BTD, second_BTD, inputs)
            else:
                after_BTD, v_BTF = block(x_BTD, inputs)
                x_BTD = context.cast(self.blend_output(inputs.needed(x_BTD), after_BTD, execution.blend))
            first_value_BTF = v_BTF if first_value_BTF is None else first_value_BTF
            if execution.pushes_skip:
                skips.append(x_BTD)
        x_BTD = x_BTD if second_BTD is None else (x_BTD + second_BTD) / 2
        return x_BTD if last is None else x_BTD[:, -last:]

    def forward_context(self, tokens_BT: Tensor, segments: Segments | None) -> ForwardContext:
        """Return what all executions of a forward pass share."""
        x_BTD: Tensor = self.embedding(tokens_BT, segments)
        dtype, value = self.choose_dtypes()[1], self.embedding.value
        is_added = any(execution.adds_value is not None for execution in self.plan)
        return ForwardContext(
            embedded_BTD=x_BTD if dtype is None else x_BTD.to(dtype),
            attend=self.attention_function(segments),
            value_embedding_BTF=value(tokens_BT) if value is not None and is_added else None,
            stream_dtype=dtype,
        )

    def attention_function(self, segments: Segments | None) -> AttentionFunction:
        """Return the attention that the recipe asks for, within segments if there are any."""
        if self.compute.attention == "flash_attn":
            from trainer.model.flash_attention import make_flash_attention

            return make_flash_attention(segments)
        return make_attention_function(self.compute.attention, self.device.type, self.recipe.head_width, segments)

    def block_inputs(
        self, context: ForwardContext, execution: Execution, first_value_BTF: Tensor | None, last: int | None
    ) -> BlockInputs:
        """Return what an execution gives its block besides the residual stream."""
        row, scales = execution.scale_row, self.execution_scales
        return BlockInputs(
            context,
            execution,
            self.rotaries[execution.rope],
            attention_scale_D=None if row is None else scales["attention"][row],
            mlp_scale_D=None if row is None else scales["mlp"][row],
            input_mix_2D=scales["input_mix"][row] if row is not None and "input_mix" in scales else None,
            added_value_BTF=self.added_value(execution, context.value_embedding_BTF, first_value_BTF),
            last=last,
        )

    def added_value(
        self, execution: Execution, values_BTF: Tensor | None, first_value_BTF: Tensor | None
    ) -> Tensor | None:
        """Return what an execution adds to its values: the value embedding, the first values, both or None."""
        added_BTF: Tensor | None = None
        if execution.adds_value is not None:
            value = self.embedding.value
            assert value is not None and value.factors is not None and values_BTF is not None
            added_BTF = value.factors[execution.adds_value] * values_BTF
        if execution.adds_first_value is not None:
            assert self.value_residuals is not None and first_value_BTF is not None
            residual_BTF = torch.sigmoid(self.value_residuals[execution.adds_first_value]) * first_value_BTF
            added_BTF = residual_BTF if added_BTF is None else added_BTF + residual_BTF
        return added_BTF

    def add_skip(self, x_BTD: Tensor, skip_BTD: Tensor, row: int) -> Tensor:
        """Return the residual stream with an earlier output: added, or mixed in by a learned gate."""
        assert self.skip_weights is not None
        skip_BTD = self.skip_weights[row] * skip_BTD
        if self.skip_gates is None:
            return x_BTD + skip_BTD
        return torch.lerp(skip_BTD, x_BTD.to(skip_BTD.dtype), torch.sigmoid(self.skip_gates[row]))

    def blend_output(self, x_BTD: Tensor, after_BTD: Tensor, row: int | None) -> Tensor:
        """Return the output of a block, or the residual stream with a learned share of it."""
        if row is None:
            return after_BTD
        assert self.blends is not None
        return x_BTD + self.blends[row] * (after_BTD - x_BTD)


def build_blocks(model: Gpt, plan: Plan) -> dict[str, nn.ModuleList]:
    """Return the blocks of a plan by family: `flat.0` is the first of the family `flat`."""
    lanes = blocks_with_lanes(model, plan)
    families: dict[str, nn.ModuleList] = {}
    # Not a set: the order in which blocks draw their initial weights must not depend on hashes.
    for name in sorted(dict.fromkeys(execution.block for execution in plan), key=block_number):
        members = families.setdefault(name.partition(".")[0], nn.ModuleList())
        assert len(members) == block_number(name), f"{name} is not block {len(members)}"
        members.append(Block(model, name, name in lanes))
    return families


def block_number(name: str) -> int:
    """Return the number in the name of a block, 3 for `flat.3`."""
    return int(name.partition(".")[2])


def parameter_of(shapes: dict[str, tuple[int, ...]], name: str, value: Any) -> nn.Parameter | None:
    """Return a parameter filled with one value, or None if the inventory has no tensor of this name."""
    return nn.Parameter(torch.full(shapes[name], value)) if name in shapes else None
