"""The errors of pgolf, each with its exit code.

PgolfError
├── RunFailed          1    a run ended without a result
│   └── RunDamaged     1    a file of a run is not what the trainer wrote
├── UsageError         2    the command or its arguments are wrong
│   └── SpecError      2    a spec is wrong, at a file and a line
├── CheckFailed        3    preflight, audit or verify failed
├── LauncherError      4    the launcher could not do what it was asked
│   ├── Unreachable    4    the other machine does not answer; its jobs may still be running
│   └── Busy           4    no free device at the moment
├── DataError          5    tokens, tokenizer or manifest are missing or wrong
├── MachineError       6    out of disk space or memory, or a file cannot be written
└── Interrupted      130    stopped from the keyboard or by a signal; the same command resumes
"""

from pathlib import Path

from trainer.recipe.exit_codes import INTERRUPTED
from trainer.recipe.os_errors import describe_os_error


class PgolfError(Exception):
    """An error with one message for people: where, what was found, what was expected, what to do."""

    exit_code = 1


class RunFailed(PgolfError):
    """A run ended without a result."""


class RunDamaged(RunFailed):
    """A file of a run is not what the trainer wrote. The message begins with the file and the key."""


class UsageError(PgolfError):
    """The command or its arguments are wrong."""

    exit_code = 2


class SpecError(UsageError):
    """A spec is wrong. The message begins with file:line.

    Attributes:
        keys: the dotted keys of the values that were refused, where validation found them.
    """

    def __init__(self, message: str, keys: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.keys = keys


class CheckFailed(PgolfError):
    """Preflight, audit or verify failed."""

    exit_code = 3


class LauncherError(PgolfError):
    """The launcher could not do what it was asked."""

    exit_code = 4


class Unreachable(LauncherError):
    """The other machine does not answer; its jobs may still be running."""


class Busy(LauncherError):
    """No free device at the moment."""


class DataError(PgolfError):
    """Tokens, tokenizer or manifest are missing or wrong."""

    exit_code = 5


class MachineError(PgolfError):
    """Out of disk space or memory, or a file cannot be written."""

    exit_code = 6

    @classmethod
    def from_os_error(cls, error: OSError, place: Path | str = "") -> "MachineError":
        """Return what the operating system reported as an error; `place` is used if it names no file."""
        return cls(describe_os_error(error, place))


class Interrupted(PgolfError):
    """Stopped from the keyboard or by a signal. The same command resumes."""

    exit_code = INTERRUPTED


ERROR_CLASSES = (RunFailed, UsageError, CheckFailed, LauncherError, DataError, MachineError, Interrupted)


def error_for_exit_code(code: int, message: str) -> PgolfError:
    """Return the error that an exit code of the trainer stands for; RunFailed for an unknown code."""
    for kind in ERROR_CLASSES:
        if kind.exit_code == code:
            return kind(message)
    return RunFailed(message)
