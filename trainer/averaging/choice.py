"""The choice of the exported candidate, by its loss on training text, never on validation text."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.model.gpt import GptModel


def choose_candidate(
    model: GptModel, candidates: Mapping[str, Mapping[str, Tensor]], sequences: list[Tensor]
) -> dict[str, float]:
    """Load the best candidate into the model and return the mean nats per token of each, best first.

    A single candidate is not measured; its loss is given as 0.0. Shapes: sequences of (1, T + 1).
    """
    # The "last" candidate is the model's own tensors, which loading another candidate overwrites.
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
    """Return the mean nats per token over the sequences."""
    total = 0.0
    for tokens_1T in sequences:
        total += model.mean_loss(tokens_1T[:, :-1], tokens_1T[:, 1:]).item()
    return total / len(sequences)
