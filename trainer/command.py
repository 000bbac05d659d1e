"""The command of a run of a recipe."""

import argparse
import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from trainer.recipe.files import RunFiles
from trainer.recipe.os_errors import describe_os_error
from trainer.recipe.reading import read_json
from trainer.recipe.writing import json_bytes, write_json
from trainer.runtime.failure import AlreadyRunning, DataRefused, MachineRefused, RunFailure, Stopped

if TYPE_CHECKING:
    from trainer.runtime.job import TrainingJob
    from trainer.runtime.stop import StopRequest

OVERDUE = "stopped on request without a last checkpoint, which it could not write in time; the same command resumes"


def main() -> int:
    """Run the run directory on the command line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="trainer", description="Run the recipe of a run directory.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--score", action="store_true", help="only decode and score artifact/model.bin")
    parser.add_argument("--time-steps", type=int, metavar="N", help="only time N steps")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="number of processes")
    # Given by the process that starts this one: its rank, rank 0's port, and a pipe that stops this process on closing.
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--port", type=int)
    parser.add_argument("--lifeline", type=int)
    arguments = parser.parse_args()
    arguments.run_dir = arguments.run_dir.absolute()
    try:
        dispatch(arguments)
    except Exception as error:  # the one place that turns an error into an exit code and a line of state.json
        return report_failure(arguments, error)
    return 0


def dispatch(arguments: argparse.Namespace) -> None:
    """Read the job, take the lock, and do what the arguments ask for."""
    # Imported here so that --help and a missing run directory do not wait for torch.
    from trainer.runtime.job import read_job
    from trainer.runtime.lock import exclusive_lock, remove_temporary_files
    from trainer.runtime.stop import StopRequest

    job = read_job(arguments.run_dir)
    os.chdir(job.files.root)  # paths of the user's own code are relative to it
    stop = StopRequest()
    if arguments.rank or arguments.score:  # has no checkpoint to write, and another trainer may follow at once
        stop.listen(arguments.lifeline, partial(os._exit, Stopped.exit_code), grace_seconds=0.0)
    else:
        stop.listen(arguments.lifeline, partial(exit_with_failure, arguments, Stopped(OVERDUE)))
    if arguments.rank or arguments.score or arguments.time_steps:
        work(arguments, job, stop)
        return
    with exclusive_lock(job.files.lock):
        if not job.files.result.exists():
            stop.check()  # the process that started this one may have been killed meanwhile
            remove_temporary_files(job.files)
            work(arguments, job, stop)


def work(arguments: argparse.Namespace, job: "TrainingJob", stop: "StopRequest") -> None:
    """Train, score or time steps, together with the other ranks."""
    import torch

    from trainer.recipe.cores import thread_count
    from trainer.runtime.rendezvous import Rendezvous, join_world

    torch.set_num_threads(thread_count(job.run, arguments.processes))

    mode = ["--score"] if arguments.score else []
    if arguments.time_steps:
        mode = ["--time-steps", str(arguments.time_steps)]
    rendezvous = Rendezvous(arguments.rank, arguments.processes, arguments.port)
    with join_world(
        rendezvous, job.run["device"], job.files, [str(job.files.root), *mode], partial(exit_with_failure, arguments)
    ) as world:
        if arguments.score:
            from trainer.score import score_run

            score_run(job.files, job.data, world, stop)
        elif arguments.time_steps:
            from trainer.timing import time_steps

            time_steps(job, arguments.time_steps, world)
        else:
            from trainer.train import run_job

            run_job(job, stop, world)


def exit_with_failure(arguments: argparse.Namespace, failure: RunFailure) -> NoReturn:
    """Report a failure and exit at once, without waiting for anything."""
    os._exit(report_failure(arguments, failure))


def report_failure(arguments: argparse.Namespace, error: Exception) -> int:
    """Print an error, write it to state.json or to the file of a worker, and return its exit code."""
    failure = error if isinstance(error, RunFailure) else as_run_failure(error)
    if failure is None:
        traceback.print_exc()
        failure = RunFailure(f"{type(error).__name__}: {error}")
    with suppress(OSError):  # on a full disk the log cannot be written
        print(f"trainer: {failure}", file=sys.stderr, flush=True)
    files = RunFiles(arguments.run_dir)
    if not isinstance(failure, AlreadyRunning):
        write_failure(files.worker_state(arguments.rank) if arguments.rank else files.state, failure)
    return failure.exit_code


def write_failure(path: Path, failure: RunFailure) -> None:
    """Add the failure to the state in a file, if it can be written; else the exit code remains."""
    end = {"phase": "stopped" if isinstance(failure, Stopped) else "failed", "error": str(failure), "pid": os.getpid()}
    try:
        before = read_json(path)
    except (OSError, ValueError):
        before = {}
    state = before | end | {"exit_code": failure.exit_code}
    with suppress(OSError):
        try:
            write_json(path, state)
        except OSError:  # a full disk has no room for another file, but the old one has some to spare
            overwrite(path, json_bytes(state))


def overwrite(path: Path, content: bytes) -> None:
    """Write the content into the blocks that a file has. A kill in between damages it."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def as_run_failure(error: Exception) -> RunFailure | None:
    """Return the failure that an exception of another library stands for, or None if it is a bug."""
    if is_out_of_memory(error):
        reason = str(error).partition("\n")[0]
        return MachineRefused(f"out of memory; try a smaller recipe.schedule.micro_batch_tokens. {reason}")
    if isinstance(error, FileNotFoundError):
        return DataRefused(f"{error.filename} is missing")
    if isinstance(error, OSError):
        return MachineRefused(describe_os_error(error))
    return None


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out in Python, CUDA or torch's CPU allocator, which raises a plain RuntimeError."""
    is_named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return is_named or (isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY))
