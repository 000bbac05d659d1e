"""What an execution brings to its block."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.model.attention_function import AttentionFunction
from trainer.model.rope import Rotary
from trainer.recipe.plan import Execution


@dataclass(frozen=True, slots=True)
class ForwardContext:
    """One way through the plan: what all of its executions share."""

    embedded_BTD: Tensor
    """The stream as the embedding left it."""
    attend: AttentionFunction
    """What computes attention, and knows which earlier tokens may be seen."""
    value_embedding_BTF: Tensor | None = None
    """What some executions add to their values."""
    stream_dtype: torch.dtype | None = None
    """What the stream is kept in, if not in the type of its sums."""

    def cast(self, x_BTD: Tensor) -> Tensor:
        """x in the type that the stream is kept in. Shapes: unchanged."""
        return x_BTD if self.stream_dtype is None else x_BTD.to(self.stream_dtype)


@dataclass(frozen=True, slots=True)
class BlockInputs:
    """One step of the plan, with the tensors that belong to it and not to the block."""

    context: ForwardContext
    execution: Execution
    rotary: Rotary
    attention_scale_D: Tensor | None = None
    """In place of the block's own scale; the same holds for the two below."""
    mlp_scale_D: Tensor | None = None
    input_mix_2D: Tensor | None = None
    added_value_BTF: Tensor | None = None
    """What is added to the values of all key/value heads, side by side (F)."""
    last: int | None = None
    """Of how many tokens at the end something is asked; None: of all."""

    def needed(self, x_BTN: Tensor) -> Tensor:
        """The rows of the tokens of which something is asked. Shapes: (B, T, N) -> (B, S, N)."""
        return x_BTN if self.last is None else x_BTN[:, -self.last :]
