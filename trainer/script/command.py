"""The command of a run of a script, with the options of the command of a recipe's run."""

import argparse
from functools import partial
from pathlib import Path

from trainer.command import exit_with_failure, report_failure
from trainer.runtime.failure import Stopped
from trainer.runtime.lock import exclusive_lock, remove_temporary_files
from trainer.runtime.stop import StopRequest
from trainer.script.job import read_script_job
from trainer.script.supervisor import supervise_script

SCRIPT_OVERDUE = "stopped on request: the script did not end in time and was killed; the same command starts it again"


def script_main() -> int:
    """Run the script of a run directory, and return the exit code."""
    parser = argparse.ArgumentParser(prog="trainer", description="Run the script of a run directory.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="number of processes")
    parser.add_argument("--lifeline", type=int, metavar="FD", help="pipe whose end stops the run")
    arguments = parser.parse_args(namespace=argparse.Namespace(rank=0))
    arguments.run_dir = arguments.run_dir.absolute()
    try:
        job = read_script_job(arguments.run_dir)
        stop = StopRequest()
        stop.listen(arguments.lifeline, partial(exit_with_failure, arguments, Stopped(SCRIPT_OVERDUE)))
        with exclusive_lock(job.files.lock):
            if not job.files.result.exists():
                stop.check()  # the process that started this one may have been killed meanwhile
                remove_temporary_files(job.files)
                supervise_script(job, stop, arguments.processes)
    except Exception as error:  # the one place that turns an error into an exit code and a line of state.json
        return report_failure(arguments, error)
    return 0
