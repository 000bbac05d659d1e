"""The processor a run computes on, and the settings that its bits depend on."""

import os
import platform
from contextlib import AbstractContextManager
from typing import Any

import torch

from trainer.runtime.failure import MachineRefused, ResumeRefused


def choose_device(wanted: str) -> torch.device:
    """The device named by the launcher ("cpu" or "cuda"), ready to compute deterministically.

    Raises: MachineRefused when there is no such device.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MachineRefused("device cuda was asked for, but torch sees no GPU (nvidia-smi; torch.version.cuda)")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch.device(wanted)


def precision(device: torch.device) -> AbstractContextManager[Any]:
    """The context of a forward pass: bfloat16 products on a GPU, float32 on a CPU. Masters are float32 on both."""
    return torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """What the bits of a result depend on besides recipe, data and code."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
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
