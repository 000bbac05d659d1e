"""Documents packed into windows in which each attends only to itself."""

import torch
from torch import Tensor

from trainer.data.shards import TokenStream
from trainer.runtime.failure import DataRefused


def first_document_start(stream: TokenStream, bos: int) -> int:
    """Return where in the stream the first document begins; a shard may begin in the middle of one.

    Raises:
        DataRefused: no shard holds `bos`, the token that begins a document.
    """
    for start, part in zip(stream.starts, stream.parts, strict=False):
        found = (part == bos).argmax()
        if part[found] == bos:
            return int(start + found)
    raise DataRefused(f"no training shard holds token {bos}, which begins a document")


def number_documents(x_BT: Tensor, bos: int) -> Tensor:
    """Return the number of the document that each token belongs to. Shapes: (B, T) -> (B, T).

    Numbers count from the start of the window; 0 is a document that began in an earlier window.
    """
    return torch.cumsum(x_BT == bos, dim=-1)
