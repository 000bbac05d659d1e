"""A block: attention, then the MLP, each added to the stream."""

import torch
from torch import Tensor, nn

from trainer.model.attention import GroupedQueryAttention
from trainer.model.mlp import ReluSquaredMlp
from trainer.model.norm import rms_norm
from trainer.model.rope import Rotary
from trainer.recipe.model import Gpt


class Block(nn.Module):
    """A pre-norm transformer block whose two branches have learned scales a channel."""

    def __init__(self, model: Gpt) -> None:
        super().__init__()
        self.attention = GroupedQueryAttention(model)
        self.mlp = ReluSquaredMlp(model)
        self.attention_scale = nn.Parameter(torch.ones(model.width))
        self.mlp_scale = nn.Parameter(torch.ones(model.width))
        self.input_mix: nn.Parameter | None = None
        if model.topology.input_mix:
            self.input_mix = nn.Parameter(torch.stack((torch.ones(model.width), torch.zeros(model.width))))

    def forward(self, x_BTD: Tensor, first_BTD: Tensor, rotary: Rotary, mask_B1TT: Tensor | None = None) -> Tensor:
        """The stream after this block; `first_BTD` is the stream as the embedding left it."""
        if self.input_mix is not None:
            x_BTD = self.input_mix[0] * x_BTD + self.input_mix[1] * first_BTD
        x_BTD = x_BTD + self.attention(rms_norm(x_BTD), self.attention_scale, rotary, mask_B1TT)
        mlp_BTD: Tensor = self.mlp(rms_norm(x_BTD), self.mlp_scale)
        return x_BTD + mlp_BTD
