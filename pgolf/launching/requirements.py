"""What a job needs of the machine it runs on: libraries, and GPUs of a kind."""

from collections.abc import Sequence

from pgolf.findings import Finding, counted
from pgolf.gpus import parse_gpus
from pgolf.launching.protocol import Job

# Distributions whose name differs from that of the package they install.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "dotenv": "python-dotenv",
    "flash_attn_interface": "flash-attn-3",
    "flash_attn": "flash-attn",
    "huggingface_hub": "huggingface-hub",
}


def distribution_of(library: str) -> str:
    """Return the name to install a package by, given the name it is imported by."""
    return DISTRIBUTIONS.get(library, library)


def check_devices(job: Job, gpus: Sequence[str], cores: int, where: str) -> Finding:
    """Return whether a machine has the devices of a job; `gpus` are the names of its GPUs, `where` names it."""
    if job.gpu is None and job.processes > cores:
        message = f"{job.processes} processes share the {cores} cores of {where}, so they will be slow"
        return Finding("warn", "device", message, f"--set launch.processes={cores}")
    if job.gpu is None:
        return Finding("pass", "device", f"CPU with {counted(cores, 'core')}, {cores // job.processes} per process")
    if len(gpus) < job.processes:
        message = f"{job.gpu} was requested, one GPU per process; nvidia-smi finds {len(gpus) or 'no'} GPU on {where}"
        return Finding("fail", "device", message, "--set launch.gpu=null for the CPU, or choose another machine")
    if not all(parse_gpus(job.gpu).includes(name) for name in gpus):
        found = ", ".join(gpus)
        return Finding("warn", "device", f"{job.gpu} was requested, {where} has {found}; run times will differ")
    return Finding("pass", "device", f"{len(gpus)} x {gpus[0]}")
