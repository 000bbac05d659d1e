"""`python -P -m trainer RUN_DIR`: a run directory in, a run directory out. The exit code says how it ended."""

import argparse
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from trainer.recipe.files import RunFiles, read_json, write_json
from trainer.runtime.failure import AlreadyRunning, DataRefused, MachineRefused, RunFailure, Stopped


def main() -> int:
    """The exit code of a run."""
    parser = argparse.ArgumentParser(prog="trainer", description="Train, quantize, pack and score one run directory.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--score", action="store_true", help="only decode and score artifact/model.bin")
    parser.add_argument("--time-steps", type=int, metavar="N", help="only time N steps, into timing.json")
    parser.add_argument("--lifeline", type=int, metavar="FD", help="a pipe whose end stops the run")
    arguments = parser.parse_args()
    try:
        dispatch(arguments)
    except Exception as error:  # the one place where any error becomes an exit code and a line in state.json
        return account_for(arguments.run_dir, error)
    return 0


def dispatch(arguments: argparse.Namespace) -> None:
    """Nothing; what was asked for is done."""
    # Imported here so that --help and a missing run directory do not wait for torch.
    from trainer.runtime.device import choose_device
    from trainer.runtime.job import read_job
    from trainer.runtime.lock import exclusive_lock, remove_leftovers
    from trainer.runtime.stop import StopRequest

    job = read_job(arguments.run_dir)
    stop = StopRequest()
    stop.listen(arguments.lifeline)
    if arguments.score:
        from trainer.score import score_artifact

        score_artifact(job.files, job.data, choose_device(job.run["device"]), stop)
    elif arguments.time_steps:
        from trainer.timing import time_steps

        time_steps(job, arguments.time_steps)
    else:
        from trainer.train import run_job

        with exclusive_lock(job.files.lock):
            if not job.files.result.exists():
                remove_leftovers(job.files)
                run_job(job, stop)


def account_for(root: Path, error: Exception) -> int:
    """The exit code of an error, which also stands in state.json for whoever asks later."""
    failure = error if isinstance(error, RunFailure) else translate(error)
    if failure is None:
        traceback.print_exc()
        failure = RunFailure(f"{type(error).__name__}: {error}")
    print(f"trainer: {failure}", file=sys.stderr, flush=True)
    if not isinstance(failure, AlreadyRunning):
        leave_word(RunFiles(root), failure)
    return failure.exit_code


def leave_word(files: RunFiles, failure: RunFailure) -> None:
    """Nothing; state.json says how the run ended, beside where it was. On a full disk only the exit code says so."""
    word = {"phase": "stopped" if isinstance(failure, Stopped) else "failed", "error": str(failure)}
    with suppress(OSError):
        try:
            before = read_json(files.state)
        except (OSError, ValueError):
            before = {}
        write_json(files.state, before | word | {"exit_code": failure.exit_code})


def translate(error: Exception) -> RunFailure | None:
    """The failure that a foreign exception means, or None when it is a bug."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return MachineRefused(f"out of memory: {error}; try a smaller recipe.schedule.micro_batch_tokens")
    if isinstance(error, FileNotFoundError):
        return DataRefused(f"{error.filename} is missing")
    if isinstance(error, OSError):
        return MachineRefused(f"{error.filename or 'a file'}: {error.strerror}")
    return None


if __name__ == "__main__":
    sys.exit(main())
