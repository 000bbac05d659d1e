"""Smears: embeddings mixed with that of the token before."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.norm import rms_norm
from trainer.model.segments import Segments, number_segments
from trainer.recipe.embedding import ChannelSmear, GatedSmear, NoSmear, SmearRecipe


def make_smear(recipe: SmearRecipe, width: int) -> nn.Module | None:
    """Return the module that norms and mixes embeddings, or None if they are only normed."""
    match recipe:
        case ChannelSmear():
            return ChannelGate(width)
        case GatedSmear():
            return DocumentGate(recipe)
        case NoSmear():
            return None


class ChannelGate(nn.Module):
    """(1 - g) x_t + g x_(t-1) of the normed embedding, g = sigmoid of a learned vector.

    The first tokens of segments mix in nothing.

    Source: SmearGate of openai/parameter-golf #549.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(width))

    def forward(self, x_BTD: Tensor, tokens_BT: Tensor, segments: Segments | None) -> Tensor:
        x_BTD = rms_norm(x_BTD)
        before_BTD = shifted(x_BTD)
        if segments is not None:
            numbers_BT = number_segments(segments, tokens_BT)
            before_BTD = before_BTD * (numbers_BT == F.pad(numbers_BT, (1, 0))[:, :-1])[..., None]
        return torch.lerp(x_BTD, before_BTD, torch.sigmoid(self.gate).to(x_BTD.dtype))


class DocumentGate(nn.Module):
    """norm(e_t + s sigmoid(w e_t[:inputs]) e_(t-1)), except for the first token of a document if this is known.

    Source: SmearGate of openai/parameter-golf #1667, and with a document mask of #1855.
    """

    def __init__(self, recipe: GatedSmear) -> None:
        super().__init__()
        self.document_token = recipe.document_token
        self.gate = nn.Parameter(torch.zeros(recipe.inputs))
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x_BTD: Tensor, tokens_BT: Tensor, segments: Segments | None) -> Tensor:
        share_BT1 = self.scale * torch.sigmoid(x_BTD[..., : len(self.gate)] @ self.gate)[..., None]
        if self.document_token is not None:
            share_BT1 = share_BT1 * (tokens_BT != self.document_token)[..., None]
        return rms_norm(x_BTD + share_BT1 * shifted(x_BTD))


def shifted(x_BTD: Tensor) -> Tensor:
    """Return the row of the token before each token, zeros for the first. Shapes: unchanged."""
    return F.pad(x_BTD, (0, 0, 1, 0))[:, :-1]
