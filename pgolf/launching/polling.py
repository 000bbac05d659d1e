"""Jobs on other machines, followed from here: asked after no more often than their owner wants."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pgolf.errors import Unreachable
from pgolf.launching.protocol import Handle, JobStatus
from pgolf.rundir import RunDirectory, follow_file

POLL_SECONDS = 5.0
# A log is not waited for longer than this when nobody answers.
PATIENCE_SECONDS = 60.0


class FollowedJobs:
    """Jobs as they were last seen. `look` asks how one stands, and brings what it has said since."""

    def __init__(self, look: Callable[[Handle], JobStatus]) -> None:
        self.look = look
        self.seen: dict[str, tuple[float, JobStatus]] = {}

    def status(self, handle: Handle) -> JobStatus:
        """How a job stands, or stood a moment ago. What has ended does not change."""
        looked_at, status = self.seen.get(handle["run_dir"], (float("-inf"), JobStatus("queued")))
        pause = handle["options"].get("poll_seconds", POLL_SECONDS)
        if status.state != "ended" and time.monotonic() - looked_at >= pause:
            status = self.look(handle)
            self.seen[handle["run_dir"]] = time.monotonic(), status
        return status

    def forget(self, handle: Handle) -> None:
        """Nothing; the job is asked after anew: it has been started, or told to stop."""
        self.seen.pop(handle["run_dir"], None)

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        """Lines of the log; with `follow` until the job has ended."""
        self.status(handle)
        log = RunDirectory(Path(handle["run_dir"])).files.log
        return follow_file(log, self.growth(handle) if follow else iter([False]))

    def growth(self, handle: Handle) -> Iterator[bool]:
        """True for as long as the job may write.

        Raises: Unreachable when nobody has answered for a while.
        """
        answered = time.monotonic()
        while (status := self.status(handle)).state != "ended":
            if status.state != "unreachable":
                answered = time.monotonic()
            elif time.monotonic() - answered > PATIENCE_SECONDS:
                raise Unreachable(f"{status.message}; the run may go on there, ask again later")
            yield True
        yield False
