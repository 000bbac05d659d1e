"""WidthRangeCoder returns the same matrices, in little more than the entropy of rows and columns of all widths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import ndtr

from trainer.codec.column_range import ColumnRangeCoder
from trainer.codec.width_range import LARGEST_INT16, WIDTHS, WidthModel, WidthRangeCoder

CODER = WidthRangeCoder()
Matrix = NDArray[np.int16]
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
ELEMENTS = st.one_of(st.integers(-3, 3), st.integers(-32_767, 32_767))


def rounded_gaussian(row_R: NDArray[np.float64], column_C: NDArray[np.float64], seed: int = 0) -> tuple[Matrix, float]:
    """Return codes whose deviations are products of row and column, and the bytes of an ideal coder that knows them."""
    deviation_RC = row_R[:, None] * column_C
    codes_RC = np.rint(np.random.default_rng(seed).standard_normal(deviation_RC.shape) * deviation_RC)
    shares_RC = ndtr((codes_RC + 0.5) / deviation_RC) - ndtr((codes_RC - 0.5) / deviation_RC)
    return codes_RC.astype(np.int16), float(-np.log2(shares_RC).sum() / 8)


def log_normal(spread: float, count: int, seed: int, mean: float = 1.0) -> NDArray[np.float64]:
    return mean * np.exp(np.random.default_rng(seed).normal(0, spread, count))


def round_trip(matrices: list[Matrix]) -> list[Matrix]:
    found: list[Matrix] = CODER.decode(CODER.encode(matrices), [matrix.shape for matrix in matrices])
    return found


@settings(max_examples=80, deadline=None)
@given(st.lists(SHAPES.flatmap(lambda s: arrays(np.int16, s, elements=ELEMENTS)), min_size=1, max_size=4))
def test_matrices_survive_a_round_trip(matrices: list[Matrix]) -> None:
    back = round_trip(matrices)
    assert len(back) == len(matrices)
    assert all(
        np.array_equal(one, other) and other.dtype == np.int16 for one, other in zip(matrices, back, strict=True)
    )


def test_matrices_without_rows_or_columns_survive_a_round_trip() -> None:
    shapes = [(0, 5), (5, 0), (1, 1)]
    back = round_trip([np.zeros(shape, np.int16) for shape in shapes])
    assert [matrix.shape for matrix in back] == shapes


@pytest.mark.parametrize(
    ("rows", "columns", "mean", "most"), [(0.0, 0.0, 2.4, 1.006), (0.7, 0.4, 3.0, 1.012), (1.5, 0.4, 40.0, 1.01)]
)
def test_codes_cost_little_more_than_their_entropy(rows: float, columns: float, mean: float, most: float) -> None:
    codes, ideal = rounded_gaussian(log_normal(rows, 1024, 1, mean), log_normal(columns, 512, 2))
    size = len(CODER.encode([codes]))
    assert 0.998 * ideal < size < most * ideal
    assert np.array_equal(round_trip([codes])[0], codes)


def test_rows_of_unequal_width_cost_less_than_with_contexts_of_columns_alone() -> None:
    codes, _ = rounded_gaussian(log_normal(0.7, 512, 1, 3.0), log_normal(0.3, 256, 2))
    codes = codes.clip(-127, 127)
    assert len(CODER.encode([codes])) < 0.95 * len(ColumnRangeCoder().encode([codes.astype(np.int8)]))


def test_means_of_columns_are_not_paid_for_in_every_row() -> None:
    codes, _ = rounded_gaussian(np.full(800, 2.0), np.ones(64))
    shifted = (codes + np.random.default_rng(3).integers(-9, 10, 64)).astype(np.int16)
    assert len(CODER.encode([shifted])) < 1.03 * len(CODER.encode([codes]))
    assert np.array_equal(round_trip([shifted])[0], shifted)


def test_a_row_of_zeros_costs_less_than_a_byte() -> None:
    sparse = np.zeros((4096, 256), np.int16)
    sparse[7, 3] = 1
    assert len(CODER.encode([sparse])) < 400


def test_every_width_up_to_the_largest_code_has_a_histogram_that_reaches_it() -> None:
    assert WIDTHS[-1] >= 64 * 32_767
    model = WidthModel()
    for context, width in enumerate(WIDTHS.repeat(2)):
        counts_S, reach = model.counts(context), int(model.reach_K[context])
        assert counts_S.min() >= 1
        assert len(counts_S) == 2 * reach + 1 <= 210
        assert reach << model.low_bits_K[context] >= 5 * width // 64


def test_a_column_and_a_row_of_the_largest_codes_survive_a_round_trip() -> None:
    """The mean of such a column, in widths of such a row, is far beyond int16."""
    codes = np.zeros((64, 20_000), np.int16)
    codes[:, 0] = codes[-1] = LARGEST_INT16
    assert np.array_equal(round_trip([codes])[0], codes)


def test_codes_that_no_encoder_writes_are_refused() -> None:
    crafted = (
        "7f505e8351c1dcf76c069e941cec5a32dc0dce701565f0836e6b3cb9172c9bb20142157d709b415b458a87c0f7d00613197f53ca82ce8711"
        "00000000"
    )
    with pytest.raises(ValueError, match="a code is beyond 32,767"):
        CODER.decode(bytes.fromhex(crafted), [(18, 1)])


def test_damaged_codes_are_refused_or_differ() -> None:
    """The container's checksums find what differs; here nothing may fail in another way."""
    codes, _ = rounded_gaussian(log_normal(0.7, 64, 1, 30.0), log_normal(0.4, 48, 2))
    data, generator = CODER.encode([codes]), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data)
        damaged[generator.integers(len(data))] ^= 1 << generator.integers(8)
        try:
            CODER.decode(bytes(damaged), [codes.shape])
        except ValueError:
            continue
    with pytest.raises(ValueError, match="expected a multiple of 4"):
        CODER.decode(data[:-1], [codes.shape])
