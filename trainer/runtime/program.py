"""How this program is started once more."""

import sys


def own_command() -> list[str]:
    """The command to which a run directory is added: the package's, or that of the one file which it was made into."""
    program = ["-m", "trainer"] if __package__ else [__file__]
    return [sys.executable, "-P", *program]
