"""The write-once ledger of scores.

The evaluations that the challenge forbids (re-scoring after adaptation, taking the better of two passes, skipping hard
tokens) all write a score twice or not at all. Here each target is committed once, in order, and only tokens that have
been scored are given out for adaptation.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.recipe.writing import write_whole

NATS_PER_BIT = float(np.log(2.0))


class LedgerViolation(Exception):
    """A protocol tried to score a target twice, leave a gap, or read a token before it was scored."""


class ScoreLedger:
    """Negative log likelihoods, in nats, of the targets of n validation tokens; target i is token i + 1."""

    def __init__(self, tokens: NDArray[np.uint16]) -> None:
        self.tokens = tokens
        self.nats = np.full(len(tokens) - 1, np.nan, dtype=np.float32)
        self.committed = 0
        self.order: NDArray[np.int32] | None = None
        """Numbers of the documents as they are scored; None for the order of the text."""

    def commit(self, start: int, nats: NDArray[np.float32]) -> None:
        """Write the final scores of the targets start .. start + len(nats) - 1 (from 0).

        Raises:
            LedgerViolation: they do not follow the last commit, go beyond the last target, or are not finite.
        """
        stop = start + len(nats)
        if start != self.committed or stop > len(self.nats):
            raise LedgerViolation(
                f"commit of targets {start}..{stop - 1}, expected to begin at {self.committed} of {len(self.nats)}"
            )
        if not np.isfinite(nats).all():
            raise LedgerViolation(f"targets {start}..{stop - 1} hold a score that is not finite")
        self.nats[start:stop] = nats
        self.committed = stop

    def adaptation_tokens(self, start: int, stop: int) -> NDArray[np.uint16]:
        """Return the tokens start .. stop - 1, for a protocol that learns from what it has scored.

        Raises:
            LedgerViolation: one of them has not been scored yet. Token 0 is never a target and always available.
        """
        if stop > self.committed + 1:
            raise LedgerViolation(f"token {stop - 1} was requested, but only {self.committed} targets are scored")
        return self.tokens[start:stop]

    def check_complete(self) -> None:
        """Check that every target has a score.

        Raises:
            LedgerViolation: a target has none.
        """
        if self.committed != len(self.nats):
            raise LedgerViolation(f"only {self.committed} of {len(self.nats)} targets are scored")

    def totals(self) -> tuple[float, int]:
        """Return the sum of nats, in float64, and the number of targets."""
        self.check_complete()
        return float(self.nats.sum(dtype=np.float64)), len(self.nats)


def bits_per_byte(nats: float, byte_count: float) -> float:
    """Return bits per byte (bpb): `nats` in bits, divided by `byte_count`."""
    return nats / NATS_PER_BIT / byte_count


def write_ledger(
    path: Path, nats: NDArray[np.float32], byte_counts: NDArray[np.uint16], order: NDArray[np.int32] | None = None
) -> None:
    """Write an uncompressed .npz with two arrays of one entry per target: `nll` in nats, and `bytes`.

    A third, `order`, has the numbers of the documents as they were scored, if that is not the order of the text.
    """
    buffer = io.BytesIO()
    arrays: dict[str, NDArray[Any]] = {"nll": nats, "bytes": byte_counts}
    np.savez(buffer, **(arrays if order is None else arrays | {"order": order}))  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())
