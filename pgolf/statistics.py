"""Mean, spread and confidence interval of a few seeds."""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and spread of a sample."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None for one value."""
    ci95: tuple[float, float] | None
    """95 % confidence interval of the mean by Student's t; None for one value."""

    @property
    def population_std(self) -> float | None:
        """Standard deviation with n in place of n - 1; None for one value."""
        return None if self.std is None else self.std * sqrt((self.n - 1) / self.n)


def summarise(values: list[float]) -> Spread:
    """Return mean and spread of at least one value."""
    n, mean = len(values), fmean(values)
    if n < 2:
        return Spread(n, mean, None, None)
    std = stdev(values)
    half_width = student_quantile(0.975, n - 1) * std / sqrt(n)
    return Spread(n, mean, std, (mean - half_width, mean + half_width))


def student_quantile(probability: float, degrees: float) -> float:
    """Return a quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
