"""The ranks that share a run, as one of them sees them.

Only rank 0 writes files. One process is the usual case, and sends nothing. Gradients are summed by one all-reduce of
one flat buffer per step. Every rank then takes the same optimizer step; ranks may share its work by broadcasts. Weights
that were equal at first therefore stay equal, which is checked by hash before and after training.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from trainer.runtime.failure import TrainingFailed


@dataclass(frozen=True, slots=True)
class World:
    """Rank, number of ranks, and the device of this rank."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_rank_zero(self) -> bool:
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[Tensor], numbers_N: Tensor) -> Tensor:
        """Sum gradients over all ranks in place, and return the sums of the numbers. Shapes: (N,) -> (N,)."""
        if self.size == 1:
            return numbers_N
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), numbers_N])
        dist.all_reduce(flat)
        *sums, numbers_N = torch.split(flat, [*(gradient.numel() for gradient in gradients), len(numbers_N)])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(sums, gradients, strict=True)])
        return numbers_N

    def broadcast(self, tensor: Tensor, source: int) -> "dist.Work | None":
        """Start to copy a tensor from one rank to all. Return what to wait for, or None if there is one rank only."""
        return None if self.size == 1 else dist.broadcast(tensor, src=source, async_op=True)

    def check_same_weights(self, parameters: Iterable[Tensor], moment: str) -> None:
        """Check that all ranks hold the same weights, bit for bit.

        Raises:
            TrainingFailed: a rank holds others; names it.
        """
        if self.size == 1:
            return
        mine = weights_hash(parameters).to(self.device)
        hashes = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(hashes, mine)
        for rank, other in enumerate(hashes):
            if not torch.equal(other, hashes[0]):
                raise TrainingFailed(f"{moment}: the weights of ranks 0 and {rank} differ")

    def broadcast_number(self, number: int) -> int:
        """Return rank 0's number on every rank."""
        if self.size == 1:
            return number
        message = torch.tensor([number], device=self.device)
        dist.broadcast(message, src=0)
        return int(message)

    def gather(self, mine: NDArray[np.float32], lengths: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return the arrays of all ranks, of the given lengths, on every rank."""
        if self.size == 1:
            return [mine]
        padded = torch.zeros(max(lengths), device=self.device)
        padded[: len(mine)] = torch.from_numpy(mine)
        received = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(received, padded)
        return [part[:length].cpu().numpy() for part, length in zip(received, lengths, strict=False)]


SINGLE_PROCESS = World(torch.device("cpu"))


def weights_hash(parameters: Iterable[Tensor]) -> Tensor:
    """Return the SHA-256 of all weights as four numbers. Shapes: (4,), int64."""
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return torch.tensor(np.frombuffer(digest.digest(), dtype=np.int64).copy())
