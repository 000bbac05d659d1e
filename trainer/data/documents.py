"""Documents in a stream of tokens, each of which begins with the token BOS."""

import torch
from torch import Tensor

from trainer.data.shards import TokenStream
from trainer.model.segments import Segments
from trainer.runtime.failure import DataRefused

# Bounds are padded to a multiple of so many segments, so that a compiler sees few shapes (#1855).
SEGMENT_MULTIPLE = 64


def document_start(stream: TokenStream, shard: int, bos: int) -> int | None:
    """Return where in the stream the first document of a shard begins, or None if none does.

    A shard may begin in the middle of a document.
    """
    part = stream.parts[shard]
    found = int((part == bos).argmax()) if len(part) else 0
    return int(stream.starts[shard]) + found if len(part) and part[found] == bos else None


def first_document_start(stream: TokenStream, bos: int) -> int:
    """Return where in the stream the first document begins.

    Raises:
        DataRefused: no shard holds `bos`.
    """
    for shard in range(len(stream.parts)):
        start = document_start(stream, shard, bos)
        if start is not None:
            return start
    raise DataRefused(f"no training shard holds token {bos}, which begins a document")


def segment_bounds(tokens_BT: Tensor, bos: int, longest: int | None) -> Tensor:
    """Return where segments begin in the rows, laid one after another, and then the number of all tokens.

    A segment begins with each row and each document, and `longest` tokens after the beginning of a segment. The last
    value is repeated.

    Shapes: (B, T) -> (N,), int32, where N - 1 is a multiple of 64.
    """
    begins_BT = tokens_BT == bos
    begins_BT[:, 0] = True
    starts_S, total = begins_BT.flatten().nonzero().flatten(), tokens_BT.numel()
    if longest is not None:
        lengths_S = torch.cat((starts_S, starts_S.new_tensor([total]))).diff()
        parts_S = (lengths_S + longest - 1) // longest
        before_S = parts_S.cumsum(0) - parts_S
        number_N = torch.arange(int(parts_S.sum())) - before_S.repeat_interleave(parts_S)
        starts_S = starts_S.repeat_interleave(parts_S) + longest * number_N
    size = SEGMENT_MULTIPLE * -(-len(starts_S) // SEGMENT_MULTIPLE) + 1
    bounds_N = torch.full((size,), total, dtype=torch.int32)
    bounds_N[: len(starts_S)] = starts_S
    return bounds_N


def segments_of(tokens_BT: Tensor, bos: int, longest: int | None, device: torch.device) -> Segments:
    """Return the segments of a batch in the memory of the host, on a device."""
    bounds_N = segment_bounds(tokens_BT, bos, longest)
    sizes = tuple(size for size in bounds_N.diff().tolist() if size)
    return Segments(bounds_N.to(device, non_blocking=True), longest or tokens_BT.size(-1), sizes)
