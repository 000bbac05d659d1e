"""The beginning of the training text, on which some published scripts calibrate."""

from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.data.shards import TokenStream


def first_sequences(stream: TokenStream, count: int, tokens: int, device: torch.device) -> Iterator[Tensor]:
    """Yield consecutive sequences from the beginning of the stream (#576, #1535). Shapes: (1, T) each, int64."""
    for number in range(count):
        yield torch.from_numpy(stream.read(number * tokens, tokens)).to(device)[None]
