"""The command that starts this program again."""

import sys


def own_command() -> list[str]:
    """Return the command, without a run directory, of this package or of the bundle that it is in."""
    program = ["-m", "trainer"] if __package__ else [__file__]
    return [sys.executable, "-P", *program]
