"""Batches of each shape that segments give to a training step, for the compiler."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from trainer.data.batches import MicroBatch
from trainer.data.documents import SEGMENT_MULTIPLE, segments_of
from trainer.recipe.loader import DocumentPacking, DocumentRows

# Number of padded segment counts, from the smallest on, whose graphs are compiled before training (#1855). A row of
# 98,304 tokens of web text holds about 110 documents.
SEGMENT_SHAPES = 4
GRAPHS_OF_A_SHAPE = 8


def batches_of_segments(batch: MicroBatch, loader: DocumentPacking | DocumentRows) -> Iterator[MicroBatch]:
    """Yield a batch padded to the first few numbers of segments that it can have, for each length of documents."""
    stages = loader.stages if isinstance(loader, DocumentRows) else ()
    lengths: list[int | None] = [stage.tokens for stage in stages]
    torch._dynamo.config.recompile_limit = max(1, len(lengths)) * SEGMENT_SHAPES * GRAPHS_OF_A_SHAPE
    tokens_BT = torch.zeros(batch.x_BT.shape, dtype=torch.int64)
    for longest in lengths or [None]:
        segments = segments_of(tokens_BT, 1, longest, batch.x_BT.device)
        bounds_N = segments.bounds_N
        for times in range(SEGMENT_SHAPES):
            padding_N = bounds_N[-1:].expand(times * SEGMENT_MULTIPLE)
            yield replace(batch, segments=segments._replace(bounds_N=torch.cat((bounds_N, padding_N))))
