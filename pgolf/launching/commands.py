"""Commands of this machine that a launcher runs, such as those of a scheduler."""

import subprocess

from pgolf.errors import LauncherError


def run_command(*command: str, stdin: str = "") -> str:
    """Return what a command prints to stdout.

    Raises:
        LauncherError: it is not installed, or fails; quotes its stderr.
    """
    try:
        ended = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LauncherError(f"{command[0]} is not installed here") from None
    if ended.returncode:
        raise LauncherError(f"{command[0]}: {ended.stderr.strip() or f'exit code {ended.returncode}'}")
    return ended.stdout
