"""Allocation of bits to rows: the steps with which all rows together lose least at a given rate.

Rounding row r in steps of s costs c_r s^2 nats a token, where c_r is its sensitivity (sensitivity.py). A row of
deviation d that is rounded in steps of t d takes R(t) bits a weight, and its error has the variance d^2 D(t). All rows
together cost least, for a given number of bits, where one more bit spent in any row saves the same. The law for fine
steps, s^2 / 12, would give insensitive rows steps without bound. D(t) never exceeds 1, which keeps them finite.

R and D are those of a Gaussian, exactly. GPTQ rounds wider values than the weights: it adds the errors of the columns
before, `spread` times the variance of one rounding error.
Source of the slope condition: reverse water-filling, Cover and Thomas, Elements of Information Theory, section 10.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import e, log, log2, pi

import torch
from torch import Tensor

from trainer.recipe.quantizer import FisherSteps

# Steps are tabulated from 0.001 to 8 deviations, 200 to a factor of ten.
FINEST_STEP, COARSEST_STEP, STEPS_A_DECADE = 0.001, 8.0, 200
# Below this step the rate is that of the law for fine steps, with its first correction, to 6 digits.
FINE_STEP = 0.1
# Steps are powers of 2^(1/8), whose float16 values take half the bytes of arbitrary ones.
STEPS_AN_OCTAVE = 8
# Least deviation and cost of a row, so that rows of zeros have logarithms.
TINY = 1e-12
BISECTIONS = 60
# Groups of columns, by width, whose rates are averaged.
PROFILE_GROUPS = 16
# The profile of a matrix whose columns are all alike.
EVEN = torch.ones(1, dtype=torch.float64)
# Spread above which no feedback is followed further: at almost no damping it grows without bound.
MOST_SPREAD = 1e4


@dataclass(frozen=True, slots=True)
class GaussianTable:
    """Rounding of a Gaussian of variance 1: at each step its rate and its error. All are (T,), float64."""

    log_steps_T: Tensor
    bits_T: Tensor
    errors_T: Tensor


@cache
def gaussian_table() -> GaussianTable:
    """Return rate and error of rounding a Gaussian to nearest, at all tabulated steps."""
    count = round(STEPS_A_DECADE * log(COARSEST_STEP / FINEST_STEP, 10)) + 1
    log_steps_T = torch.linspace(log(FINEST_STEP), log(COARSEST_STEP), count, dtype=torch.float64)
    steps_T = log_steps_T.exp()
    bits_T = 0.5 * log2(2 * pi * e) - steps_T.log2() + steps_T**2 / (24 * log(2))
    errors_T = steps_T**2 / 12
    is_coarse_T = steps_T >= FINE_STEP
    bits_T[is_coarse_T], errors_T[is_coarse_T] = round_gaussian(steps_T[is_coarse_T])
    return GaussianTable(log_steps_T, bits_T, errors_T)


def round_gaussian(steps_T: Tensor) -> tuple[Tensor, Tensor]:
    """Return entropy in bits and mean squared error of a Gaussian of variance 1 rounded to multiples of each step."""
    codes_K = torch.arange(-round(10 / FINE_STEP), round(10 / FINE_STEP) + 1, dtype=torch.float64)
    low_TK, high_TK = (codes_K - 0.5) * steps_T[:, None], (codes_K + 0.5) * steps_T[:, None]
    shares_TK = torch.special.ndtr(high_TK) - torch.special.ndtr(low_TK)
    means_TK = gaussian_density(low_TK) - gaussian_density(high_TK)  # integral of x over the cell
    points_TK = codes_K * steps_T[:, None]
    errors_T = 1 + (points_TK**2 * shares_TK - 2 * points_TK * means_TK).sum(1)
    return -torch.special.xlogy(shares_TK, shares_TK).sum(1) / log(2), errors_T


def gaussian_density(x: Tensor) -> Tensor:
    """Return the density of a Gaussian of variance 1."""
    density: Tensor = torch.exp(-(x**2) / 2) / (2 * pi) ** 0.5
    return density


class RateTable:
    """Bits a weight and squared error of the rows of a matrix, by step; all in units of the deviation of a row.

    The columns of a row differ in width. Each of some groups of them, with `profile_Q` times the mean square of the
    row, is a Gaussian of its own.
    """

    def __init__(self, spread: float = 0.0, profile_Q: Tensor = EVEN) -> None:
        """Take the variance that feedback adds to the values that are rounded, in that of one rounding error."""
        table = gaussian_table()
        self.log_steps_T = table.log_steps_T
        squared_T1 = self.log_steps_T.exp()[:, None] ** 2
        variance_TQ = profile_Q + min(spread, MOST_SPREAD) * squared_T1 / 12
        log_TQ = (squared_T1 / variance_TQ.clamp_min(TINY)).log() / 2
        self.bits_T = interpolated(table.bits_T, log_TQ).mean(dim=1)
        self.errors_T = (variance_TQ * interpolated(table.errors_T, log_TQ)).mean(dim=1)
        slope_T = -self.errors_T.diff() / self.bits_T.diff()
        falls = ((slope_T.diff() <= 0) | (slope_T[1:] <= 0)).nonzero()
        stop = int(falls[0]) + 1 if len(falls) else len(slope_T)
        # How much of the error one more bit takes away; beyond the last entry, steps are so coarse that it takes less.
        self.log_slopes_T = slope_T[:stop].log()

    def steps(self, log_slopes_R: Tensor) -> Tensor:
        """Return the steps at which one more bit takes away some error. Shapes: (R,) -> (R,)."""
        at_R = torch.searchsorted(self.log_slopes_T, log_slopes_R).clamp_max(len(self.log_slopes_T) - 1)
        return self.log_steps_T[at_R].exp()


@dataclass(frozen=True, slots=True)
class RowCosts:
    """What is known of the rows of a matrix. All tensors are (R,), float64."""

    deviation_R: Tensor
    """Root mean square of the weights of each row, in steps of their columns."""
    cost_R: Tensor
    """Nats a token for a step of 1."""
    clip_bits_R: Tensor
    """Bits a weight that the clips give, which all rows keep together."""
    columns: int
    table: RateTable = field(default_factory=RateTable)

    def bits(self, steps_R: Tensor) -> Tensor:
        """Return the bits that a weight of each row takes. Shapes: (R,) -> (R,)."""
        bits_R = interpolated(self.table.bits_T, self.log_steps(steps_R))
        return torch.where(self.deviation_R > 0, bits_R, 0.0)  # a row of zeros takes none

    def nats(self, steps_R: Tensor) -> Tensor:
        """Return the nats a token that rounding each row costs. Shapes: (R,) -> (R,)."""
        errors_R = interpolated(self.table.errors_T, self.log_steps(steps_R))
        return 12 * self.cost_R * self.deviation_R**2 * errors_R

    def log_steps(self, steps_R: Tensor) -> Tensor:
        """Return the logarithm of steps in deviations of their rows. Shapes: (R,) -> (R,)."""
        return (steps_R / self.deviation_R.clamp_min(TINY)).clamp_min(TINY).log()

    def steps(self, log_cost_R: Tensor, log_price: float) -> Tensor:
        """Return the steps at which one more bit a weight saves as much as it costs. Shapes: (R,) -> (R,)."""
        deviation_R = self.deviation_R.clamp_min(TINY)
        return self.table.steps(log_price + log(self.columns) - log_cost_R - 2 * deviation_R.log()) * deviation_R


def interpolated(values_T: Tensor, log_steps: Tensor) -> Tensor:
    """Return the values of a table at some steps, in any shape; those of its ends for steps beyond."""
    table = gaussian_table().log_steps_T
    place = ((log_steps - table[0]) / (table[1] - table[0])).clamp(0, len(table) - 1)
    low = place.long().clamp_max(len(table) - 2)
    return values_T[low] + (place - low) * (values_T[low + 1] - values_T[low])


def column_profile(w_RC: Tensor) -> Tensor:
    """Return the mean squares of groups of columns of similar width, whose mean is 1. Shapes: (R, C) -> (Q,)."""
    scaled_RC = w_RC.double().cpu() / w_RC.double().cpu().square().mean(dim=1, keepdim=True).sqrt().clamp_min(TINY)
    sorted_C = scaled_RC.square().mean(dim=0).sort().values
    profile_Q = torch.stack([part.mean() for part in sorted_C.tensor_split(min(PROFILE_GROUPS, len(sorted_C)))])
    return profile_Q / profile_Q.mean().clamp_min(TINY)


def allocate_steps(recipe: FisherSteps, rows: Mapping[str, RowCosts]) -> dict[str, Tensor]:
    """Return the steps of all rows, (R,), float16, which take as many bits together as the clips give."""
    if not rows:
        return {}
    costs = weighted_costs(recipe, rows)
    wanted = sum(each.columns * float(each.clip_bits_R.sum()) for each in rows.values())
    low, high = -120.0, 120.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        steps = {name: each.steps(costs[name], middle) for name, each in rows.items()}
        taken = sum(each.columns * float(each.bits(steps[name]).sum()) for name, each in rows.items())
        low, high = (middle, high) if taken > wanted else (low, middle)
    return {name: on_log_grid(each.steps(costs[name], high)) for name, each in rows.items()}


def weighted_costs(recipe: FisherSteps, rows: Mapping[str, RowCosts]) -> dict[str, Tensor]:
    """Return the logarithm of the cost of each row, with differences weighted by the exponents of the recipe."""
    logs = {name: each.cost_R.clamp_min(TINY).log() for name, each in rows.items()}
    middles = {name: mean_of(logs[name], each) for name, each in rows.items()}
    counts = {name: each.columns * int((each.deviation_R > 0).sum()) for name, each in rows.items()}
    mean = sum(counts[name] * middle for name, middle in middles.items()) / max(1, sum(counts.values()))
    weighted = {}
    for name, each in rows.items():
        deviation_R = each.deviation_R.clamp_min(TINY).log()
        of_tensor = mean + recipe.tensor * (middles[name] - mean)
        of_deviation_R = recipe.deviation * (deviation_R - mean_of(deviation_R, each))
        weighted[name] = of_tensor + recipe.row * (logs[name] - middles[name]) - 2 * of_deviation_R
    return weighted


def mean_of(values_R: Tensor, rows: RowCosts) -> float:
    """Return the mean over the rows that are not all zeros; 0 if there is none."""
    kept_N = values_R[rows.deviation_R > 0]
    return float(kept_N.mean()) if len(kept_N) else 0.0


def on_log_grid(steps_R: Tensor) -> Tensor:
    """Return steps rounded to powers of the eighth root of 2, in float16 at which none is zero."""
    exponents_R = (steps_R.log2() * STEPS_AN_OCTAVE).round() / STEPS_AN_OCTAVE
    return exponents_R.exp2().clamp(2.0**-24, 2.0**15).half()
