"""The embedding: how tokens enter the residual stream."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.linear import linear
from trainer.model.norm import rms_norm
from trainer.model.segments import Segments, number_segments
from trainer.model.smear import make_smear
from trainer.recipe.embedding import Bigram, ValueEmbedding
from trainer.recipe.model import Gpt


class TokenEmbedding(nn.Module):
    """The token table and, if the recipe has them, a bigram table, a smear and a value embedding."""

    def __init__(self, model: Gpt, vocabulary_size: int) -> None:
        super().__init__()
        recipe = model.embedding
        self.tokens = nn.Parameter(torch.empty(vocabulary_size, model.width))
        self.bigram = None if recipe.bigram is None else BigramTable(recipe.bigram, model.width)
        self.value = None if recipe.value is None else ValueTable(recipe.value, vocabulary_size, model.kv_width)
        self.smear = make_smear(recipe.smear, model.width)

    def forward(self, tokens_BT: Tensor, segments: Segments | None) -> Tensor:
        """Return the residual stream before the first block. Shapes: (B, T) -> (B, T, D)."""
        x_BTD = F.embedding(tokens_BT, self.tokens)
        if self.bigram is not None:
            x_BTD = x_BTD + self.bigram(tokens_BT, segments)
        if self.smear is None:
            return rms_norm(x_BTD)
        smeared_BTD: Tensor = self.smear(x_BTD, tokens_BT, segments)
        return smeared_BTD


class BigramTable(nn.Module):
    """A hashed embedding of each token with the one before it."""

    def __init__(self, recipe: Bigram, width: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.table = nn.Parameter(torch.empty(recipe.buckets, recipe.width))
        self.projection = nn.Parameter(torch.zeros(width, recipe.width))
        self.scale = None if recipe.scale is None else nn.Parameter(torch.tensor(recipe.scale))

    def initialise(self) -> None:
        nn.init.normal_(self.table, std=self.recipe.deviation)
        initialise_projection(self.projection, self.recipe.orthogonal_projection)

    def forward(self, tokens_BT: Tensor, segments: Segments | None = None) -> Tensor:
        """Return the vector of each token with the one before it.

        Shapes: (B, T) -> (B, T, D).
        """
        buckets_BT = bigram_buckets(tokens_BT, self.recipe, segments)
        pairs_BTD = linear(F.embedding(buckets_BT, self.table), self.projection)
        return pairs_BTD if self.scale is None else self.scale * pairs_BTD


def bigram_buckets(tokens_BT: Tensor, recipe: Bigram, segments: Segments | None = None) -> Tensor:
    """Return the bucket of each token with the one before it.

    Token 0 stands before the first token of a sequence, and of each segment if there are any.

    Shapes: (B, T) -> (B, T), int64.

    Source: openai/parameter-golf #927 (multiply), #549 (xor), #861 (prime_sum).
    """
    is_first_BT = torch.zeros_like(tokens_BT, dtype=torch.bool)
    is_first_BT[:, 0] = True
    if segments is not None:
        is_first_BT[:, 1:] = number_segments(segments, tokens_BT).diff() != 0
    before_BT = F.pad(tokens_BT, (1, 0))[:, :-1].masked_fill(is_first_BT, 0)
    match recipe.hash:
        case "multiply":
            return (before_BT * 92_821 + tokens_BT) % recipe.buckets
        case "prime_sum":
            return (before_BT * 1_009 + tokens_BT) % recipe.buckets
        case "xor":
            buckets_BT = ((tokens_BT * 36_313) ^ (before_BT * 27_191)) % (recipe.buckets - 1)
            return buckets_BT.masked_fill(is_first_BT, recipe.buckets - 1)


class ValueTable(nn.Module):
    """An embedding of each token that some executions add to their values."""

    def __init__(self, recipe: ValueEmbedding, vocabulary_size: int, kv_width: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.table = nn.Parameter(torch.empty(vocabulary_size, recipe.width))
        self.projection = nn.Parameter(torch.zeros(kv_width, recipe.width))
        self.scale = None if recipe.scale is None else nn.Parameter(torch.tensor(recipe.scale))
        factors = recipe.last_executions + recipe.published_unused
        self.factors = nn.Parameter(torch.ones(factors)) if factors else None

    def initialise(self) -> None:
        nn.init.normal_(self.table, std=self.recipe.deviation)
        initialise_projection(self.projection, self.recipe.orthogonal_projection)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the addend of all key/value heads side by side, before each execution's factor.

        Shapes: (B, T) -> (B, T, F).
        """
        value_BTF = linear(F.embedding(tokens_BT, self.table), self.projection)
        return value_BTF if self.scale is None else self.scale * value_BTF


def initialise_projection(projection_RC: Tensor, gain: float) -> None:
    """Make the projection orthogonal times `gain`, or zero if `gain` is 0."""
    if gain:
        nn.init.orthogonal_(projection_RC, gain)
    else:
        nn.init.zeros_(projection_RC)
