"""Consecutive windows; after the last shard the first one follows."""

import numpy as np
from numpy.typing import NDArray


class SequentialOrder:
    """Contiguous windows: the last target of one is the first input of the next.

    The loader of the challenge's baseline instead skips one transition between batches.
    """

    def __init__(self, window_tokens: int, position: int = 0) -> None:
        self.window_tokens = window_tokens
        self.position = position

    def draw(self, windows: int) -> NDArray[np.int64]:
        starts = self.position + self.window_tokens * np.arange(windows, dtype=np.int64)
        self.position += self.window_tokens * windows
        return starts

    def state(self) -> dict[str, int]:
        return {"position": self.position}

    def restore(self, state: dict[str, int]) -> None:
        self.position = state["position"]
