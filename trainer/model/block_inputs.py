"""What a block is given besides the residual stream."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.model.attention_function import AttentionFunction
from trainer.model.rope import Rotary
from trainer.recipe.plan import Execution


@dataclass(frozen=True, slots=True)
class ForwardContext:
    """What all executions of one forward pass share."""

    embedded_BTD: Tensor
    """The residual stream before the first block."""
    attend: AttentionFunction
    """Attention with its mask."""
    value_embedding_BTF: Tensor | None = None
    """The value embedding, which some executions add to their values."""
    stream_dtype: torch.dtype | None = None
    """The dtype that the residual stream is cast to; None leaves it as it is."""

    def cast(self, x_BTD: Tensor) -> Tensor:
        """Return x in the dtype of the residual stream. Shapes: unchanged."""
        return x_BTD if self.stream_dtype is None else x_BTD.to(self.stream_dtype)


@dataclass(frozen=True, slots=True)
class BlockInputs:
    """One execution of the plan, with the tensors that belong to it and not to its block."""

    context: ForwardContext
    execution: Execution
    rotary: Rotary
    attention_scale_D: Tensor | None = None
    """Replaces the block's own scale, as do the two below."""
    mlp_scale_D: Tensor | None = None
    input_mix_2D: Tensor | None = None
    added_value_BTF: Tensor | None = None
    """Added to the values of all key/value heads, side by side (F)."""
    last: int | None = None
    """The output is needed for so many tokens at the end (S); None: for all."""

    def needed(self, x_BTN: Tensor) -> Tensor:
        """Return the rows of the tokens whose output is needed. Shapes: (B, T, N) -> (B, S, N)."""
        return x_BTN if self.last is None else x_BTN[:, -self.last :]
