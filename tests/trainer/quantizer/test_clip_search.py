"""The search for the clips that give an artifact a number of bytes."""

from collections.abc import Callable
from math import log2

import pytest

from tests.trainer.small import small_recipe
from trainer.quantizer.repacking import MAX_ATTEMPTS, scale_clips, search_times
from trainer.recipe.quantizer import DeviationClip, Rtn


def searched(
    wanted: int, size_at: Callable[[float], int], least: float = 1 / 64, most: float = 64.0
) -> tuple[float, dict[float, int]]:
    """Return the best factor and the bytes of all that were tried."""
    tried = search_times(size_at, size_at(1.0), wanted, 1_000_000, least, most)
    assert all(least <= times <= most for times in tried)
    assert all(size == size_at(times) for times, size in tried.items())
    return list(tried)[-1], tried


def size_of(times: float, bent: float = 0.0, rough: int = 0) -> int:
    """Bytes of a million weights of three bits, which lose one at each doubling of the step, or less."""
    bits = 3.0 - log2(times) + bent * log2(times) ** 2
    return round(125_000 * max(bits, 0.2)) + (hash(round(times * 1e6)) % (rough + 1) if rough else 0)


@pytest.mark.parametrize("wanted", [150_000, 374_000, 375_000, 376_000, 500_000, 700_000])
@pytest.mark.parametrize(("bent", "rough"), [(0.0, 0), (0.08, 0), (0.08, 150)])
def test_the_best_clips_leave_at_most_the_slack_unused(wanted: int, bent: float, rough: int) -> None:
    best, tried = searched(wanted, lambda times: size_of(times, bent, rough))
    assert wanted - min(2000, wanted // 100) < tried[best] <= wanted
    assert len(tried) <= MAX_ATTEMPTS


def test_a_size_out_of_reach_ends_at_the_closest() -> None:
    assert searched(10_000, size_of, most=2.0)[0] == 2.0
    assert searched(10_000_000, size_of, least=0.5)[0] == 0.5


def test_all_clips_are_scaled_by_one_factor() -> None:
    quantizer = small_recipe().quantizer
    assert isinstance(quantizer, Rtn)
    scaled = scale_clips(quantizer, 1.5)
    assert isinstance(scaled.clip, DeviationClip)
    assert isinstance(quantizer.clip, DeviationClip)
    assert scaled.clip.k == {name: 1.5 * k for name, k in quantizer.clip.k.items()}
