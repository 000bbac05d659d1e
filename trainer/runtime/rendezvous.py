"""How the processes of a run find each other."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from trainer.recipe.files import RunFiles
from trainer.runtime.device import choose_device
from trainer.runtime.failure import RunFailure
from trainer.runtime.program import own_command
from trainer.runtime.workers import Workers
from trainer.runtime.world import World

LOCALHOST = "127.0.0.1"
RENDEZVOUS_TIMEOUT = timedelta(minutes=5)
# Longer than a worker lives after rank 0 has ended.
LIFELINE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Rank of this process, number of processes, and port of rank 0."""

    rank: int
    size: int
    port: int | None
    """The port on which rank 0 listens; None on rank 0, which chooses it."""


@contextmanager
def join_world(
    rendezvous: Rendezvous, device: str, files: RunFiles, arguments: list[str], on_death: Callable[[RunFailure], None]
) -> Iterator[World]:
    """Yield the world of this process. Rank 0 starts the others, with the same arguments.

    Raises:
        RunFailure: a worker died; gives its reason.
        MachineRefused: there is no such device.
    """
    world = World(choose_device(device, rendezvous.rank, rendezvous.size), rendezvous.rank, rendezvous.size)
    if rendezvous.size == 1:
        yield world
    elif world.is_rank_zero:
        yield from lead_world(world, files, arguments, on_death)
    else:
        assert rendezvous.port is not None, "--rank needs --port"
        connect(world, TCPStore(LOCALHOST, rendezvous.port, rendezvous.size, timeout=RENDEZVOUS_TIMEOUT))
        try:
            yield world
        except RuntimeError:
            time.sleep(LIFELINE_SECONDS)  # if rank 0 is gone, which is the likely reason, this process is ended here
            raise
        sys.stdout.flush()
        os._exit(0)  # skip the interpreter's shutdown: with gloo's threads it has aborted


def lead_world(
    world: World, files: RunFiles, arguments: list[str], on_death: Callable[[RunFailure], None]
) -> Iterator[World]:
    """Yield the world of rank 0, with the workers started before and ended after."""
    store = TCPStore(LOCALHOST, 0, world.size, is_master=True, timeout=RENDEZVOUS_TIMEOUT, wait_for_workers=False)
    workers = Workers(files, on_death)
    common = [*own_command(), *arguments, "--processes", str(world.size)]
    workers.start([[*common, "--port", str(store.port), "--rank", str(rank)] for rank in range(1, world.size)])
    try:
        connect(world, store)
        yield world
    except RuntimeError as error:  # raised by a collective operation if another process is gone
        raise workers.wait_for_failure() or error from error
    dist.destroy_process_group()
    workers.wait()


def connect(world: World, store: TCPStore) -> None:
    """Make this process part of collective operations."""
    backend = "nccl" if world.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size)
