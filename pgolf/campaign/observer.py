"""Messages and progress of planning, running and searching."""

from collections.abc import Sequence

from pgolf.findings import Finding
from pgolf.rundir import RunDirectory


class Observer:
    """Receives messages and progress. Every method does nothing here; override those that you need."""

    def say(self, message: str) -> None:
        """Receive one line for people."""

    def show_findings(self, title: str, findings: Sequence[Finding]) -> None:
        """Receive findings that are not passes; `title` is the spec's name where there are several, else empty."""

    def run_started(self, run: RunDirectory) -> None:
        """Receive a run that was started or attached to."""

    def runs_polled(self) -> None:
        """React to a poll of all runs, which happens several times a second."""

    def run_ended(self, run: RunDirectory) -> None:
        """Receive a run that has ended, with or without a result."""
