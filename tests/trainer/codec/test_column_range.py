"""ColumnRangeCoder returns the same matrices, and takes fewer bytes than the entropy of one histogram."""

import brotli
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from trainer.codec.column_range import ColumnRangeCoder, ColumnWidths, width_limits

CODER = ColumnRangeCoder()
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def gaussian(shape: tuple[int, int], spread: float, seed: int = 0, clip: float = 12.85) -> NDArray[np.int8]:
    """Return six-bit codes with log-normal column widths and a fixed mean square."""
    rng = np.random.default_rng(seed)
    width_C = np.exp(rng.normal(0, spread, shape[1]))
    weights = rng.standard_normal(shape) * width_C / np.sqrt((width_C**2).mean())
    codes: NDArray[np.int8] = np.clip(np.rint(weights * 31 / clip), -31, 31).astype(np.int8)
    return codes


def entropy_bytes(codes: NDArray[np.int8]) -> float:
    """Return the bytes of an ideal code of the histogram."""
    counts = np.unique(codes, return_counts=True)[1]
    return float(-(counts * np.log2(counts / codes.size)).sum() / 8)


@settings(max_examples=60, deadline=None)
@given(st.lists(SHAPES.flatmap(lambda s: arrays(np.int8, s, elements=st.integers(-128, 127))), min_size=1, max_size=4))
def test_matrices_survive_a_round_trip(matrices: list[NDArray[np.int8]]) -> None:
    back = CODER.decode(CODER.encode(matrices), [matrix.shape for matrix in matrices])
    assert len(back) == len(matrices)
    assert all(np.array_equal(one, other) and one.dtype == np.int8 for one, other in zip(matrices, back, strict=True))


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_matrices_that_share_histograms_come_back_in_order(spread: float) -> None:
    matrices = [gaussian(shape, spread, seed) for seed, shape in enumerate([(96, 40), (40, 96), (300, 64), (1, 5)])]
    back = CODER.decode(CODER.encode(matrices), [matrix.shape for matrix in matrices])
    assert all(map(np.array_equal, matrices, back))


def test_columns_of_equal_width_cost_at_most_0_4_percent_over_the_entropy() -> None:
    codes = gaussian((1024, 512), 0.0)
    assert len(CODER.encode([codes])) < 1.004 * entropy_bytes(codes)


def test_columns_of_unequal_width_cost_little_more_than_a_histogram_per_column() -> None:
    codes = gaussian((1024, 512), 0.5)
    by_column = sum(entropy_bytes(codes[:, column]) for column in range(512))
    size = len(CODER.encode([codes]))
    assert by_column < size < 1.02 * by_column
    assert size < 0.96 * entropy_bytes(codes)
    assert size < 0.95 * len(brotli.compress(codes.tobytes(), quality=11, lgwin=24))


def test_a_column_that_stays_off_centre_is_coded_about_its_mean() -> None:
    rng = np.random.default_rng(1)
    codes = (rng.integers(-60, 60, 256) + np.rint(rng.normal(0, 2.0, (512, 256)))).astype(np.int8)
    known_means = entropy_bytes((codes - np.rint(codes.mean(0))).astype(np.int8))
    assert len(CODER.encode([codes])) < 1.05 * known_means < 0.7 * entropy_bytes(codes)


def test_repeated_rows_are_left_to_brotli() -> None:
    codes = np.tile(gaussian((4, 256), 0.0), (64, 1))
    assert len(CODER.encode([codes])) < 0.1 * entropy_bytes(codes)


def test_column_contexts_equal_a_calculation_by_hand() -> None:
    widths = ColumnWidths(2, largest=31)
    assert widths.contexts().tolist() == [np.searchsorted(width_limits(), 64 * 31 // 16, side="right")] * 2
    widths.learn(np.array([[3, -1], [-5, 1]]), np.array([[3, -1], [-5, 1]]))
    prior = 64 * 10 // 4
    by_hand = [(64 * 8 + 6 * prior) // 8, (64 * 2 + 6 * prior) // 8]
    assert widths.contexts().tolist() == np.searchsorted(width_limits(), by_hand, side="right").tolist()
    assert widths.centres().tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda data: data[:3], "cut short"),
        (lambda data: data + b"x", "1 bytes follow"),
        (lambda data: bytes([9]) + data[1:], "method 9"),
        (lambda data: bytes([0, 0]) + data[2:], "largest code 0"),
        (lambda data: bytes([2]) + data[1:], "cut short|corrupt|decoder|holds more"),
    ],
)
def test_invalid_bytes_are_refused(damage: object, complaint: str) -> None:
    codes = gaussian((20, 30), 0.2)
    with pytest.raises(ValueError, match=complaint):
        CODER.decode(damage(CODER.encode([codes])), [codes.shape])  # type: ignore[operator]
