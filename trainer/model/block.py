"""A block: attention and an MLP, each added to the residual stream."""

import torch
from torch import Tensor, nn

from trainer.model.block_inputs import BlockInputs
from trainer.model.lanes import Lanes
from trainer.model.linear import to_product_dtype
from trainer.model.norm import rms_norm
from trainer.model.slots import make_attention, make_mlp
from trainer.recipe.model import Gpt


class Block(nn.Module):
    """A pre-norm transformer block. Each branch has a scale per channel, the block's own or one of each execution."""

    def __init__(self, model: Gpt, name: str, has_lanes: bool) -> None:
        super().__init__()
        self.attention = make_attention(model)
        self.mlp = make_mlp(model, model.hidden_width(name))
        self.attention_scale: nn.Parameter | None = None
        self.mlp_scale: nn.Parameter | None = None
        self.input_mix: nn.Parameter | None = None
        if model.topology.scales == "block":
            self.attention_scale = nn.Parameter(torch.ones(model.width))
            self.mlp_scale = nn.Parameter(torch.ones(model.width))
            if model.topology.input_mix:
                self.input_mix = nn.Parameter(torch.stack((torch.ones(model.width), torch.zeros(model.width))))
        self.lanes = Lanes() if has_lanes else None

    def initialise(self, how: str) -> None:
        """Make matrices that read the residual stream orthogonal, or uniform(-1/sqrt(columns), 1/sqrt(columns))."""
        for matrix in (*self.attention.readers(), *self.mlp.readers()):
            if how == "orthogonal":
                nn.init.orthogonal_(matrix)
            else:
                bound = matrix.size(1) ** -0.5
                nn.init.uniform_(matrix, -bound, bound)

    def forward(self, x_BTD: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor]:
        """Return the residual stream of the needed tokens after this block, and the values of attention.

        Shapes: (B, T, D) -> (B, S, D), (B, T, F).
        """
        cast = inputs.context.cast
        u_BTD = cast(self.mix_input(x_BTD, inputs))
        normed_BTD = norm_input(u_BTD, inputs)
        attended_BSD, v_BTF = self.apply_attention(normed_BTD, inputs)
        u_BSD = inputs.needed(u_BTD)
        if inputs.execution.parallel == "sum":
            return cast(u_BSD + attended_BSD + self.apply_mlp(inputs.needed(normed_BTD), inputs)), v_BTF
        x_BSD = cast(u_BSD + attended_BSD)
        return cast(x_BSD + self.apply_mlp(norm_input(x_BSD, inputs), inputs)), v_BTF

    def forward_lanes(self, a_BTD: Tensor, b_BTD: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor, Tensor]:
        """Return both lanes after this block and the values: attention reads the first lane, the MLP the second."""
        assert self.lanes is not None
        attended_BSD, v_BTF = self.apply_attention(norm_input(self.mix_input(a_BTD, inputs), inputs), inputs)
        a_BSD, b_BSD = inputs.needed(a_BTD), inputs.needed(b_BTD)
        mlp_BSD = self.apply_mlp(norm_input(b_BSD, inputs), inputs)
        first_BSD, second_BSD = self.lanes(a_BSD, b_BSD, attended_BSD, mlp_BSD)
        return inputs.context.cast(first_BSD), inputs.context.cast(second_BSD), v_BTF

    def mix_input(self, x_BTD: Tensor, inputs: BlockInputs) -> Tensor:
        """Return the residual stream mixed with the embedding."""
        mix_2D = self.input_mix if inputs.input_mix_2D is None else inputs.input_mix_2D
        return x_BTD if mix_2D is None else mix_2D[0] * x_BTD + mix_2D[1] * inputs.context.embedded_BTD

    def apply_attention(self, normed_BTD: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor]:
        scale_D = self.attention_scale if inputs.attention_scale_D is None else inputs.attention_scale_D
        attended_BTD, v_BTF = self.attention(normed_BTD, scale_D, inputs)
        return inputs.needed(attended_BTD), v_BTF  # local attention may return all tokens

    def apply_mlp(self, normed_BTD: Tensor, inputs: BlockInputs) -> Tensor:
        scale_D = self.mlp_scale if inputs.mlp_scale_D is None else inputs.mlp_scale_D
        mlp_BTD: Tensor = self.mlp(normed_BTD, scale_D)
        return mlp_BTD


def norm_input(x_BTD: Tensor, inputs: BlockInputs) -> Tensor:
    """Return the normed input of a branch, in the dtype of its products."""
    factor, normed_BTD = inputs.execution.norm_factor, rms_norm(x_BTD)
    return to_product_dtype(normed_BTD if factor == 1.0 else factor * normed_BTD)
