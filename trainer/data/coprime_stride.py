"""Windows mixed from several shards, each of which is visited with a coprime stride."""

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.shards import TokenStream
from trainer.recipe.loader import CoprimeStride
from trainer.runtime.failure import DataRefused

# Permutations and draws have independent random streams under one seed.
PERMUTATION_SALT, DRAW_SALT = 1, 2


@dataclass(frozen=True, slots=True)
class ShardPermutation:
    """The order of the windows of one shard in one epoch.

    The k-th window begins at first + ((start + k * stride) mod windows) * window_tokens. The stride shares no divisor
    with the number of windows, so that each window occurs once.
    """

    first: int
    windows: int
    start: int
    stride: int

    def position(self, number: int, window_tokens: int) -> int:
        """Return where in the stream the window with this number, from 0, begins."""
        return self.first + (self.start + number * self.stride) % self.windows * window_tokens


class CoprimeStrideOrder:
    """An order in which each draw mixes several shards, picked in proportion to their unread windows.

    Source: openai/parameter-golf #726, #1060; there the number of shards grows with the training time, here with the
    number of windows drawn, which is the same on every machine.
    """

    def __init__(self, recipe: CoprimeStride, stream: TokenStream, window_tokens: int, seed: int) -> None:
        self.recipe, self.stream, self.window_tokens, self.seed = recipe, stream, window_tokens, seed
        self.epoch = self.draws = self.drawn = 0
        self.permutations = self.permute_shards()
        self.left = self.windows_per_shard()
        if not self.left.sum():
            raise DataRefused(f"no training shard holds {window_tokens + 1} tokens: one window and its last target")
        self.epoch_windows = int(self.left.sum())

    def permute_shards(self) -> list[ShardPermutation]:
        """Return a permutation of each shard for the current epoch."""
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
        """Number of shards that the next draw mixes."""
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
        """Take at most `windows` windows, split equally among some shards with unread windows."""
        shares = self.left / self.left.sum()
        shards = rng.choice(len(shares), size=self.shards_to_mix, replace=False, p=shares)
        share, rest = divmod(windows, len(shards))
        positions: list[int] = []
        for number, shard in enumerate(shards):
            positions += self.take(int(shard), share + (number < rest))
        return positions

    def take(self, shard: int, windows: int) -> list[int]:
        """Take the next `windows` windows of a shard, or all that are left."""
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
