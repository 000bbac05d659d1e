"""Windows from many shards at once, each shard walked by a coprime stride."""

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.shards import TokenStream
from trainer.recipe.loader import CoprimeStride
from trainer.runtime.failure import DataRefused

# Walks and draws have chances of their own under one seed.
PERMUTATION_SALT, DRAW_SALT = 1, 2


@dataclass(frozen=True, slots=True)
class ShardPermutation:
    """The way through one shard in one epoch: window k begins at first + ((start + k * stride) mod windows) * length.

    The stride shares no divisor with the number of windows, and so each is met once.
    """

    first: int
    windows: int
    start: int
    stride: int

    def position(self, number: int, window_tokens: int) -> int:
        """Where the window met as `number`, from 0, begins in the stream."""
        return self.first + (self.start + number * self.stride) % self.windows * window_tokens


class CoprimeStrideOrder:
    """Each step draws from several shards, picked in proportion to what they have left.

    Source: openai/parameter-golf #726, #1060; there the number of shards grows with the training clock, here with the
    windows drawn, which makes it the same on every machine.
    """

    def __init__(self, recipe: CoprimeStride, stream: TokenStream, window_tokens: int, seed: int) -> None:
        self.recipe, self.stream, self.window_tokens, self.seed = recipe, stream, window_tokens, seed
        self.epoch = self.draws = self.drawn = 0
        self.permutations = self.permute_shards()
        self.left = self.windows_per_shard()
        if not self.left.sum():
            raise DataRefused(f"no training shard holds {window_tokens + 1} tokens, one window and its last target")
        self.epoch_windows = int(self.left.sum())

    def permute_shards(self) -> list[ShardPermutation]:
        """The way through every shard in the present epoch."""
        return [self.permute_shard(shard) for shard in range(len(self.stream.lengths))]

    def permute_shard(self, shard: int) -> ShardPermutation:
        rng = np.random.default_rng((PERMUTATION_SALT, self.seed, self.epoch, shard))
        spare = self.stream.lengths[shard] - 1
        windows = max(0, spare // self.window_tokens)
        offset = int(rng.integers(spare - windows * self.window_tokens + 1)) if windows else 0
        if windows < 2:
            return ShardPermutation(self.stream.starts[shard] + offset, windows, 0, 1)
        stride = int(rng.integers(1, windows))
        while gcd(stride, windows) > 1:
            stride = stride % (windows - 1) + 1
        return ShardPermutation(self.stream.starts[shard] + offset, windows, int(rng.integers(windows)), stride)

    def windows_per_shard(self) -> NDArray[np.int64]:
        return np.array([permutation.windows for permutation in self.permutations], dtype=np.int64)

    @property
    def shards_to_mix(self) -> int:
        """Shards that the next draw takes from."""
        share = min(1.0, self.drawn / self.epoch_windows)
        wanted = self.recipe.first_shards + share * (self.recipe.last_shards - self.recipe.first_shards)
        return min(round(wanted), int(np.count_nonzero(self.left)))

    def draw(self, windows: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((DRAW_SALT, self.seed, self.draws))
        positions: list[int] = []
        while len(positions) < windows:
            if not self.left.any():
                self.epoch += 1
                self.permutations = self.permute_shards()
                self.left = self.windows_per_shard()
            positions += self.mix(rng, windows - len(positions))
        self.draws += 1
        self.drawn += windows
        return np.array(positions, dtype=np.int64)

    def mix(self, rng: np.random.Generator, windows: int) -> list[int]:
        """At most so many windows, equally many from each of some shards that have any left."""
        shares = self.left / self.left.sum()
        shards = rng.choice(len(shares), size=self.shards_to_mix, replace=False, p=shares)
        share, rest = divmod(windows, len(shards))
        positions: list[int] = []
        for number, shard in enumerate(shards):
            positions += self.take(int(shard), share + (number < rest))
        return positions

    def take(self, shard: int, windows: int) -> list[int]:
        """The next windows of a shard, as many as it has left."""
        permutation, left = self.permutations[shard], int(self.left[shard])
        numbers = range(permutation.windows - left, permutation.windows - max(0, left - windows))
        self.left[shard] -= len(numbers)
        return [permutation.position(number, self.window_tokens) for number in numbers]

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "draws": self.draws, "drawn": self.drawn, "left": self.left.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.draws, self.drawn = state["epoch"], state["draws"], state["drawn"]
        self.permutations = self.permute_shards()
        self.left = np.array(state["left"], dtype=np.int64)
