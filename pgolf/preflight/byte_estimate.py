"""Bytes before they exist."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ByteEstimate:
    """Model bytes before training."""

    estimate: int
    low: int
    high: int
    basis: str
    """Where it comes from, and why it is as wide as it is."""

    def as_json(self) -> dict[str, int]:
        """The interval."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


def between(total: float, below: float, above: float, basis: str) -> ByteEstimate:
    """An estimate that may be off by these shares of it."""
    return ByteEstimate(round(total), round(total * (1 - below)), round(total * (1 + above)), basis)
