"""What the trainer's checkup says of a machine, as findings."""

import json
import time
from typing import Any

from pgolf.errors import LauncherError
from pgolf.findings import Finding

# Tokens, certificates and heartbeats bear as much.
CLOCK_DIFFERENCE_SECONDS = 60.0


def checkup_arguments(folder: str, gpu: str | None) -> list[str]:
    """The command line of `python` for a checkup."""
    words = ["-P", "-m", "trainer.doctor", folder]
    return words if gpu is None else [*words, "--device", "cuda", "--devices", gpu.partition(":")[2] or "1"]


def findings_of(said: str, complaint: str) -> list[Finding]:
    """The findings on a checkup's stdout, and how the clock there differs from the one here.

    Raises: LauncherError with the complaint when it said nothing that can be read.
    """
    try:
        document: dict[str, Any] = json.loads(said)
    except ValueError:
        raise LauncherError(f"the checkup failed: {complaint or said or 'no word'}") from None
    found = [Finding(row["status"], row["rule"], row["message"], row["fix"] or None) for row in document["findings"]]
    difference = document["seconds"] - time.time()
    if abs(difference) > CLOCK_DIFFERENCE_SECONDS:
        message = f"the clock there differs from the one here by {difference:+.0f} s"
        found.append(Finding("warn", "clock_difference", message, "set both by NTP"))
    return found
