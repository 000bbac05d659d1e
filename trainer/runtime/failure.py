"""The ways a run ends early, each with the exit code that its launcher sees."""

from trainer.recipe.exit_codes import ALREADY_RUNNING, INTERRUPTED


class RunFailure(Exception):
    """Something a person must hear about in one line. The exit codes are those of the pgolf command."""

    exit_code = 1


class TrainingFailed(RunFailure):
    """The recipe did not train: a loss that is not a number, a parameter that never moves."""


class StoppedByRule(RunFailure):
    """Ended by its own stop rule."""


class ArtifactRefused(RunFailure):
    """model.bin is damaged, or is not what it says."""


class ResumeRefused(RunFailure):
    """The checkpoint belongs to another setting."""

    exit_code = 2


class LaunchRefused(RunFailure):
    """The recipe cannot be run by so many processes."""

    exit_code = 2


class DataRefused(RunFailure):
    """A shard, the manifest or the tokenizer is missing or wrong."""

    exit_code = 5


class MachineRefused(RunFailure):
    """No such device, no memory, no disk."""

    exit_code = 6


class AlreadyRunning(RunFailure):
    """Another trainer holds this run directory."""

    exit_code = ALREADY_RUNNING


class Stopped(RunFailure):
    """Asked to stop; the checkpoint is on disk."""

    exit_code = INTERRUPTED
