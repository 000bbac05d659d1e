"""The device that a run computes on, and the environment that its numbers depend on."""

import platform
import subprocess
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from trainer.recipe.compute import Precision
from trainer.recipe.cores import allowed_cores
from trainer.runtime.allocator import keep_freed_memory
from trainer.runtime.failure import MachineRefused


def choose_device(wanted: str, rank: int = 0, size: int = 1) -> torch.device:
    """Return the device of one rank out of `size`: "cpu", or its own GPU for "cuda".

    Raises:
        MachineRefused: there are too few GPUs.
    """
    if wanted != "cuda":
        keep_freed_memory()
        return torch.device(wanted)
    if torch.cuda.device_count() < size:
        found = torch.cuda.device_count()
        raise MachineRefused(f"torch sees {found} of {size} CUDA devices; check nvidia-smi and torch.version.cuda")
    torch.cuda.set_device(rank)
    return torch.device("cuda", rank)


def product_dtype(wanted: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of products on a device."""
    is_meant = wanted == "bfloat16" or (wanted == "bfloat16_on_gpu" and device.type == "cuda")
    return torch.bfloat16 if is_meant and (device.type != "cpu" or cpu_has_bfloat16()) else torch.float32


@cache
def cpu_has_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16; others emulate it, slower than float32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def autocast_to(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a forward pass with products in a dtype. Weights and all other operations stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def describe_environment(device: torch.device, processes: int, wanted: Precision, attention: str) -> dict[str, Any]:
    """Return what the bits of a result depend on besides recipe, data and code."""
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
    """Return the hardware, for comparing times: GPUs, their current and maximum clocks in MHz, driver and CUDA."""
    if device.type != "cuda":
        return {"devices": [], "cores": allowed_cores()}
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.max.sm", "--format=csv,noheader,nounits"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        listing = ""  # some containers have CUDA but no nvidia-smi
    rows = [[cell.strip() for cell in line.split(",")] for line in listing.splitlines()]
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    clocks = [row[2:] for row in rows if len(row) == 4]
    driver = rows[0][1] if clocks else None
    return {"devices": names, "driver": driver, "cuda": torch.version.cuda, "clocks_now_and_most": clocks}
