"""Batches in the order of the shards."""

from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.data.shards import TokenStream
from trainer.recipe.schedule import Warmdown


class SequentialBatches:
    """Contiguous batches, one after the other round the circle of shards: a batch is a function of its step alone.

    The challenge's loader skips one transition between batches; here the last target is the next batch's first input.
    """

    def __init__(self, stream: TokenStream, schedule: Warmdown, device: torch.device) -> None:
        self.stream = stream
        self.batch_tokens = schedule.batch_tokens
        self.micro_batch_tokens = schedule.micro_batch_tokens or schedule.batch_tokens
        self.sequence_tokens = schedule.sequence_tokens
        self.device = device

    def micro_batches(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of each forward pass of a step. Shapes: x_BT, y_BT."""
        start = step * self.batch_tokens
        for position in range(start, start + self.batch_tokens, self.micro_batch_tokens):
            tokens = torch.from_numpy(self.stream.read(position, self.micro_batch_tokens + 1)).to(self.device)
            yield tokens[:-1].view(-1, self.sequence_tokens), tokens[1:].view(-1, self.sequence_tokens)
