"""Range coding of integer matrices whose rows and columns both differ in width.

Steps that follow the sensitivity of each row leave rows whose codes are wide beside rows whose codes are narrow, and
fine steps make codes of a thousand. So the width of a code is predicted as the width of its row, which is written
before the codes, times a factor of its column, which is learned from the rows above. Each width has its own histogram,
shared by all matrices. It starts as a bell of that width, so that little is lost until it is learned. Of wide codes,
the histogram covers the high bits only: the low ones are uniform and written as they are.

All of it is integer arithmetic, so every machine finds the same histograms; constriction turns them into the intervals
of a range coder.
"""

from collections.abc import Iterator, Sequence

import constriction
import numpy as np

from trainer.codec.column_range import (
    COUNT_STEP,
    MAX_COUNTS,
    PRIOR_ROWS,
    WIDTH_UNIT,
    Exchange,
    Integers,
    Symbols,
    decoding,
    row_blocks,
)
from trainer.codec.compressor import Codes, Shape, Steps
from trainer.quantizer.trellis import chains_of, next_states, state_classes

# Factors of columns are in units of 1/4096.
FACTOR_BITS = 12
# A histogram covers 6 widths and 6 codes more on either side; its ends stand for all codes beyond.
REACH_WIDTHS, REACH_CODES = 6, 6
# Widths from 16 on are halved, and a low bit split off, until they are below.
WHOLE_WIDTH = 16
# The bell is (s^2 + x^2)^-4 with s = 3.1 widths, and weighs as much as 24 codes.
BELL_POWER, BELL_SCALE, BELL_CODES = 4, 31, 24
# A code beyond a histogram has at most 15 further bits: codes are int16.
FURTHER_BITS = 15
LARGEST_INT16 = 32_767
# Means of columns are subtracted if their squares sum to 4 times what codes around 0 give by chance.
CHANCE_MEANS = 4


def histogram_widths() -> Integers:
    """Return the widths that have a histogram, each 1.2 times the one before, from 5/64 up. The first is 0."""
    limits = [0, 5]
    while limits[-1] < WIDTH_UNIT * LARGEST_INT16:
        limits.append(limits[-1] * 6 // 5)
    return np.array(limits)


WIDTHS = histogram_widths()
# The number of the histogram of each width: faster than a search in WIDTHS for each code.
NUMBERS = np.repeat(np.arange(len(WIDTHS) - 1, dtype=np.uint8), np.diff(WIDTHS))


def low_bits_of(width: int) -> int:
    """Return how many low bits of the codes of a width no histogram covers."""
    return max(0, (width // (WHOLE_WIDTH * WIDTH_UNIT)).bit_length())


def reach_of(width: int) -> int:
    """Return the largest number that a histogram of the high bits of codes of a width covers."""
    return REACH_WIDTHS * high_width(width) // WIDTH_UNIT + REACH_CODES


def high_width(width: int) -> int:
    """Return the width of the high bits of codes of a width."""
    return max(1, width >> low_bits_of(width))


def bell_counts(width: int, reach: int) -> Integers:
    """Return the counts that a histogram starts with. Shapes: (2 reach + 1,)."""
    scale = max(1, (BELL_SCALE * width // 10) ** 2)
    heights = [scale**BELL_POWER * 4096 // (scale + (WIDTH_UNIT * x) ** 2) ** BELL_POWER for x in range(reach + 1)]
    total = heights[0] + 2 * sum(heights[1:])
    half_S = [max(1, COUNT_STEP * BELL_CODES * height // total) for height in heights]
    return np.array(half_S[:0:-1] + half_S)


class ColumnFactors:
    """How much wider each column is than its rows, and its mean, over the rows seen so far."""

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self.sizes_C = np.zeros(columns, np.int64)
        self.sums_C = np.zeros(columns, np.int64)

    def contexts(self, width_R: Integers) -> Integers:
        """Return the number of the width of each code. Shapes: (R,) -> (R, C)."""
        factor_C = (self.sizes_C + (PRIOR_ROWS << FACTOR_BITS)) // (self.rows + PRIOR_ROWS)
        found_RC = NUMBERS.take((width_R[:, None] * factor_C) >> FACTOR_BITS, mode="clip")
        return np.maximum(found_RC, 1).astype(np.int64)

    def centres(self, width_R: Integers) -> Integers:
        """Return the mean code of each column, for rows of some widths. Shapes: (R,) -> (R, C)."""
        unit = max(1, self.rows) * WIDTH_UNIT << FACTOR_BITS
        means_RC = (2 * self.sums_C * width_R[:, None] + unit) // (2 * unit)
        return means_RC.clip(-LARGEST_INT16, LARGEST_INT16)

    def learn(self, codes_RC: Integers, deviations_RC: Integers, width_R: Integers, is_centred: bool) -> None:
        is_written_R = width_R > 0
        worth_R = np.where(is_written_R, (WIDTH_UNIT << 2 * FACTOR_BITS) // np.maximum(width_R, 1), 0)
        self.rows += int(is_written_R.sum())
        self.sizes_C += (worth_R @ np.abs(deviations_RC)) >> FACTOR_BITS
        if is_centred:
            self.sums_C += (worth_R @ codes_RC) >> FACTOR_BITS


class WidthModel:
    """Histograms of the widths of rows, and of the high bits of codes in each context.

    A context is twice the number of a width, plus the class of a trellis. Histograms lie one after the other in one
    array, so that all codes of a block are counted in one pass.
    """

    def __init__(self) -> None:
        widths = np.repeat(WIDTHS, 2).tolist()
        self.low_bits_K = np.array([low_bits_of(width) for width in widths])
        self.reach_K = np.array([reach_of(width) for width in widths])
        self.start_K = np.concatenate([[0], np.cumsum(2 * self.reach_K + 1)])
        self.counts_S = np.concatenate([bell_counts(high_width(width), reach_of(width)) for width in widths])
        self.widths_S = np.ones(len(WIDTHS), np.int64)

    def counts(self, context: int) -> Integers:
        """Return the histogram of a context."""
        return self.counts_S[self.start_K[context] : self.start_K[context + 1]]

    def learn(self, places_N: Integers) -> None:
        """Count symbols, given as places in the array of all histograms."""
        self.counts_S += COUNT_STEP * np.bincount(places_N, minlength=len(self.counts_S))
        for context in np.flatnonzero(np.add.reduceat(self.counts_S, self.start_K[:-1]) > MAX_COUNTS).tolist():
            counts_S = self.counts(context)
            counts_S[:] = (counts_S + 1) // 2


class TrellisClasses:
    """The class of each code of a matrix whose codes follow a trellis, known once the rows above are."""

    def __init__(self, shape: tuple[int, ...], states: int, steps_R: Steps) -> None:
        self.rows, self.chains, self.is_plain_R = shape[0], chains_of(shape[0]), ~(steps_R > 0)
        self.table_S2, self.classes_S = next_states(states).numpy(), state_classes(states).numpy()
        self.state_NC = np.zeros((self.chains, shape[1]), np.int64)

    def row_blocks(self) -> Iterator[slice]:
        """Yield blocks of one row of each chain."""
        for start in range(0, self.rows, self.chains):
            yield slice(start, min(self.rows, start + self.chains))

    def of_rows(self, rows: slice) -> Integers:
        """Return the classes of the next rows. Shapes: (R, C)."""
        states_NC = self.state_NC[: rows.stop - rows.start]
        return np.where(self.is_plain_R[rows, None], 0, self.classes_S[states_NC])

    def learn(self, rows: slice, codes_RC: Integers) -> None:
        states_NC = self.state_NC[: rows.stop - rows.start]
        states_NC[:] = np.where(self.is_plain_R[rows, None], states_NC, self.table_S2[states_NC, codes_RC & 1])


class WidthRangeCoder:
    """Coder of a sequence of matrices as one stream."""

    def __init__(self, states: int = 0) -> None:
        """Codes follow a trellis with some states, or none; then each class has its own histograms."""
        self.states = states

    def encode(self, matrices: Sequence[Codes], steps: Sequence[Steps] = ()) -> bytes:
        encoder = constriction.stream.queue.RangeEncoder()

        def put(symbols: Symbols, model: "constriction.stream.model.Model") -> Symbols:
            encoder.encode(symbols, model)
            return symbols

        model = WidthModel()
        for number, codes_RC in enumerate(matrices):
            classes = TrellisClasses(codes_RC.shape, self.states, steps[number]) if self.states else None
            code_rows(codes_RC.astype(np.int64), model, put, row_widths(codes_RC), classes)
        return bytes(encoder.get_compressed().astype("<u4").tobytes())

    def decode(self, data: bytes, shapes: Sequence[Shape], steps: Sequence[Steps] = ()) -> list[Codes]:
        """Return the matrices.

        Raises:
            ValueError: the bytes do not decode to matrices of these shapes.
        """
        if len(data) % 4:
            raise ValueError(f"the codes have {len(data):,} bytes, expected a multiple of 4")
        model, matrices, take = WidthModel(), list[Codes](), decoding(data)
        for number, shape in enumerate(shapes):
            codes_RC = np.zeros(shape, np.int64)
            classes = TrellisClasses(shape, self.states, steps[number]) if self.states else None
            code_rows(codes_RC, model, take, np.zeros(shape[0], np.int64), classes)
            matrices.append(codes_RC.astype(np.int16))
        return matrices


def row_widths(codes_RC: Codes) -> Integers:
    """Return the number of the width of each row; 0 for a row of zeros. Shapes: (R, C) -> (R,)."""
    sums_R = np.abs(codes_RC.astype(np.int64)).sum(1)
    found_R = np.searchsorted(WIDTHS, WIDTH_UNIT * sums_R // max(1, codes_RC.shape[1]), side="right") - 1
    return np.where(sums_R == 0, 0, np.maximum(found_R, 1))


def code_rows(
    codes_RC: Integers, model: WidthModel, exchange: Exchange, number_R: Integers, classes: TrellisClasses | None
) -> None:
    """Pass all codes through `exchange`, which encodes them, or decodes them into `codes_RC`.

    Encoder and decoder share this loop, so they cannot disagree about widths and histograms.

    Raises:
        ValueError: a decoded code is beyond int16.
    """
    if not codes_RC.size:
        return
    factors = ColumnFactors(codes_RC.shape[1])
    has_means = bool(number_R.any()) and has_column_means(codes_RC, WIDTHS[number_R])
    is_centred = bool(exchange(np.array([has_means], np.int32), uniform(2))[0])
    for rows in row_blocks(len(codes_RC)) if classes is None else classes.row_blocks():
        widths = exchange(number_R[rows].astype(np.int32), categorical(model.widths_S))
        model.widths_S = model.widths_S + COUNT_STEP * np.bincount(widths, minlength=len(WIDTHS))
        width_R, is_written_R1 = WIDTHS[widths], (widths > 0)[:, None]
        context_RC = 2 * factors.contexts(width_R)
        if classes is not None:
            context_RC += classes.of_rows(rows)
        centre_RC = factors.centres(width_R) if is_centred else np.zeros((1, 1), np.int64)
        deviations_RC = (codes_RC[rows] - centre_RC) * is_written_R1
        code_block(deviations_RC, context_RC * is_written_R1, model, exchange)
        codes_RC[rows] = (deviations_RC + centre_RC) * is_written_R1
        if np.abs(codes_RC[rows]).max() > LARGEST_INT16:
            raise ValueError(f"a code is beyond {LARGEST_INT16:,}")
        if classes is not None:
            classes.learn(rows, codes_RC[rows])
        factors.learn(codes_RC[rows], deviations_RC, width_R, is_centred)


def code_block(deviations_RC: Integers, context_RC: Integers, model: WidthModel, exchange: Exchange) -> None:
    """Pass the codes of some rows through `exchange`, context by context; a context of 0 has no codes."""
    order_N = np.argsort(context_RC.astype(np.uint8), axis=None, kind="stable")  # a radix sort
    sizes_K = np.bincount(context_RC.ravel(), minlength=len(model.reach_K))
    ends_K = np.cumsum(sizes_K)
    parts = {k: slice(int(ends_K[k] - sizes_K[k]), int(ends_K[k])) for k in np.flatnonzero(sizes_K).tolist() if k}
    reach_N, bits_N = np.repeat(model.reach_K, sizes_K), np.repeat(model.low_bits_K, sizes_K)
    sorted_N = deviations_RC.ravel()[order_N]
    high_N = sorted_N >> bits_N
    symbols_N = (np.minimum(np.maximum(high_N, -reach_N), reach_N) + reach_N).astype(np.int32)
    for context, part in parts.items():
        symbols_N[part] = exchange(symbols_N[part], categorical(model.counts(context)))
    model.learn(symbols_N + np.repeat(model.start_K[:-1], sizes_K))
    found_N = symbols_N - reach_N
    is_beyond_N = np.abs(found_N) == reach_N
    if is_beyond_N.any():
        beyond_N = exchange_whole(np.abs(high_N[is_beyond_N]) - reach_N[is_beyond_N], exchange)
        found_N[is_beyond_N] += np.sign(found_N[is_beyond_N]) * beyond_N
    found_N <<= bits_N
    for context, part in parts.items():
        if bits := int(model.low_bits_K[context]):
            low_N = (sorted_N[part] & ((1 << bits) - 1)).astype(np.int32)
            found_N[part] |= exchange(low_N, uniform(1 << bits))
    deviations_RC.ravel()[order_N] = found_N


def exchange_whole(values_N: Integers, exchange: Exchange) -> Integers:
    """Pass whole numbers through `exchange` as the number of their bits and those bits, and return them."""
    lengths_N = exchange(np.array([int(v).bit_length() for v in values_N], np.int32), uniform(FURTHER_BITS + 2))
    for position, length in enumerate(lengths_N.tolist()):
        value = values_N[position : position + 1].astype(np.int32)
        values_N[position] = int(exchange(value, uniform(1 << length))[0]) if length else 0
    return values_N


def has_column_means(codes_RC: Integers, width_R: Integers) -> bool:
    """Return whether the columns have means beyond what chance gives, as in embeddings of rare tokens."""
    scaled_RC = codes_RC / np.maximum(width_R, 1)[:, None]
    return bool((scaled_RC.sum(0) ** 2).sum() > CHANCE_MEANS * (scaled_RC**2).sum())


def categorical(counts_S: Integers) -> "constriction.stream.model.Categorical":
    return constriction.stream.model.Categorical(counts_S.astype(np.float64), perfect=False)


def uniform(size: int) -> "constriction.stream.model.Uniform":
    return constriction.stream.model.Uniform(size)
