"""How a job ended, from its exit code and from what the trainer left in state.json."""

from pgolf.launching.protocol import JobStatus
from pgolf.rundir import RunDirectory
from trainer.recipe.exit_codes import describe_exit


def ended_status(run: RunDirectory, exit_code: int | None, message: str = "") -> JobStatus:
    """Return the status of a job that has ended.

    `message` is the launcher's own explanation, if it has one. Without it the trainer's last message is taken, but only
    if it was left with this exit code: a trainer that cannot write state.json, on a full disk, leaves an older one.
    """
    if message:
        return JobStatus("ended", exit_code, message)
    if exit_code is not None and exit_code < 0:
        return JobStatus("ended", exit_code, f"the trainer was {describe_exit(exit_code)}")
    state = run.read_state()
    if state.get("exit_code") != exit_code:
        return JobStatus("ended", exit_code)
    return JobStatus("ended", exit_code, state.get("error") or "", state.get("reason"))
