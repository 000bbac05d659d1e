"""The command of a run that trains a recipe. The exit code says how it ended."""

import argparse
import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from trainer.recipe.files import RunFiles, read_json, write_json
from trainer.runtime.failure import AlreadyRunning, DataRefused, MachineRefused, RunFailure, Stopped

if TYPE_CHECKING:
    from trainer.runtime.job import TrainingJob
    from trainer.runtime.stop import StopRequest


def main() -> int:
    """The exit code of a run."""
    parser = argparse.ArgumentParser(prog="trainer", description="Train, quantize, pack and score one run directory.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--score", action="store_true", help="only decode and score artifact/model.bin")
    parser.add_argument("--time-steps", type=int, metavar="N", help="only time N steps, into timing.json")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="processes that share the work")
    parser.add_argument("--rank", type=int, default=0, metavar="R", help="which of them this is; 0 starts the others")
    parser.add_argument("--port", type=int, metavar="PORT", help="where process 0 waits for this one")
    parser.add_argument("--lifeline", type=int, metavar="FD", help="a pipe whose end stops the run")
    arguments = parser.parse_args()
    arguments.run_dir = arguments.run_dir.absolute()
    try:
        dispatch(arguments)
    except Exception as error:  # the one place where any error becomes an exit code and a line in state.json
        return report_failure(arguments, error)
    return 0


def dispatch(arguments: argparse.Namespace) -> None:
    """Nothing; what was asked for is done."""
    # Imported here so that --help and a missing run directory do not wait for torch.
    from trainer.runtime.job import read_job
    from trainer.runtime.lock import exclusive_lock, remove_temporary_files
    from trainer.runtime.stop import StopRequest

    job = read_job(arguments.run_dir)
    os.chdir(job.files.root)  # the user's own code stands below it
    stop = StopRequest()
    if arguments.rank:
        stop.listen(arguments.lifeline, grace_seconds=0.0)
        work(arguments, job, stop)
        return
    stop.listen(arguments.lifeline)
    if arguments.score or arguments.time_steps:
        work(arguments, job, stop)
        return
    with exclusive_lock(job.files.lock):
        if not job.files.result.exists():
            remove_temporary_files(job.files)
            work(arguments, job, stop)


def work(arguments: argparse.Namespace, job: "TrainingJob", stop: "StopRequest") -> None:
    """Nothing; this process has done its part of what was asked for, together with those that share the work."""
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
            from trainer.score import score_artifact

            score_artifact(job.files, job.data, world, stop)
        elif arguments.time_steps:
            from trainer.timing import time_steps

            time_steps(job, arguments.time_steps, world)
        else:
            from trainer.train import run_job

            run_job(job, stop, world)


def exit_with_failure(arguments: argparse.Namespace, failure: RunFailure) -> NoReturn:
    """Nothing; this process is gone, for whatever it waits for will not come."""
    os._exit(report_failure(arguments, failure))


def report_failure(arguments: argparse.Namespace, error: Exception) -> int:
    """The exit code of an error, which also stands in state.json, or in a worker's own file, for whoever asks later."""
    failure = error if isinstance(error, RunFailure) else translate(error)
    if failure is None:
        traceback.print_exc()
        failure = RunFailure(f"{type(error).__name__}: {error}")
    print(f"trainer: {failure}", file=sys.stderr, flush=True)
    files = RunFiles(arguments.run_dir)
    if not isinstance(failure, AlreadyRunning):
        write_failure(files.worker_state(arguments.rank) if arguments.rank else files.state, failure)
    return failure.exit_code


def write_failure(path: Path, failure: RunFailure) -> None:
    """Nothing; the file says how the run ended, beside where it was. On a full disk only the exit code says so."""
    word = {"phase": "stopped" if isinstance(failure, Stopped) else "failed", "error": str(failure)}
    with suppress(OSError):
        try:
            before = read_json(path)
        except (OSError, ValueError):
            before = {}
        write_json(path, before | word | {"exit_code": failure.exit_code})


def translate(error: Exception) -> RunFailure | None:
    """The failure that a foreign exception means, or None when it is a bug."""
    if is_out_of_memory(error):
        what = (str(error) or "no more to be had").splitlines()[0]
        return MachineRefused(f"out of memory: {what}; try a smaller recipe.schedule.micro_batch_tokens")
    if isinstance(error, FileNotFoundError):
        return DataRefused(f"{error.filename} is missing")
    if isinstance(error, OSError):
        return MachineRefused(f"{error.filename or 'a file'}: {error.strerror}")
    return None


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, CUDA or torch's CPU allocator, which has no exception of its own, found no memory."""
    is_named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return is_named or (isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY))
