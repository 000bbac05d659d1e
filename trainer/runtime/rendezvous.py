"""Bringing the processes of a run together."""

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
# Longer than the lifeline takes to end a worker when rank 0 has ended.
LIFELINE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Which process of a run this is."""

    rank: int
    size: int
    port: int | None
    """Where rank 0 waits; only a worker knows it beforehand."""


@contextmanager
def join_world(
    rendezvous: Rendezvous, device: str, files: RunFiles, arguments: list[str], on_death: Callable[[RunFailure], None]
) -> Iterator[World]:
    """A context in which this process is part of its world. Rank 0 starts the others, with the same arguments.

    Raises: RunFailure with the reason of a worker that died; MachineRefused when there is no such device.
    """
    world = World(choose_device(device, rendezvous.rank, rendezvous.size), rendezvous.rank, rendezvous.size)
    if rendezvous.size == 1:
        yield world
    elif world.is_rank_zero:
        yield from lead_world(world, files, arguments, on_death)
    else:
        assert rendezvous.port is not None, "a worker needs the port of rank 0"
        connect(world, TCPStore(LOCALHOST, rendezvous.port, rendezvous.size, timeout=RENDEZVOUS_TIMEOUT))
        try:
            yield world
        except RuntimeError:
            time.sleep(LIFELINE_SECONDS)  # if rank 0 is gone, that was the reason, and this process goes with it
            raise
        sys.stdout.flush()
        os._exit(0)  # its work is done; taking gloo's threads down with the interpreter has been seen to abort


def lead_world(
    world: World, files: RunFiles, arguments: list[str], on_death: Callable[[RunFailure], None]
) -> Iterator[World]:
    """The world as rank 0 sees it, once; the workers are there before and gone after."""
    store = TCPStore(LOCALHOST, 0, world.size, is_master=True, timeout=RENDEZVOUS_TIMEOUT, wait_for_workers=False)
    workers = Workers(files, on_death)
    common = [*own_command(), *arguments, "--processes", str(world.size)]
    workers.start([[*common, "--port", str(store.port), "--rank", str(rank)] for rank in range(1, world.size)])
    try:
        connect(world, store)
        yield world
    except RuntimeError as error:  # what a collective operation raises when another process is gone
        raise workers.wait_for_failure() or error from error
    dist.destroy_process_group()
    workers.wait()


def connect(world: World, store: TCPStore) -> None:
    """Nothing; this process takes part in collective operations."""
    backend = "nccl" if world.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size)
