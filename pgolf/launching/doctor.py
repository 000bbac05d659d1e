"""`pgolf doctor` on the machine of a launcher: run the trainer's self-check there and read its findings."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pgolf.errors import LauncherError
from pgolf.findings import Finding
from pgolf.gpus import parse_gpus

# Access tokens, certificates and heartbeats tolerate such a difference.
CLOCK_DIFFERENCE_SECONDS = 60.0


def doctor_arguments(folder: str, gpu: str | None) -> list[str]:
    """Return the arguments of `python` for the self-check; `folder` is the one whose disk is checked."""
    words = ["-P", "-m", "trainer.doctor", folder]
    return words if gpu is None else [*words, "--device", "cuda", "--devices", str(parse_gpus(gpu).number)]


def run_doctor(gpu: str | None, prefix: Sequence[str] = ()) -> list[Finding]:
    """Return the findings of the self-check with this Python, on this machine or wherever the command `prefix` runs it.

    Raises:
        LauncherError: it cannot be run.
    """
    command = [*prefix, sys.executable, *doctor_arguments(str(Path.cwd()), gpu)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LauncherError(f"{command[0]} could not be started: {error.strerror}") from error
    return doctor_findings(ended.stdout, ended.stderr.strip())


def doctor_findings(stdout: str, stderr: str) -> list[Finding]:
    """Return what a self-check printed as findings, and one more if the clock there differs from the one here.

    Raises:
        LauncherError: its stdout cannot be read; quotes its stderr.
    """
    try:
        document: dict[str, Any] = json.loads(stdout)
    except ValueError:
        raise LauncherError(f"the self-check failed: {stderr or stdout or 'it printed nothing'}") from None
    found = [Finding(row["status"], row["rule"], row["message"], row["fix"] or None) for row in document["findings"]]
    difference = document["seconds"] - time.time()
    if abs(difference) > CLOCK_DIFFERENCE_SECONDS:
        message = f"the clock there differs from the one here by {difference:+.0f} s"
        found.append(Finding("warn", "clock_difference", message, "set both by NTP"))
    return found
