"""The loader slot: where in the stream the next windows begin.

An order is drawn from in any number of windows and knows nothing of steps, so that batches may change size during a
run. All ranks of a run draw the same windows and each reads its own part. An order depends on its recipe, the shards,
the seed and the number of windows drawn, never on time: after `restore` it continues exactly.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.data.shards import TokenStream
from trainer.recipe.loader import (
    CoprimeStride,
    DocumentPacking,
    DocumentRows,
    Sequential,
    ShuffledWindows,
)
from trainer.recipe.schedule import Warmdown


class WindowOrder(Protocol):
    """An order of windows, as a batch reader uses it."""

    def draw(self, windows: int) -> NDArray[np.int64]:
        """Return the stream positions at which the next windows begin. Shapes: (windows,)."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        ...

    def restore(self, state: dict[str, Any]) -> None: ...


def make_order(schedule: Warmdown, stream: TokenStream, seed: int, bos: int) -> WindowOrder:
    """Return the order that a recipe names. `bos` is the token that begins a document.

    Raises:
        DataRefused: the shards hold no full window, or no document.
    """
    window_tokens = schedule.window_tokens
    match schedule.loader:
        case Sequential():
            from trainer.data.sequential import SequentialOrder

            return SequentialOrder(window_tokens)
        case ShuffledWindows():
            from trainer.data.shuffled_windows import ShuffledWindowsOrder

            return ShuffledWindowsOrder(stream, window_tokens, seed)
        case CoprimeStride():
            from trainer.data.coprime_stride import CoprimeStrideOrder

            return CoprimeStrideOrder(schedule.loader, stream, window_tokens, seed)
        case DocumentPacking():
            from trainer.data.documents import first_document_start
            from trainer.data.sequential import SequentialOrder

            return SequentialOrder(window_tokens, first_document_start(stream, bos))
        case DocumentRows():
            from trainer.data.document_rows import DocumentRowsOrder

            return DocumentRowsOrder(schedule.loader, stream, schedule.batch_tokens // window_tokens, bos)
