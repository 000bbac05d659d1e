"""The attention and the MLP of a block, by the kind that the recipe names."""

from trainer.model.attention import Attention
from trainer.model.mlp import Mlp
from trainer.recipe.attention import GroupedQuery
from trainer.recipe.local import LocalAttention, LocalMlp
from trainer.recipe.mlp import LeakyReluSquared, ReluSquared, SwiGlu
from trainer.recipe.model import Gpt


def make_attention(model: Gpt) -> Attention:
    """Return the attention that the recipe names."""
    recipe = model.attention
    match recipe:
        case GroupedQuery():
            from trainer.model.grouped_query import GroupedQueryAttention

            return GroupedQueryAttention(model, recipe)
        case LocalAttention():
            from trainer.runtime.local_code import make_local

            made: Attention = make_local(recipe.file, recipe.class_name, model, **recipe.options)
            return made


def make_mlp(model: Gpt, hidden_width: int) -> Mlp:
    """Return the MLP that the recipe names."""
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
