"""Whether this trainer may still write, where a network volume shows its run directory to other machines too."""

import time

from trainer.recipe.files import RunFiles
from trainer.recipe.reading import read_json
from trainer.runtime.failure import AlreadyRunning

# Reading costs a round trip on a network volume.
CHECK_SECONDS = 0.5
# Unlike time.monotonic, this clock goes on while the machine is suspended.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Claim:
    """What job.json says about the supervisor that may work in the run directory; absent where nobody else can.

    The supervisor of this trainer looks at it, too. But when a paused machine goes on, both wake at the same time.
    """

    def __init__(self, files: RunFiles) -> None:
        self.path = files.root / "job.json"
        self.own = self.read()
        self.checked_at = time.clock_gettime(CLOCK)

    def read(self) -> object:
        """Return the name of the claim; None if there is none."""
        try:
            return read_json(self.path).get("claim")
        except (OSError, ValueError):
            return None

    def check(self) -> None:
        """Check that nobody else has claimed the run. Call before a file is written that the other machine reads.

        Raises:
            AlreadyRunning: another supervisor has.
        """
        if self.own is not None and self.read() not in (self.own, None):
            raise AlreadyRunning(f"another machine has taken over the run in {self.path.parent}")
        self.checked_at = time.clock_gettime(CLOCK)

    def check_regularly(self) -> None:
        """Check, unless that was done less than CHECK_SECONDS ago.

        Raises:
            AlreadyRunning: another supervisor has claimed the run.
        """
        if time.clock_gettime(CLOCK) - self.checked_at >= CHECK_SECONDS:
            self.check()
