"""The other processes of a run: started, watched and let go by rank 0.

Each holds the end of a pipe whose other end is rank 0's, and dies with it. One that dies takes the run with it:
what the others wait for would never come.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from trainer.recipe.exit_codes import describe_exit
from trainer.recipe.files import RunFiles, read_json
from trainer.runtime.failure import RunFailure

WATCH_INTERVAL_SECONDS = 0.1
# Left to rank 0 when a worker's death has woken it with an error; one that is stuck in a collective operation is ended.
DEATH_GRACE_SECONDS = 5.0
EXIT_TIMEOUT_SECONDS = 60.0


class Workers:
    """Processes of the ranks from 1 on."""

    def __init__(self, files: RunFiles, on_death: Callable[[RunFailure], None]) -> None:
        self.files, self.on_death = files, on_death
        self.processes: list[subprocess.Popen[bytes]] = []
        self.failure: RunFailure | None = None
        self.has_died = threading.Event()
        self.is_over = threading.Event()

    def start(self, commands: Sequence[list[str]]) -> None:
        """Nothing; one process a command, each told by `--lifeline` which pipe ends with this process."""
        receiver, self.lifeline = os.pipe()
        for rank, command in enumerate(commands, start=1):
            self.files.worker_word(rank).unlink(missing_ok=True)
            process = subprocess.Popen([*command, "--lifeline", str(receiver)], pass_fds=(receiver,))
            self.processes.append(process)
        os.close(receiver)
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """Nothing; every worker has ended well, or the run has ended with the reason of the first that did not."""
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
        """The failure of a worker, in its own words where it left any."""
        try:
            word = read_json(self.files.worker_word(rank))["error"]
        except (OSError, ValueError, KeyError):
            word = describe_exit(code)
        failure = RunFailure(f"process {rank} of {len(self.processes) + 1}: {word}")
        failure.exit_code = max(1, code)
        return failure

    def wait_for_failure(self) -> RunFailure | None:
        """The failure of a worker that explains an error of rank 0, if there comes to be one."""
        self.has_died.wait(DEATH_GRACE_SECONDS / 2)
        self.is_over.set()
        return self.failure

    def wait(self) -> None:
        """Nothing; all have ended, having nothing left to do."""
        for process in self.processes:
            try:
                process.wait(EXIT_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.is_over.set()
        os.close(self.lifeline)
