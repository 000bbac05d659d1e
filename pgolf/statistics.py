"""Statistics of a few seeds: mean and spread, differences with confidence intervals, one-sided tests."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean, stdev, variance
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
"""What pairs two values: a seed."""
# A difference of two means is rounded to these decimals, so that equal scores differ by exactly zero.
DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and spread of a sample."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None for one value, or for values that are not independent."""
    ci95: tuple[float, float] | None
    """95 % confidence interval of the mean by Student's t; None where `std` is None."""

    @property
    def population_std(self) -> float | None:
        """Standard deviation with n in place of n - 1; None where `std` is None."""
        return None if self.std is None else self.std * sqrt((self.n - 1) / self.n)


def summarise(values: list[float], are_independent: bool = True) -> Spread:
    """Return mean and spread of at least one value; values that are not independent have a mean only."""
    n, mean = len(values), fmean(values)
    if n < 2 or not are_independent:
        return Spread(n, mean, None, None)
    std = stdev(values)
    half_width = student_quantile(0.975, n - 1) * std / sqrt(n)
    return Spread(n, mean, std, (mean - half_width, mean + half_width))


def student_quantile(probability: float, degrees: float) -> float:
    """Return a quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two means, with its confidence interval."""

    first: float
    second: float
    difference: float
    ci95: tuple[float, float] | None
    """95 % confidence interval; None with too few seeds."""
    pairs: int
    """Number of paired seeds; 0 if the seeds are treated as independent samples."""

    @property
    def has_clear_sign(self) -> bool:
        """Return whether the interval shows which mean is larger; without one, whether the means differ at all."""
        return self.difference != 0 and (self.ci95 is None or self.ci95[0] * self.ci95[1] > 0)


def difference_of(first: Mapping[Key, float], second: Mapping[Key, float]) -> Difference:
    """Return the difference of two groups, whose values are given by seed.

    Groups with the same seeds are paired, so that the effect of a seed on both cancels. Otherwise all seeds are
    independent samples, with Welch's degrees of freedom.
    """
    one, other = fmean(first.values()), fmean(second.values())
    difference = round(other - one, DECIMALS)
    if first.keys() == second.keys() and len(first) > 1:
        ci95 = summarise([second[seed] - first[seed] for seed in first]).ci95
        return Difference(one, other, difference, ci95, len(first))
    return Difference(one, other, difference, welch_interval(first, second), 0)


def without_interval(difference: Difference) -> Difference:
    """Return a difference of means whose values are not independent, so that they give no interval."""
    return replace(difference, ci95=None, pairs=0)


def shared_difference(first: Mapping[Key, float], second: Mapping[Key, float]) -> Difference | None:
    """Return the paired difference over the shared seeds; None if all seeds are shared, or fewer than two."""
    shared = [seed for seed in first if seed in second]
    if len(shared) < 2 or first.keys() == second.keys():
        return None
    return difference_of({seed: first[seed] for seed in shared}, {seed: second[seed] for seed in shared})


def welch_interval(first: Mapping[Key, float], second: Mapping[Key, float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a difference of independent means; None if a side has fewer than two values."""
    one, other = summarise(list(first.values())), summarise(list(second.values()))
    if one.std is None or other.std is None:
        return None
    difference, parts = other.mean - one.mean, (one.std**2 / one.n, other.std**2 / other.n)
    if not sum(parts):
        return difference, difference
    df = welch_degrees(parts, (one.n, other.n))
    half = student_quantile(0.975, df) * sqrt(sum(parts))
    return difference - half, difference + half


@dataclass(frozen=True, slots=True)
class OneSidedTest:
    """Result of a one-sided test of mean(new) < mean(old) - margin."""

    t: float | None
    """None if no value differs within its group; then p is 0 or 1, by the sign of the difference."""
    df: float
    p: float


def welch_test(new: Sequence[float], old: Sequence[float], margin: float = 0.0) -> OneSidedTest:
    """Return Welch's test for unequal variances. Both samples have at least two values."""
    errors = variance(new) / len(new), variance(old) / len(old)
    return welch_from_errors(fmean(new) - (fmean(old) - margin), errors, (len(new), len(old)))


def welch_from_errors(difference: float, errors: tuple[float, float], sizes: tuple[int, int]) -> OneSidedTest:
    """Return Welch's test of a difference of means, from the squared standard errors of both."""
    from scipy.special import stdtr

    error = sum(errors)
    if error == 0:
        return OneSidedTest(None, float(sum(sizes) - 2), float(difference >= 0))
    df = welch_degrees(errors, sizes)
    t = difference / sqrt(error)
    return OneSidedTest(t, df, float(stdtr(df, t)))


def welch_degrees(errors: tuple[float, float], sizes: tuple[int, int]) -> float:
    """Return Welch's degrees of freedom, from the squared standard errors of both means."""
    return float(sum(errors) ** 2 / sum(error**2 / (size - 1) for error, size in zip(errors, sizes, strict=True)))


def paired_test(new: Mapping[Key, float], old: Mapping[Key, float]) -> tuple[int, OneSidedTest] | None:
    """Return the number of shared seeds and the one-sided paired test over them; None for fewer than two."""
    from scipy.special import stdtr

    differences = [new[seed] - old[seed] for seed in new if seed in old]
    if len(differences) < 2:
        return None
    n, spread = len(differences), stdev(differences)
    if spread == 0:
        return n, OneSidedTest(None, n - 1.0, float(fmean(differences) >= 0))
    t = fmean(differences) / (spread / sqrt(n))
    return n, OneSidedTest(t, n - 1.0, float(stdtr(n - 1, t)))
