"""Which candidate is exported. Never a matter of validation text."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.model.gpt import GptModel


def choose_candidate(
    model: GptModel, candidates: Mapping[str, Mapping[str, Tensor]], sequences: list[Tensor]
) -> dict[str, float]:
    """Mean nats a token of each candidate on some training text, the best first, whose weights the model then holds.

    A single candidate is not measured. Shapes: sequences of (1, T + 1).
    """
    # The last weights are the model's own, which trying another candidate would overwrite.
    kept = {
        name: {key: weight.detach().clone() for key, weight in weights.items()} for name, weights in candidates.items()
    }
    losses = {}
    for name, weights in kept.items():
        model.load_state_dict(weights)
        losses[name] = training_loss(model, sequences) if len(kept) > 1 else 0.0
    ranked = dict(sorted(losses.items(), key=lambda item: item[1]))
    model.load_state_dict(kept[next(iter(ranked))])
    return ranked


@torch.no_grad()
def training_loss(model: GptModel, sequences: list[Tensor]) -> float:
    """Mean nats a token over some sequences."""
    total = 0.0
    for tokens_1T in sequences:
        total += model.mean_loss(tokens_1T[:, :-1], tokens_1T[:, 1:]).item()
    return total / len(sequences)
