"""Reading a stranger's code in a process of its own, which may neither take long nor take much."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_SECONDS = 30


def read_confined(folder: Path, logged: Mapping[str, str]) -> dict[str, Any] | str:
    """What `pgolf.audit.code` makes of a folder, or why it could not be read."""
    command = [sys.executable, "-P", "-m", "pgolf.audit.code", str(folder)]
    try:
        ended = subprocess.run(
            command, input=json.dumps(dict(logged)), capture_output=True, text=True, check=False, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"reading the code took longer than {MOST_SECONDS} s"
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return f"reading the code ended with {ended.returncode}: {last[:200]}"
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
