"""The attention slot."""

from torch import Tensor, nn

from trainer.model.visit import Visit
from trainer.recipe.attention import GroupedQuery
from trainer.recipe.local import LocalAttention
from trainer.recipe.model import Gpt


class Attention(nn.Module):
    """What a block asks of attention: what tokens gather, each channel scaled, and the values that they gathered from.
    Those of which the visit asks nothing may be left out.

    Shapes: (B, T, D), (D,) -> (B, S or T, D), (B, T, F).
    """

    def readers(self) -> list[nn.Parameter]:
        """The matrices that read the stream, which the model initialises."""
        return []

    def forward(self, x_BTD: Tensor, scale_D: Tensor, visit: Visit) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def make_attention(model: Gpt) -> Attention:
    """The attention that a recipe names."""
    recipe = model.attention
    match recipe:
        case GroupedQuery():
            from trainer.model.grouped_query import GroupedQueryAttention

            return GroupedQueryAttention(model, recipe)
        case LocalAttention():
            from trainer.runtime.local_code import make_local

            made: Attention = make_local(recipe.file, recipe.class_name, model, **recipe.options)
            return made
