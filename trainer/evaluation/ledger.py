"""The write-once score ledger.

Every illegal evaluation of the challenge (re-scoring after adaptation, taking the better of two passes, skipping hard
tokens) needs a score that is written twice or not at all. Here a target is committed once, in order, and only
committed tokens are handed out for adaptation.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.recipe.files import write_whole

NATS_PER_BIT = float(np.log(2.0))


class LedgerViolation(Exception):
    """A protocol tried to write the past, to leave a gap, or to read the future."""


class ScoreLedger:
    """Negative log likelihoods of the targets 1 .. n-1 of n validation tokens, in nats."""

    def __init__(self, tokens: NDArray[np.uint16]) -> None:
        self.tokens = tokens
        self.nats = np.full(len(tokens) - 1, np.nan, dtype=np.float32)
        self.committed = 0

    def commit(self, start: int, nats: NDArray[np.float32]) -> None:
        """Nothing; targets start .. start + len(nats) - 1 (from 0) are scored for good.

        Raises: LedgerViolation unless they follow the last commit, exist and are finite.
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
        """Tokens start .. stop - 1 for a protocol that learns from what it has scored.

        Raises: LedgerViolation if one of them has not been scored yet (token 0 is never a target and free).
        """
        if stop > self.committed + 1:
            raise LedgerViolation(f"token {stop - 1} is asked for, but only {self.committed} targets are scored")
        return self.tokens[start:stop]

    def check_complete(self) -> None:
        """Nothing, if every target has its score.

        Raises: LedgerViolation otherwise.
        """
        if self.committed != len(self.nats):
            raise LedgerViolation(f"{self.committed} of {len(self.nats)} targets are scored")

    def totals(self) -> tuple[float, int]:
        """Sum of nats, summed in float64, and number of targets."""
        self.check_complete()
        return float(self.nats.sum(dtype=np.float64)), len(self.nats)


def bits_per_byte(nats: float, byte_count: float) -> float:
    """Bits per byte (bpb) of `nats` spread over `byte_count` bytes of text."""
    return nats / NATS_PER_BIT / byte_count


def write_ledger(path: Path, nats: NDArray[np.float32], byte_counts: NDArray[np.uint16]) -> None:
    """Nothing; `path` holds both arrays, uncompressed, one entry a target: nll in nats, and bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, nll=nats, bytes=byte_counts)
    write_whole(path, buffer.getvalue())
