"""The processes that share a run, as one of them sees them.

Rank 0 alone writes files. A world of one is the usual case and sends nothing. Gradients are summed by one
explicit all-reduce a step, of one flat buffer; every rank then takes the same optimizer step, of which each may compute
a share and send it to the others, and so weights that began equal stay equal, which is checked by hash at both ends.
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

HASH_WORDS = 4


@dataclass(frozen=True, slots=True)
class World:
    """Rank and number of the processes of a run, and this one's device."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_rank_zero(self) -> bool:
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[Tensor], numbers_N: Tensor) -> Tensor:
        """The numbers, summed over all ranks; the gradients have become their sums as well. Shapes: (N,) -> (N,)."""
        if self.size == 1:
            return numbers_N
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), numbers_N])
        dist.all_reduce(flat)
        *sums, numbers_N = torch.split(flat, [*(gradient.numel() for gradient in gradients), len(numbers_N)])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(sums, gradients, strict=True)])
        return numbers_N

    def broadcast(self, tensor: Tensor, source: int) -> "dist.Work | None":
        """What to wait for before the tensor is read, which is then the sender's on every rank; None where it is
        already.
        """
        return None if self.size == 1 else dist.broadcast(tensor, src=source, async_op=True)

    def check_same_weights(self, parameters: Iterable[Tensor], moment: str) -> None:
        """Nothing, if all ranks hold the same weights, bit for bit.

        Raises: TrainingFailed naming a rank that does not.
        """
        if self.size == 1:
            return
        mine = weights_hash(parameters).to(self.device)
        hashes = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(hashes, mine)
        for rank, other in enumerate(hashes):
            if not torch.equal(other, hashes[0]):
                raise TrainingFailed(f"{moment}: the weights of process {rank} are not those of process 0")

    def broadcast_number(self, number: int) -> int:
        """Rank 0's number, on every rank."""
        if self.size == 1:
            return number
        message = torch.tensor([number], device=self.device)
        dist.broadcast(message, src=0)
        return int(message)

    def gather(self, mine: NDArray[np.float32], lengths: Sequence[int]) -> list[NDArray[np.float32]]:
        """One array for each of the lengths, from the rank of the same number; on every rank."""
        if self.size == 1:
            return [mine]
        padded = torch.zeros(max(lengths), device=self.device)
        padded[: len(mine)] = torch.from_numpy(mine)
        received = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(received, padded)
        return [part[:length].cpu().numpy() for part, length in zip(received, lengths, strict=False)]


SINGLE_PROCESS = World(torch.device("cpu"))


def weights_hash(parameters: Iterable[Tensor]) -> Tensor:
    """SHA-256 of all weights as four numbers. Shapes: (4,), int64."""
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return torch.tensor(np.frombuffer(digest.digest(), dtype=np.int64).copy())
