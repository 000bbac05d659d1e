"""Random sequences of training text, for calibration and for comparing candidates."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainer.data.shards import TokenStream


def random_sequences(stream: TokenStream, count: int, tokens: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Yield sequences from random positions, determined by the seed. Shapes: (1, T) each, int64."""
    for start in random_starts(len(stream), count, tokens, seed):
        yield torch.from_numpy(stream.read(start, tokens)).to(device)[None]


def random_starts(size: int, count: int, tokens: int, seed: int) -> list[int]:
    """Return where these sequences begin, in a text of `size` tokens."""
    starts: list[int] = np.random.default_rng(seed).integers(max(1, size - tokens + 1), size=count).tolist()
    return starts
