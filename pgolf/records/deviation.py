"""A claimed standard deviation, compared with that of the scores."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import pstdev, stdev

from pgolf.alike import decimals_of
from pgolf.records.printed import Printed, Problem, agree, coarser_decimals, computed, problem

# Authors compute deviations from rounded scores: one that is so near is theirs.
NEAR_SHARE = 0.02


def judge_deviation(claims: Sequence[Printed], scores: Sequence[Printed]) -> Problem | None:
    """Return what is wrong with the most exact of the claimed deviations; None if it is that of the sample.

    Source: the contest asks for the deviation of the sample, with n - 1.
    """
    finest = max(claims, key=lambda std: without_zeros(std).decimals, default=None)
    if finest is None or len(scores) < 2:
        return None
    values, stated = [score.value for score in scores], without_zeros(finest)
    sample = computed(stdev(values), scores, "sample standard deviation")
    population = computed(pstdev(values), scores, "population standard deviation")
    is_sample, is_population = agree(stated, sample), agree(stated, population)
    if is_sample and not is_population:
        return None
    if is_sample:
        rule = "std_ambiguous_at_printed_precision"
        message = f"{stated.value} rounds both the sample and the population standard deviation"
    elif is_population:
        rule = "population_std"
        message = f"{stated.value} is the population standard deviation; the sample's is {sample.value:.8f}"
    elif abs(stated.value - sample.value) <= NEAR_SHARE * sample.value:
        return None
    else:
        rule = "wrong_std"
        message = f"{stated.value} is claimed as the standard deviation; the scores give {sample.value:.8f}"
    return problem("warn", rule, message, finest, sample, population, decimals=coarser_decimals(stated, sample))


def without_zeros(claim: Printed) -> Printed:
    """Return a deviation with the decimals before its trailing zeros: authors pad rounded deviations with zeros."""
    return replace(claim, decimals=min(claim.decimals, decimals_of(claim.value)))
