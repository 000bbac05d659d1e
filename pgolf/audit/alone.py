"""Running a program by itself: no environment but PATH, and a Python whose sockets refuse to connect.

That is no sandbox: code that a user chose to run can do what the user can.
"""

import os
import subprocess
import sys
from pathlib import Path

OFFLINE = """
import socket
def refused(*_, **__):
    raise OSError("an audit runs without a network")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refused
"""


def run_alone(arguments: list[str], place: Path, seconds: float) -> "subprocess.CompletedProcess[str] | None":
    """A Python program, started in a folder of its own; None if it takes too long."""
    blocker = place / "offline"
    blocker.mkdir(exist_ok=True)
    (blocker / "sitecustomize.py").write_text(OFFLINE)
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(blocker)}
    command = [sys.executable, "-P", *arguments]
    try:
        return subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return None


def last_words(ended: "subprocess.CompletedProcess[str]") -> str:
    """The last line of what a program complained about."""
    return (ended.stderr.strip().splitlines() or ["nothing was said"])[-1][:300]
