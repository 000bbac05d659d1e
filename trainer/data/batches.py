"""Batches of training tokens, read ahead of the steps that use them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.order import WindowOrder
from trainer.data.prefetch import Prefetcher
from trainer.data.shards import TokenStream
from trainer.model.segments import Segments
from trainer.recipe.loader import DocumentPacking, DocumentRows
from trainer.recipe.schedule import Warmdown
from trainer.runtime.world import World


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Inputs and targets of one forward pass. Shapes: (B, T) each."""

    x_BT: Tensor
    y_BT: Tensor
    segments: Segments | None = None
    """What the tokens see of each other; None: each sees the whole row up to itself."""


@dataclass(frozen=True, slots=True)
class StepTokens:
    """The tokens that this rank reads in one step, and the state of the window order after it."""

    micro_batches: list[Tensor]
    """One per forward pass, each row with the target of its last input. Shapes: (B, T + 1) each."""
    state: dict[str, Any]


class BatchReader:
    """Reader of batches in a given order; a thread reads ahead while steps compute.

    `state` covers the steps that training has fully received, not those read ahead. Each rank reads an equal,
    contiguous part of the micro-batches of a step.
    """

    def __init__(self, stream: TokenStream, order: WindowOrder, schedule: Warmdown, world: World, bos: int) -> None:
        self.stream, self.order, self.world, self.bos = stream, order, world, bos
        self.loader, self.window_tokens = schedule.loader, schedule.window_tokens
        self.step_windows = schedule.batch_tokens // schedule.window_tokens
        self.micro_windows = schedule.micro_tokens // schedule.window_tokens
        self.longest: int | None = None  # documents are cut after so many tokens
        self.state = order.state()
        self.prefetcher: Prefetcher[StepTokens] | None = None

    def next_step(self) -> Iterator[MicroBatch]:
        """Yield this rank's micro-batches of the next step, on the world's device."""
        if self.prefetcher is None:
            self.prefetcher = Prefetcher(self.read_step)
        step = self.prefetcher.next()
        for micro in step.micro_batches:
            tokens_BT = micro.to(self.world.device, non_blocking=True)
            batch = MicroBatch(tokens_BT[:, :-1], tokens_BT[:, 1:])
            if isinstance(self.loader, DocumentPacking | DocumentRows):
                from trainer.data.documents import segments_of

                segments = segments_of(micro[:, :-1], self.bos, self.longest, self.world.device)
                batch = replace(batch, segments=segments)
            yield batch
        self.state = step.state

    def read_step(self) -> StepTokens:
        """Read this rank's tokens of the next step into memory."""
        windows = np.split(self.order.draw(self.step_windows), self.world.size)[self.world.rank]
        parts = np.split(windows, len(windows) // self.micro_windows)
        return StepTokens([self.read_micro_batch(part) for part in parts], self.order.state())

    def read_micro_batch(self, windows: NDArray[np.int64]) -> Tensor:
        tokens = np.stack([self.stream.read(int(start), self.window_tokens + 1) for start in windows])
        tokens_BT = torch.from_numpy(tokens)
        return tokens_BT.pin_memory() if self.world.device.type == "cuda" else tokens_BT

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with the step after `state`. Must be called before the first step."""
        assert self.prefetcher is None, "restore() after the first step would lose what was read ahead"
        self.order.restore(state)
        self.state = state

    def close(self) -> None:
        """Stop the thread that reads ahead."""
        if self.prefetcher is not None:
            self.prefetcher.close()
