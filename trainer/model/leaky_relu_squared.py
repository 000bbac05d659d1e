"""An MLP with leaky_relu(x)^2."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.linear import linear
from trainer.model.mlp import Mlp
from trainer.recipe.mlp import LeakyReluSquared


class LeakyReluSquaredMlp(Mlp):
    """down(s leaky_relu(up(x))^2 + t), without biases; s and t are learned for each hidden unit if `affine`.

    Source: openai/parameter-golf #549; affine, #861.
    """

    def __init__(self, width: int, hidden_width: int, recipe: LeakyReluSquared) -> None:
        super().__init__()
        self.slope = recipe.slope
        self.up = nn.Parameter(torch.empty(hidden_width, width))
        self.down = nn.Parameter(torch.zeros(width, hidden_width))
        self.scale = nn.Parameter(torch.ones(hidden_width)) if recipe.affine else None
        self.shift = nn.Parameter(torch.zeros(hidden_width)) if recipe.affine else None

    def readers(self) -> list[nn.Parameter]:
        return [self.up]

    def forward(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        hidden_BTM = F.leaky_relu(linear(x_BTD, self.up), self.slope).square()
        if self.scale is not None and self.shift is not None:
            hidden_BTM = torch.addcmul(self.shift, self.scale, hidden_BTM)
        return linear(hidden_BTM, self.down, scale_D)
