"""Documents side by side in a window, none of which sees another."""

import torch
from torch import Tensor

from trainer.data.shards import TokenStream
from trainer.runtime.failure import DataRefused


def first_document_start(stream: TokenStream, bos: int) -> int:
    """Where the first document begins: an export may cut one in half at a shard's start.

    Raises: DataRefused when no shard holds the token that begins one.
    """
    for start, part in zip(stream.starts, stream.parts, strict=False):
        found = (part == bos).argmax()
        if part[found] == bos:
            return int(start + found)
    raise DataRefused(f"no training shard holds token {bos}, which begins a document")


def number_documents(x_BT: Tensor, bos: int) -> Tensor:
    """The document of each token, counted from the start of its window. Shapes: (B, T) -> (B, T).

    A document that began in the window before is number 0 and is seen from there on only.
    """
    return torch.cumsum(x_BT == bos, dim=-1)
