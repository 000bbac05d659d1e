"""Python programs run confined, and the bounded process that reads code without running it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pgolf
import trainer
from pgolf.confinement.run import CONFINED, Ended, Level, Limits, run_confined
from trainer.recipe.cores import allowed_cores

MAX_READING_SECONDS = 30
FOR_OWN_CODE: tuple[Level, ...] = (*CONFINED, "none")
"""For pgolf's own code on files of others: confined where the machine can."""


def run_python(
    arguments: Sequence[str],
    folder: Path,
    seconds: float,
    *,
    reads: Sequence[Path] = (),
    levels: Sequence[Level] = CONFINED,
) -> Ended:
    """Run a Python program confined. It can import installed packages, pgolf and the trainer, and writes into `folder`.

    Raises:
        MachineError: this machine has none of the levels.
    """
    modules = folder / "modules"
    packages = [Path(package.__path__[0]) for package in (pgolf, trainer)]
    modules.mkdir(exist_ok=True)
    for package in packages:  # by links: in a checkout, the folder above the packages holds runs, too
        link = modules / package.name
        if not link.is_symlink():
            link.symlink_to(package.resolve())
    return run_confined(
        [sys.executable, "-P", *arguments],
        writes=folder,
        reads=[*packages, *reads],
        limits=Limits(seconds, answer_bytes=1 << 29),
        environment={
            "PYTHONPATH": str(modules.resolve()),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": str(allowed_cores()),
        },
        levels=levels,
    )


def read_code_isolated(folder: Path, logged: Mapping[str, str]) -> dict[str, Any] | str:
    """Return what `pgolf.audit.code` finds in a folder, or the reason why the code could not be read.

    The code is parsed, never executed, in a process with limits on time and memory.
    """
    command = [sys.executable, "-P", "-m", "pgolf.audit.code", str(folder)]
    try:
        ended = subprocess.run(
            command,
            input=json.dumps(dict(logged)),
            capture_output=True,
            text=True,
            check=False,
            timeout=MAX_READING_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"reading the code took longer than {MAX_READING_SECONDS} s"
    if ended.returncode:
        last_line = (ended.stderr.strip().splitlines() or ["stderr is empty"])[-1][:300]
        return f"reading the code ended with exit code {ended.returncode}: {last_line}"
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
