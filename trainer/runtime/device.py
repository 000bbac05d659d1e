"""The processor a run computes on, and the settings that its bits depend on."""

import os
import platform
import subprocess
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from trainer.recipe.compute import Precision
from trainer.runtime.allocator import keep_freed_memory
from trainer.runtime.failure import MachineRefused, ResumeRefused

# What of an environment a GPU's numbers do not depend on.
HOST_KEYS = ("processor", "threads")


def choose_device(wanted: str, rank: int = 0, size: int = 1) -> torch.device:
    """The device of one process out of `size`: of those the launcher named ("cuda"), the one of its rank, or its share
    of the cores ("cpu"). Ready to compute deterministically.

    Raises: MachineRefused when there is no such device.
    """
    # Threads that share a core wait for each other, so the processes of a run share the cores out among them.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // size))
    if wanted != "cuda":
        keep_freed_memory()
        return torch.device(wanted)
    if torch.cuda.device_count() < size:
        found = torch.cuda.device_count()
        raise MachineRefused(f"{size} CUDA devices are needed, torch sees {found} (nvidia-smi; torch.version.cuda)")
    torch.cuda.set_device(rank)
    return torch.device("cuda", rank)


def product_dtype(wanted: Precision, device: torch.device) -> torch.dtype:
    """The type that products on a device are made of."""
    is_meant = wanted == "bfloat16" or (wanted == "bfloat16_on_gpu" and device.type == "cuda")
    return torch.bfloat16 if is_meant and (device.type != "cpu" or cpu_has_bfloat16()) else torch.float32


@cache
def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16; others would emulate it, slower than float32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def autocast_to(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """The context of a forward pass with products of a type. What is no product, and every weight, stays float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def describe_environment(device: torch.device, processes: int, wanted: Precision, attention: str) -> dict[str, Any]:
    """What the bits of a result depend on besides recipe, data and code."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "processes": processes,
        "threads": torch.get_num_threads(),
        "fused_adamw": True,
        "products": str(product_dtype(wanted, device)).removeprefix("torch."),
        "attention": attention,
    }


def describe_hardware(device: torch.device) -> dict[str, Any]:
    """What computed, for whoever compares times: devices with their clocks in MHz, driver, CUDA."""
    if device.type != "cuda":
        return {"devices": [], "cores": len(os.sched_getaffinity(0))}
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.max.sm", "--format=csv,noheader,nounits"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        listing = ""  # some containers have CUDA without nvidia-smi
    rows = [[cell.strip() for cell in line.split(",")] for line in listing.splitlines()]
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    clocks = [row[2:] for row in rows if len(row) == 4]
    driver = rows[0][1] if clocks else None
    return {"devices": names, "driver": driver, "cuda": torch.version.cuda, "clocks_now_and_most": clocks}


def check_same_environment(found: dict[str, Any], pinned: dict[str, Any] | None) -> None:
    """Nothing, if a run that began under `pinned` may go on under `found`.

    Raises: ResumeRefused naming the first setting that differs.
    """
    is_exact = found["device"] == "cpu"  # on a GPU nobody promises bits, and another host may have other cores
    for key, before in (pinned or {}).items():
        if found.get(key) != before and (is_exact or key not in HOST_KEYS):
            raise ResumeRefused(
                f"this run began with {key} {before!r} and would go on with {found.get(key)!r}, which changes its "
                "bits; resume it where it began, or start another attempt with --fresh"
            )
