"""Byte estimates with an interval."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ByteEstimate:
    """Model bytes predicted before training."""

    estimate: int
    low: int
    high: int
    basis: str
    """Where the estimate comes from, and the reason for the width of its interval."""

    def as_json(self) -> dict[str, int]:
        """Return the estimate and its interval."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


def with_margins(total: float, below: float, above: float, basis: str) -> ByteEstimate:
    """Return an estimate whose interval reaches these shares of it below and above."""
    return ByteEstimate(round(total), round(total * (1 - below)), round(total * (1 + above)), basis)
