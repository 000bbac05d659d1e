"""The processor a run computes on, and the settings that its bits depend on."""

import os
import platform
from contextlib import AbstractContextManager
from typing import Any

import torch

from trainer.runtime.failure import MachineRefused, ResumeRefused


def choose_device(wanted: str, rank: int = 0, size: int = 1) -> torch.device:
    """The device of one process out of `size`: of those the launcher named ("cuda"), the one of its rank, or its share
    of the cores ("cpu"). Ready to compute deterministically.

    Raises: MachineRefused when there is no such device.
    """
    # Threads that share a core wait for each other, so the processes of a run share the cores out among them.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // size))
    if wanted != "cuda":
        return torch.device(wanted)
    if torch.cuda.device_count() < size:
        found = torch.cuda.device_count()
        raise MachineRefused(f"{size} CUDA devices are needed, torch sees {found} (nvidia-smi; torch.version.cuda)")
    torch.cuda.set_device(rank)
    return torch.device("cuda", rank)


def precision(device: torch.device) -> AbstractContextManager[Any]:
    """The context of a forward pass: bfloat16 products on a GPU, float32 on a CPU. Masters are float32 on both."""
    return torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda")


def describe_environment(device: torch.device, processes: int) -> dict[str, Any]:
    """What the bits of a result depend on besides recipe, data and code."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "processes": processes,
        "threads": torch.get_num_threads(),
        "fused_adamw": True,
    }


def check_same_environment(found: dict[str, Any], pinned: dict[str, Any] | None) -> None:
    """Nothing, if a run that began under `pinned` may go on under `found`.

    Raises: ResumeRefused naming the first setting that differs.
    """
    for key, before in (pinned or {}).items():
        if found.get(key) != before:
            raise ResumeRefused(
                f"this run began with {key} {before!r} and would go on with {found.get(key)!r}, which changes its "
                "bits; resume it where it began, or start another attempt with --fresh"
            )
