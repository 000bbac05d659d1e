"""The ways in which a run ends early, each with its exit code."""

from trainer.recipe.exit_codes import ALREADY_RUNNING, INTERRUPTED


class RunFailure(Exception):
    """An error to report in one line. The exit codes are those of the pgolf command."""

    exit_code = 1


class TrainingFailed(RunFailure):
    """The recipe does not train: a loss is not a number, or a parameter never moves."""


class StoppedByRule(RunFailure):
    """The run's stop rule ended it."""


class ArtifactRefused(RunFailure):
    """model.bin is damaged or not consistent."""


class ResumeRefused(RunFailure):
    """The run directory cannot be resumed in this environment, or is none."""

    exit_code = 2


class LaunchRefused(RunFailure):
    """The recipe cannot be run with this number of processes."""

    exit_code = 2


class DataRefused(RunFailure):
    """A shard, the manifest or the tokenizer is missing or wrong."""

    exit_code = 5


class MachineRefused(RunFailure):
    """No such device, no memory, no disk."""

    exit_code = 6


class AlreadyRunning(RunFailure):
    """Another trainer works in this run directory."""

    exit_code = ALREADY_RUNNING


class Stopped(RunFailure):
    """The run was asked to stop; the same command resumes it."""

    exit_code = INTERRUPTED
