"""`python -P -m trainer.doctor FOLDER [--device cuda]`: what a run would find on this machine, as JSON on stdout.

Each finding has a rule, a status, a message and, where something is to be done, a fix. Nothing here fails: what cannot
be had is a finding.
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

from trainer.recipe.cores import allowed_cores

OLDEST_PYTHON = (3, 11)
LIBRARIES = ("numpy", "sentencepiece", "brotli", "constriction", "zstandard")
ROOM_BYTES = 5_000_000_000
# The trainer came into being after it: a machine whose clock says less has not been set.
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
    """0; the findings are on stdout."""
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
            "fail", "python", f"{platform.python_version()}, {wanted} or newer is needed", "another Python"
        )
    return doctor_finding("pass", "python", f"{platform.python_version()} at {sys.executable}")


def check_torch(device: str, count: int) -> Iterator[DoctorFinding]:
    """torch, its CUDA build, and the devices it sees."""
    try:
        import torch
    except Exception as error:  # a broken build raises whatever it likes
        yield doctor_finding("fail", "torch", f"cannot be imported: {error}", "pip install torch")
        return
    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs alone"
    yield doctor_finding("pass", "torch", f"{torch.__version__}, built for {built_for}")
    if device == "cpu":
        yield doctor_finding("pass", "devices", f"CPU with {allowed_cores()} cores")
        return
    seen = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(seen))
    if seen < count:
        fix = "a torch built for CUDA, a driver as new as its CUDA (nvidia-smi), or CUDA_VISIBLE_DEVICES"
        yield doctor_finding("fail", "devices", f"{count} CUDA devices are asked for, torch sees {seen} {names}", fix)
    else:
        yield doctor_finding("pass", "devices", f"{seen}: {names}")


def check_libraries() -> Iterator[DoctorFinding]:
    for name in LIBRARIES:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            yield doctor_finding("fail", name, f"cannot be imported: {error}", f"pip install {name}")
        else:
            yield doctor_finding("pass", name, str(getattr(module, "__version__", "installed")))


def check_attention(device: str) -> DoctorFinding:
    """Which of torch's attention kernels takes the shapes of the trainer."""
    try:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        kind = torch.bfloat16 if device == "cuda" else torch.float32
        query_BHTE = torch.randn(1, 8, 128, 64, device=device, dtype=kind)
        candidates = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
        working = [backend.name for backend in candidates if takes(sdpa_kernel, backend, query_BHTE)]
    except Exception as error:
        return doctor_finding("fail", "attention", f"cannot be tried: {error}", "see torch and devices")
    if not working:
        fix = "a GPU of compute capability 8.0 or newer, or a newer torch" if device == "cuda" else "a newer torch"
        return doctor_finding("warn", "attention", "only the plain kernel runs, several times slower", fix)
    return doctor_finding(
        "pass", "attention", f"{working[0].lower()} runs" + "".join(f", then {name.lower()}" for name in working[1:])
    )


def takes(kernel: Callable, backend: object, query_BHTE: object) -> bool:  # type: ignore[type-arg]
    """Whether a kernel computes causal attention of these shapes."""
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
    """Whether FlashAttention's own package can be imported; the trainer does without it."""
    for name in ("flash_attn_interface", "flash_attn"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except Exception as error:  # built for another torch
            return doctor_finding(
                "warn", "flash_attn", f"{name} cannot be imported: {error}", "a wheel for this torch, or none"
            )
        return doctor_finding("pass", "flash_attn", f"{name} can be imported")
    return doctor_finding("pass", "flash_attn", "not installed; torch's own kernels are used")


def check_compiler(device: str) -> DoctorFinding:
    """Whether torch.compile works, by a tiny program in a process of its own."""
    command = [sys.executable, "-P", "-c", TINY_COMPILE.format(device=device)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return doctor_finding("warn", "compile", f"a tiny torch.compile took more than {COMPILE_SECONDS} s")
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no word"])[-1]
        fix = "a C++ compiler (Debian: g++)" if shutil.which("g++") is None else "see the message"
        return doctor_finding("warn", "compile", f"torch.compile fails: {last}", fix)
    return doctor_finding("pass", "compile", "a tiny torch.compile works")


def check_temporary_folder() -> DoctorFinding:
    """Whether programs in the temporary folder may be run: compiled kernels are."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "true"
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        try:
            subprocess.run([script], check=True)
        except OSError as error:
            fix = "another TMPDIR; this one is mounted noexec"
            return doctor_finding("fail", "temporary_folder", f"{tempfile.gettempdir()}: {error.strerror}", fix)
    return doctor_finding("pass", "temporary_folder", f"programs in {tempfile.gettempdir()} can be run")


def check_disk(folder: Path) -> DoctorFinding:
    """Whether there is room for a run."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return doctor_finding("fail", "disk", f"{existing} is not writable", "another folder")
    if free < ROOM_BYTES:
        return doctor_finding(
            "warn", "disk", f"{existing} has {free:,} bytes free", "make room; checkpoints take gigabytes"
        )
    return doctor_finding("pass", "disk", f"{existing} has {free:,} bytes free")


def check_clock() -> DoctorFinding:
    """Whether the machine's clock has been set at all."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.time() < EARLIEST_SECONDS:
        return doctor_finding(
            "fail", "clock", f"{now} is in the past", "set the clock: tokens and certificates depend on it"
        )
    return doctor_finding("pass", "clock", now)


if __name__ == "__main__":
    sys.exit(doctor_main())
