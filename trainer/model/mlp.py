"""The MLP slot."""

from torch import Tensor, nn

from trainer.recipe.local import LocalMlp
from trainer.recipe.mlp import LeakyReluSquared, ReluSquared, SwiGlu
from trainer.recipe.model import Gpt


class Mlp(nn.Module):
    """What a block asks of an MLP: its output, each channel scaled. Shapes: (B, T, D), (D,) -> (B, T, D)."""

    def readers(self) -> list[nn.Parameter]:
        """The matrices that read the stream, which the model initialises."""
        return []

    def forward(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        raise NotImplementedError


def make_mlp(model: Gpt, hidden_width: int) -> Mlp:
    """The MLP that a recipe names."""
    match model.mlp:
        case ReluSquared():
            from trainer.model.relu_squared import ReluSquaredMlp

            return ReluSquaredMlp(model.width, hidden_width)
        case LeakyReluSquared():
            from trainer.model.leaky_relu_squared import LeakyReluSquaredMlp

            return LeakyReluSquaredMlp(model.width, hidden_width, model.mlp)
        case LocalMlp():
            from trainer.runtime.local_code import make_local

            made: Mlp = make_local(model.mlp.file, model.mlp.class_name, model.width, hidden_width, **model.mlp.options)
            return made
        case SwiGlu():
            from trainer.model.swiglu import SwiGluMlp

            return SwiGluMlp(model.width, hidden_width)
