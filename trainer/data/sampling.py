"""Random sequences of training text, for calibration and for comparing candidates."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainer.data.shards import TokenStream


def random_sequences(stream: TokenStream, count: int, tokens: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Yield sequences from random positions, determined by the seed. Shapes: (1, T) each, int64."""
    generator = np.random.default_rng(seed)
    for start in generator.integers(max(1, len(stream) - tokens + 1), size=count):
        yield torch.from_numpy(stream.read(int(start), tokens)).to(device)[None]
