"""All windows in random order, each epoch in another one."""

import numpy as np
from numpy.typing import NDArray

from trainer.data.shards import TokenStream
from trainer.runtime.failure import DataRefused


class ShuffledWindowsOrder:
    """A new random permutation of all windows each epoch.

    This is the distribution of the published loader, which picks a shard in proportion to its unread windows and then
    one of these. Windows do not cross shard boundaries.
    Source: openai/parameter-golf #1394.
    """

    def __init__(self, stream: TokenStream, window_tokens: int, seed: int) -> None:
        self.stream, self.window_tokens, self.seed = stream, window_tokens, seed
        self.epoch = self.drawn = 0
        self.windows = self.shuffle()

    def shuffle(self) -> NDArray[np.int64]:
        """Return the windows of the current epoch; each shard is cut into windows from a random offset on.

        Raises:
            DataRefused: no shard is long enough for a window.
        """
        rng = np.random.default_rng((self.seed, self.epoch))
        parts = []
        for start, tokens in zip(self.stream.starts, self.stream.lengths, strict=False):
            # A window needs one more token for its last target. The offset must not cost a short shard its only window.
            slack = (tokens - 1) % self.window_tokens if tokens <= 2 * self.window_tokens else self.window_tokens - 1
            offset = int(rng.integers(slack + 1))
            count = max(0, (tokens - 1 - offset) // self.window_tokens)
            parts.append(start + offset + self.window_tokens * np.arange(count, dtype=np.int64))
        windows = np.concatenate(parts)
        if not len(windows):
            raise DataRefused(
                f"no training shard holds {self.window_tokens + 1} tokens: one window and its last target"
            )
        rng.shuffle(windows)
        return windows

    def draw(self, windows: int) -> NDArray[np.int64]:
        pieces = []
        while windows > 0:
            pieces.append(self.windows[self.drawn : self.drawn + windows])
            self.drawn += len(pieces[-1])
            windows -= len(pieces[-1])
            if self.drawn == len(self.windows):
                self.epoch, self.drawn = self.epoch + 1, 0
                self.windows = self.shuffle()
        return np.concatenate(pieces)

    def state(self) -> dict[str, int]:
        return {"epoch": self.epoch, "drawn": self.drawn}

    def restore(self, state: dict[str, int]) -> None:
        if state["epoch"] != self.epoch:
            self.epoch = state["epoch"]
            self.windows = self.shuffle()
        self.drawn = state["drawn"]
