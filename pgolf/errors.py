"""Everything that can go wrong, and the exit code of each.

PgolfError
├── RunFailed          1    a run ended without a result
├── UsageError         2    the command cannot mean anything
│   └── SpecError      2    a spec is wrong, at a file and a line
├── CheckFailed        3    preflight, audit or verify says no
├── LauncherError      4    the place to run on said no
│   ├── Unreachable    4    it does not answer; what runs there may go on
│   └── Busy           4    it has no room at this moment
├── DataError          5    tokens, tokenizer or manifest are missing or wrong
├── MachineError       6    no disk, no memory, not writable
└── Interrupted      130    stopped from the keyboard or by a signal; resumable
"""

from trainer.recipe.exit_codes import INTERRUPTED


class PgolfError(Exception):
    """One message for people: where, what was found, what was expected, what to do."""

    exit_code = 1


class RunFailed(PgolfError):
    """A run ended without a result."""


class UsageError(PgolfError):
    """The command cannot mean anything."""

    exit_code = 2


class SpecError(UsageError):
    """A spec is wrong. The message begins with file:line."""


class CheckFailed(PgolfError):
    """Preflight, audit or verify says no."""

    exit_code = 3


class LauncherError(PgolfError):
    """The place to run on said no."""

    exit_code = 4


class Unreachable(LauncherError):
    """The place to run on does not answer; what runs there may go on."""


class Busy(LauncherError):
    """The place to run on has no room at this moment."""


class DataError(PgolfError):
    """Tokens, tokenizer or manifest are missing or wrong."""

    exit_code = 5


class MachineError(PgolfError):
    """No disk, no memory, not writable."""

    exit_code = 6


class Interrupted(PgolfError):
    """Stopped from the keyboard or by a signal. What was running can be resumed."""

    exit_code = INTERRUPTED


ERROR_CLASSES = (RunFailed, UsageError, CheckFailed, LauncherError, DataError, MachineError, Interrupted)


def error_for_exit_code(code: int, message: str) -> PgolfError:
    """The error that an exit code of the trainer stands for; an unknown code is a failed run."""
    for kind in ERROR_CLASSES:
        if kind.exit_code == code:
            return kind(message)
    return RunFailed(message)
