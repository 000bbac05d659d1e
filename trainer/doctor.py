"""`python -P -m trainer.doctor FOLDER [--device cuda]`: check this machine for a run, and print findings as JSON.

Each finding has a rule, a status, a message and, if there is something to do, a fix. A check never raises: what is
missing is a finding.
"""

import argparse
import importlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trainer.recipe.cgroups import Memory, read_memory
from trainer.recipe.cores import allowed_cores, machine_cores

OLDEST_PYTHON = (3, 11)
LIBRARIES = ("numpy", "sentencepiece", "brotli", "constriction", "zstandard")
ROOM_BYTES = 5_000_000_000
LEAST_MEMORY_BYTES = 1_000_000_000
# Older than this trainer: a clock that shows an earlier time has not been set.
EARLIEST_SECONDS = 1_760_000_000
COMPILE_SECONDS = 180
TINY_COMPILE = """
import torch
function = torch.compile(lambda x: (x.sin() * 2 + 1).sum())
x = torch.linspace(0, 1, 64, device={device!r})
assert torch.allclose(function(x), (x.sin() * 2 + 1).sum(), atol=1e-4)
"""
DoctorFinding = dict[str, str]


def doctor_main() -> int:
    """Print the findings, and return 0."""
    parser = argparse.ArgumentParser(prog="trainer.doctor")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--devices", type=int, default=1)
    arguments = parser.parse_args()
    found = [
        check_python(),
        *check_torch(arguments.device, arguments.devices),
        *check_libraries(),
        check_attention(arguments.device),
        check_flash_attention(),
        check_compiler(arguments.device),
        check_temporary_folder(),
        check_memory(read_memory()),
        check_disk(arguments.folder),
        check_clock(),
    ]
    print(json.dumps({"findings": found, "seconds": time.time()}))
    return 0


def doctor_finding(status: str, rule: str, message: str, fix: str = "") -> DoctorFinding:
    return {"status": status, "rule": rule, "message": message, "fix": fix}


def check_python() -> DoctorFinding:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info < OLDEST_PYTHON:
        return doctor_finding(
            "fail",
            "python",
            f"{platform.python_version()}; {wanted} or newer is needed",
            f"install Python {wanted} or newer",
        )
    return doctor_finding("pass", "python", f"{platform.python_version()} at {sys.executable}")


def check_torch(device: str, count: int) -> Iterator[DoctorFinding]:
    """Check torch, its CUDA build, and the devices that it sees."""
    try:
        import torch
    except Exception as error:  # a broken build can raise anything
        yield doctor_finding("fail", "torch", f"cannot be imported: {error}", "pip install torch")
        return
    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
    yield doctor_finding("pass", "torch", f"{torch.__version__}, built for {built_for}")
    if device == "cpu":
        yield doctor_finding("pass", "devices", describe_cores(allowed_cores(), machine_cores()))
        return
    seen = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(seen))
    if seen < count:
        fix = "install a torch built for CUDA and a driver as new as its CUDA (nvidia-smi), or set CUDA_VISIBLE_DEVICES"
        yield doctor_finding("fail", "devices", f"torch sees {seen} of {count} CUDA devices: {names or 'none'}", fix)
    else:
        yield doctor_finding("pass", "devices", f"{seen}: {names}")


def describe_cores(allowed: int, cores: int) -> str:
    """Return the cores of the CPU, and whether the container allows fewer."""
    if allowed < cores:
        return f"CPU with {allowed} of {cores} cores: limited by the container"
    return f"CPU with {cores} cores"


def check_libraries() -> Iterator[DoctorFinding]:
    for name in LIBRARIES:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            yield doctor_finding("fail", name, f"cannot be imported: {error}", f"pip install {name}")
        else:
            yield doctor_finding("pass", name, str(getattr(module, "__version__", "installed")))


def check_attention(device: str) -> DoctorFinding:
    """Check which of torch's attention kernels support the trainer's shapes."""
    try:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        kind = torch.bfloat16 if device == "cuda" else torch.float32
        query_BHTE = torch.randn(1, 8, 128, 64, device=device, dtype=kind)
        candidates = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
        working = [backend.name for backend in candidates if supports(sdpa_kernel, backend, query_BHTE)]
    except Exception as error:
        return doctor_finding("fail", "attention", f"cannot be tested: {error}", "see the findings torch and devices")
    if not working:
        fix = (
            "use a GPU of compute capability 8.0 or newer, or a newer torch"
            if device == "cuda"
            else "use a newer torch"
        )
        return doctor_finding("warn", "attention", "only the plain kernel runs, which is several times slower", fix)
    return doctor_finding(
        "pass", "attention", f"{working[0].lower()} runs" + "".join(f", then {name.lower()}" for name in working[1:])
    )


def supports(kernel: Callable, backend: object, query_BHTE: object) -> bool:  # type: ignore[type-arg]
    """Return whether a kernel computes causal attention of this shape."""
    import warnings

    import torch.nn.functional as F

    try:
        with warnings.catch_warnings(), kernel(backend):
            warnings.simplefilter("ignore")
            F.scaled_dot_product_attention(query_BHTE, query_BHTE, query_BHTE, is_causal=True)  # type: ignore[arg-type]
    except RuntimeError:
        return False
    return True


def check_flash_attention() -> DoctorFinding:
    """Check whether the optional flash_attn package can be imported."""
    for name in ("flash_attn_interface", "flash_attn"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except Exception as error:  # built for another torch
            return doctor_finding(
                "warn",
                "flash_attn",
                f"{name} cannot be imported: {error}",
                "install a wheel for this torch, or uninstall it",
            )
        return doctor_finding("pass", "flash_attn", f"{name} can be imported: compute.attention: flash_attn uses it")
    return doctor_finding("pass", "flash_attn", "not installed; torch's own kernels are used, and are fast")


def check_compiler(device: str) -> DoctorFinding:
    """Check torch.compile with a tiny program in a new process."""
    command = [sys.executable, "-P", "-c", TINY_COMPILE.format(device=device)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return doctor_finding("warn", "compile", f"a tiny torch.compile took more than {COMPILE_SECONDS} s")
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        fix = "install a C++ compiler (Debian: g++)" if shutil.which("g++") is None else "see the message"
        return doctor_finding("warn", "compile", f"torch.compile fails: {last}", fix)
    return doctor_finding("pass", "compile", "a tiny torch.compile works")


def check_temporary_folder() -> DoctorFinding:
    """Check whether programs in the temporary folder can be run, as compiled kernels are."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "true"
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        try:
            subprocess.run([script], check=True)
        except OSError as error:
            fix = "set TMPDIR to another folder; this one is mounted noexec"
            return doctor_finding("fail", "temporary_folder", f"{tempfile.gettempdir()}: {error.strerror}", fix)
    return doctor_finding("pass", "temporary_folder", f"programs in {tempfile.gettempdir()} can be run")


def check_memory(memory: Memory | None) -> DoctorFinding:
    """Check how much memory the machine has, and how much of it the container allows."""
    if memory is None:
        return doctor_finding("pass", "memory", "this system does not say how much memory it has")
    message = f"{gibibytes(memory.total)}, {gibibytes(memory.free)} free"
    if memory.is_limited:
        allowed = f"{gibibytes(memory.total)} of {gibibytes(memory.machine_total)}"
        message = f"{allowed}: limited by the container, {gibibytes(memory.free)} free"
    if memory.free < LEAST_MEMORY_BYTES:
        fix = "end other programs" + (", or give the container more memory" if memory.is_limited else "")
        return doctor_finding("warn", "memory", message, fix)
    return doctor_finding("pass", "memory", message)


def gibibytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def check_disk(folder: Path) -> DoctorFinding:
    """Check whether the disk has room for a run."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return doctor_finding("fail", "disk", f"{existing} is not writable", "use another folder")
    if free < ROOM_BYTES:
        return doctor_finding(
            "warn", "disk", f"{existing} has {free:,} bytes free", "make room; checkpoints take gigabytes"
        )
    return doctor_finding("pass", "disk", f"{existing} has {free:,} bytes free")


def check_clock() -> DoctorFinding:
    """Check whether the machine's clock has been set."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.time() < EARLIEST_SECONDS:
        return doctor_finding(
            "fail", "clock", f"{now} is in the past", "set the clock: logins and certificates depend on it"
        )
    return doctor_finding("pass", "clock", now)


if __name__ == "__main__":
    sys.exit(doctor_main())
