"""A block: attention and an MLP, each added to the stream."""

import torch
from torch import Tensor, nn

from trainer.model.lanes import Lanes
from trainer.model.linear import narrowed
from trainer.model.norm import rms_norm
from trainer.model.slots import make_attention, make_mlp
from trainer.model.visit import Visit
from trainer.recipe.model import Gpt


class Block(nn.Module):
    """A pre-norm transformer block whose two branches have scales a channel, of its own or of each execution."""

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
        """Nothing; matrices that read the stream are uniform(-1/sqrt(columns), 1/sqrt(columns)), or orthogonal."""
        for matrix in (*self.attention.readers(), *self.mlp.readers()):
            if how == "orthogonal":
                nn.init.orthogonal_(matrix)
            else:
                bound = matrix.size(1) ** -0.5
                nn.init.uniform_(matrix, -bound, bound)

    def forward(self, x_BTD: Tensor, visit: Visit) -> tuple[Tensor, Tensor]:
        """The stream after this block, where the visit asks for it, and the values that attention has used.

        Shapes: (B, T, D) -> (B, S, D), (B, T, F).
        """
        u_BTD = visit.walk.kept(self.mixed(x_BTD, visit))
        normed_BTD = normed(u_BTD, visit)
        attended_BSD, v_BTF = self.attend(normed_BTD, visit)
        u_BSD = visit.asked(u_BTD)
        if visit.execution.parallel == "sum":
            return visit.walk.kept(u_BSD + attended_BSD + self.think(visit.asked(normed_BTD), visit)), v_BTF
        x_BSD = visit.walk.kept(u_BSD + attended_BSD)
        return visit.walk.kept(x_BSD + self.think(normed(x_BSD, visit), visit)), v_BTF

    def forward_lanes(self, a_BTD: Tensor, b_BTD: Tensor, visit: Visit) -> tuple[Tensor, Tensor, Tensor]:
        """Both lanes after this block, of which attention reads the first and the MLP the second, and the values."""
        assert self.lanes is not None
        attended_BSD, v_BTF = self.attend(normed(self.mixed(a_BTD, visit), visit), visit)
        a_BSD, b_BSD = visit.asked(a_BTD), visit.asked(b_BTD)
        thought_BSD = self.think(normed(b_BSD, visit), visit)
        first_BSD, second_BSD = self.lanes(a_BSD, b_BSD, attended_BSD, thought_BSD)
        return visit.walk.kept(first_BSD), visit.walk.kept(second_BSD), v_BTF

    def mixed(self, x_BTD: Tensor, visit: Visit) -> Tensor:
        """The stream with a share of the first embedding."""
        mix_2D = self.input_mix if visit.input_mix_2D is None else visit.input_mix_2D
        return x_BTD if mix_2D is None else mix_2D[0] * x_BTD + mix_2D[1] * visit.walk.first_BTD

    def attend(self, normed_BTD: Tensor, visit: Visit) -> tuple[Tensor, Tensor]:
        scale_D = self.attention_scale if visit.attention_scale_D is None else visit.attention_scale_D
        attended_BTD, v_BTF = self.attention(normed_BTD, scale_D, visit)
        return visit.asked(attended_BTD), v_BTF  # a component of one's own may answer for all tokens

    def think(self, normed_BTD: Tensor, visit: Visit) -> Tensor:
        scale_D = self.mlp_scale if visit.mlp_scale_D is None else visit.mlp_scale_D
        thought_BTD: Tensor = self.mlp(normed_BTD, scale_D)
        return thought_BTD


def normed(x_BTD: Tensor, visit: Visit) -> Tensor:
    """What a branch reads, in the type of its products."""
    factor, normed_BTD = visit.execution.norm_factor, rms_norm(x_BTD)
    return narrowed(normed_BTD if factor == 1.0 else factor * normed_BTD)
