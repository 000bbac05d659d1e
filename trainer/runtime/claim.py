"""Whether this trainer may still write, where a network volume shows its run directory to other machines too."""

import json
import time

from trainer.recipe.files import RunFiles
from trainer.runtime.failure import AlreadyRunning

# Reading costs a round trip on a network volume. A pause of this process is longer.
CHECK_SECONDS = 0.5


class Claim:
    """What job.json says about the supervisor that may work in the run directory; absent where nobody else can.

    The supervisor of this trainer looks at it, too. But when a paused machine goes on, both wake at the same time.
    """

    def __init__(self, files: RunFiles) -> None:
        self.path = files.root / "job.json"
        self.own = self.read()
        self.checked_at = time.monotonic()

    def read(self) -> object:
        """Return the name of the claim; None if there is none."""
        try:
            return json.loads(self.path.read_text(encoding="utf-8")).get("claim")
        except (OSError, ValueError, AttributeError):
            return None

    def check(self) -> None:
        """Check that nobody else has claimed the run, at most every CHECK_SECONDS.

        Raises:
            AlreadyRunning: another supervisor has.
        """
        if self.own is None or time.monotonic() - self.checked_at < CHECK_SECONDS:
            return
        if self.read() not in (self.own, None):
            raise AlreadyRunning(f"another machine has taken over the run in {self.path.parent}")
        self.checked_at = time.monotonic()
