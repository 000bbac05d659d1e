"""The ranks from 1 on: rank 0 starts them, watches them and waits for them.

Each holds the end of a pipe whose other end rank 0 holds, and ends when rank 0 does. If one dies the run ends, because
the others would wait for it in a collective operation.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from trainer.recipe.exit_codes import describe_exit
from trainer.recipe.files import RunFiles
from trainer.recipe.reading import read_json
from trainer.runtime.failure import RunFailure

WATCH_INTERVAL_SECONDS = 0.1
# How long rank 0 may take to fail with an error after a worker has died. If it hangs in a collective operation it is
# ended after that.
DEATH_GRACE_SECONDS = 5.0
EXIT_TIMEOUT_SECONDS = 60.0


class Workers:
    """The processes of the ranks from 1 on."""

    def __init__(self, files: RunFiles, on_death: Callable[[RunFailure], None]) -> None:
        self.files, self.on_death = files, on_death
        self.processes: list[subprocess.Popen[bytes]] = []
        self.failure: RunFailure | None = None
        self.has_died = threading.Event()
        self.is_over = threading.Event()

    def start(self, commands: Sequence[list[str]]) -> None:
        """Start one process for each command. Its `--lifeline` is a pipe that ends with this process."""
        receiver, self.lifeline = os.pipe()
        for rank, command in enumerate(commands, start=1):
            self.files.worker_state(rank).unlink(missing_ok=True)
            process = subprocess.Popen([*command, "--lifeline", str(receiver)], pass_fds=(receiver,))
            self.processes.append(process)
        os.close(receiver)
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """Call `on_death` with the failure of the first worker that dies, unless rank 0 fails by itself before."""
        while not self.is_over.is_set():
            for rank, process in enumerate(self.processes, start=1):
                if process.poll():
                    self.failure = self.describe_death(rank, process.returncode)
                    self.has_died.set()
                    if not self.is_over.wait(DEATH_GRACE_SECONDS):
                        self.on_death(self.failure)
                    return
            time.sleep(WATCH_INTERVAL_SECONDS)

    def describe_death(self, rank: int, code: int) -> RunFailure:
        """Return the failure of a worker, with the reason that it wrote to its file if there is one."""
        try:
            word = read_json(self.files.worker_state(rank)).get("error") or describe_exit(code)
        except (OSError, ValueError):
            word = describe_exit(code)
        failure = RunFailure(f"process {rank} of {len(self.processes) + 1}: {word}")
        failure.exit_code = max(1, code)
        return failure

    def wait_for_failure(self) -> RunFailure | None:
        """Return the failure of the worker that caused an error of rank 0, or None if no worker died."""
        self.has_died.wait(DEATH_GRACE_SECONDS / 2)
        self.is_over.set()
        return self.failure

    def wait(self) -> None:
        """Wait until all have ended; kill those that do not."""
        for process in self.processes:
            try:
                process.wait(EXIT_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.is_over.set()
        os.close(self.lifeline)
