"""Child processes without environment variables or a network, and the bounded process that reads code.

This is no sandbox: code that a user chose to run can do what the user can.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_READING_SECONDS = 30
OFFLINE = """
import socket
def refused(*_, **__):
    raise OSError("an audit runs without a network")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refused
"""


def run_isolated(arguments: list[str], folder: Path, seconds: float) -> "subprocess.CompletedProcess[str] | None":
    """Run a Python program in `folder` with no environment but PATH and with sockets that refuse to connect.

    Return None if it takes longer than `seconds`.
    """
    blocker = folder / "offline"
    blocker.mkdir(exist_ok=True)
    (blocker / "sitecustomize.py").write_text(OFFLINE)
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(blocker)}
    command = [sys.executable, "-P", *arguments]
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return None


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
        return f"reading the code ended with exit code {ended.returncode}: {last_error_line(ended)}"
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def last_error_line(ended: "subprocess.CompletedProcess[str]") -> str:
    """Return the last line that a process wrote to stderr, shortened."""
    return (ended.stderr.strip().splitlines() or ["stderr is empty"])[-1][:300]
