"""The ledger of protocols that score several documents side by side, in an order that they announce."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.ledger import LedgerViolation, ScoreLedger

Span = tuple[int, int]
"""The targets of a document: the first, and the one after the last."""


class DocumentLedger(ScoreLedger):
    """A ledger in which documents are scored in announced rounds.

    Rounds follow one another. The documents of a round advance side by side, each from its first target to its last.
    The order is fixed before the first score.
    """

    def __init__(self, tokens: NDArray[np.uint16], padding: int = 0) -> None:
        """Begin with no score.

        Args:
            padding: Zeros after the text, so that windows of equal length may extend beyond its end.
        """
        super().__init__(tokens)
        self.tokens = np.concatenate((tokens, np.zeros(padding, tokens.dtype)))
        self.rounds: list[Sequence[Span]] = []
        self.open: dict[int, int] = {}
        """Of each document of this round that is not complete: its next target, and the one after its last."""

    def announce(self, rounds: Sequence[Sequence[Span]]) -> None:
        """Announce the rounds.

        Raises:
            LedgerViolation: a score is there already, or the documents do not have each target once.
        """
        spans = [span for each in rounds for span in each]
        ordered = sorted(spans)
        edges = [0, *(stop for _, stop in ordered)]
        if self.committed or [start for start, _ in ordered] != edges[:-1] or edges[-1] != len(self.nats):
            raise LedgerViolation("an order of documents must have each target once and stand before the first score")
        if spans != ordered:
            self.order = np.argsort(np.argsort([start for start, _ in spans])).astype(np.int32)
        self.rounds = list(rounds)
        self.begin_round()

    def begin_round(self) -> None:
        """Open the documents of the next round, if there is one."""
        self.open = dict(self.rounds.pop(0)) if self.rounds else {}

    def commit(self, start: int, nats: NDArray[np.float32]) -> None:
        """Write the final scores of the targets start .. start + len(nats) - 1 (from 0).

        Raises:
            LedgerViolation: no document whose turn it is goes on there, or it ends before; or a score is not finite.
        """
        stop, end = start + len(nats), self.open.get(start)
        if end is None or not start < stop <= end:
            begins = ", ".join(map(str, sorted(self.open)[:4]))
            raise LedgerViolation(f"commit of targets {start}..{stop - 1}, expected to begin at {begins or 'none'}")
        if not np.isfinite(nats).all():
            raise LedgerViolation(f"targets {start}..{stop - 1} hold a score that is not finite")
        self.nats[start:stop] = nats
        self.committed += len(nats)
        del self.open[start]
        if stop < end:
            self.open[stop] = end
        elif not self.open:
            self.begin_round()

    def adaptation_tokens(self, start: int, stop: int) -> NDArray[np.uint16]:
        """Return the tokens start .. stop - 1, for a protocol that learns from what it has scored.

        Raises:
            LedgerViolation: one of them has not been scored yet. Token 0 is never a target and always available.
        """
        first = max(0, start - 1)
        missing = np.flatnonzero(np.isnan(self.nats[first : stop - 1]))
        if len(missing) or stop > len(self.nats) + 1:
            token = first + 1 + int(missing[0]) if len(missing) else stop - 1
            raise LedgerViolation(f"token {token} was requested before it was scored")
        return self.tokens[start:stop]
