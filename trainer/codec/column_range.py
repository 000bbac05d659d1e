"""Column-adaptive range coding of integer matrices.

Codes clipped at k standard deviations are close to Gaussian, and a general-purpose compressor codes them no better than
a Huffman code of their histogram. But columns differ in width (the mean size of their codes): an input that the layer
hardly uses has small weights. Here columns are grouped into contexts by the width of their codes so far, and each
context has its own histogram. Encoder and decoder learn widths and histograms from the codes already coded, so nothing
but the codes is stored.

Contexts are computed with integers and histograms are counts, so every machine finds the same ones; constriction turns
counts into the intervals of a range coder.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import brotli
import constriction
import numpy as np
from numpy.typing import NDArray

from trainer.codec.compressor import Codes, Shape, Steps

Integers = NDArray[np.int64]
Symbols = NDArray[np.int32]
Exchange = Callable[[Symbols, "constriction.stream.model.Model"], Symbols]

# Before each matrix: its coding method, its largest code, and the number of bytes that follow.
PREFIX = struct.Struct("<BBI")
COLUMNS, CENTRED_COLUMNS, BROTLI_ROWS, BROTLI_COLUMNS = range(4)
# Rows are coded in blocks between which widths and histograms are updated. A block has an eighth of the rows before it,
# at least 1 and at most 32: the more rows are known, the less another one adds.
BLOCK_DIVISOR, MAX_ROWS = 8, 32
# Widths are means of |code| in units of 1/64, shrunk towards the mean of the matrix by a prior worth 6 rows.
WIDTH_UNIT, PRIOR_ROWS = 64, 6
# Every code starts with a count of 1 and gains 32 each time it is seen; counts are halved above this sum.
COUNT_STEP, MAX_COUNTS = 32, 1 << 22
# A new context starts from the histogram of the nearest context at most 2 away, weighted as 16 codes.
MAX_DISTANCE, INHERITED_CODES = 2, 16
# Brotli at quality 11 is slow: it is tried only if quality 5 comes within 3 % of the range coder.
FAST_QUALITY, MAX_FAST_RATIO = 5, 1.03


def width_limits() -> Integers:
    """Return the widths at which a new context begins; each is 1.2 times the one before."""
    limits = [WIDTH_UNIT // 2]
    while limits[-1] < WIDTH_UNIT * 256:
        limits.append(limits[-1] * 6 // 5)
    return np.array(limits)


class ColumnWidths:
    """Width and mean of the codes of each column, over the rows seen so far."""

    def __init__(self, columns: int, largest: int) -> None:
        self.rows = 0
        self.sizes_C = np.zeros(columns, np.int64)
        self.sums_C = np.zeros(columns, np.int64)
        self.limits = width_limits()
        self.expected = WIDTH_UNIT * largest // 16

    def contexts(self) -> Integers:
        """Return the context of each column. Shapes: (C,)."""
        prior = WIDTH_UNIT * int(self.sizes_C.sum()) // (self.rows * len(self.sizes_C)) if self.rows else self.expected
        width_C = (WIDTH_UNIT * self.sizes_C + PRIOR_ROWS * prior) // (self.rows + PRIOR_ROWS)
        return np.searchsorted(self.limits, width_C, side="right")

    def centres(self) -> Integers:
        """Return the mean code of each column, rounded half up. Shapes: (C,)."""
        return (2 * self.sums_C + self.rows) // (2 * self.rows) if self.rows else self.sums_C

    def learn(self, codes_RC: Integers, deviations_RC: Integers) -> None:
        self.rows += len(codes_RC)
        self.sizes_C += np.abs(deviations_RC).sum(0)
        self.sums_C += codes_RC.sum(0)


class Histograms:
    """Counts of codes by context."""

    def __init__(self, symbols: int) -> None:
        self.symbols = symbols
        self.counts: dict[int, Integers] = {}

    def counts_for(self, context: int) -> Integers:
        if context not in self.counts:
            near = [known for known in self.counts if abs(known - context) <= MAX_DISTANCE]
            if near:
                counts_S = self.counts[min(near, key=lambda known: (abs(known - context), known))]
                inherited_S = counts_S * (INHERITED_CODES * COUNT_STEP) // int(counts_S.sum())
                self.counts[context] = np.maximum(1, inherited_S)
            else:
                self.counts[context] = np.ones(self.symbols, np.int64)
        return self.counts[context]

    def learn(self, context: int, symbols: Symbols) -> None:
        counts_S = self.counts[context] + COUNT_STEP * np.bincount(symbols, minlength=self.symbols)
        self.counts[context] = (counts_S + 1) // 2 if counts_S.sum() > MAX_COUNTS else counts_S

    def copy(self) -> "Histograms":
        """Return a copy that can be updated independently."""
        copied = Histograms(self.symbols)
        copied.counts = dict(self.counts)
        return copied


class ColumnRangeCoder:
    """Coder of a sequence of matrices; matrices with the same method and largest code share histograms."""

    def encode(self, matrices: Sequence[Codes], steps: Sequence[Steps] = ()) -> bytes:
        """Encode each matrix with the method that takes the fewest bytes."""
        learned: dict[tuple[int, int], Histograms] = {}
        pieces = []
        for codes_RC in matrices:
            method, largest, payload = encode_matrix(codes_RC, learned)
            pieces += [PREFIX.pack(method, largest, len(payload)), payload]
        return b"".join(pieces)

    def decode(self, data: bytes, shapes: Sequence[Shape], steps: Sequence[Steps] = ()) -> list[Codes]:
        """Return the matrices.

        Raises:
            ValueError: the bytes do not decode to matrices of these shapes.
        """
        learned: dict[tuple[int, int], Histograms] = {}
        matrices: list[Codes] = []
        position = 0
        for shape in shapes:
            if position + PREFIX.size > len(data):
                raise ValueError("the codes are cut short")
            method, largest, length = PREFIX.unpack_from(data, position)
            position += PREFIX.size
            matrices.append(decode_matrix(data[position : position + length], method, largest, shape, learned))
            position += length
        if position != len(data):
            raise ValueError(f"{len(data) - position:,} bytes follow the last matrix")
        return matrices


def encode_matrix(
    codes_RC: Codes, learned: dict[tuple[int, int], Histograms]
) -> tuple[int, int, bytes]:  # fmt: skip
    """Return method, largest code and bytes of a matrix, and update the histograms in `learned`."""
    if not codes_RC.size:
        return COLUMNS, 1, b""
    largest = max(1, int(np.abs(codes_RC.astype(np.int64)).max(initial=0)))
    tried = {}
    for method in (COLUMNS, CENTRED_COLUMNS) if is_off_centre(codes_RC) else (COLUMNS,):
        histograms = histograms_for(learned, method, largest).copy()
        tried[method] = encode_range(codes_RC, method, largest, histograms), histograms
    method = min(tried, key=lambda method: len(tried[method][0]))
    payload, histograms = tried[method]
    for other, turned_RC in ((BROTLI_ROWS, codes_RC), (BROTLI_COLUMNS, codes_RC.T)):
        stream = turned_RC.tobytes()
        if len(brotli.compress(stream, quality=FAST_QUALITY, lgwin=24)) < MAX_FAST_RATIO * len(payload):
            compressed = bytes(brotli.compress(stream, quality=11, lgwin=24))
            if len(compressed) < len(payload):
                method, payload = other, compressed
    if method in tried:
        learned[method, largest] = histograms
    return method, largest, payload


def is_off_centre(codes_RC: Codes) -> bool:
    """Return whether the mean code of some column does not round to 0.

    This happens in embeddings, where the rows of rare tokens stay alike.
    """
    return bool(len(codes_RC) and (2 * np.abs(codes_RC.sum(0, dtype=np.int64)) >= len(codes_RC)).any())


def histograms_for(learned: dict[tuple[int, int], Histograms], method: int, largest: int) -> Histograms:
    """Return the histograms of a method and a largest code, creating them if needed."""
    reach = 2 * largest if method == CENTRED_COLUMNS else largest
    return learned.setdefault((method, largest), Histograms(2 * reach + 1))


def encode_range(codes_RC: Codes, method: int, largest: int, histograms: Histograms) -> bytes:
    """Return the matrix as bytes of the range coder."""
    encoder = constriction.stream.queue.RangeEncoder()

    def put(symbols: Symbols, model: "constriction.stream.model.Categorical") -> Symbols:
        encoder.encode(symbols, model)
        return symbols

    code_matrix(codes_RC.astype(np.int64), method, largest, histograms, put)
    return bytes(encoder.get_compressed().astype("<u4").tobytes())


def decode_matrix(
    payload: bytes, method: int, largest: int, shape: tuple[int, int], learned: dict[tuple[int, int], Histograms]
) -> Codes:
    """Return a matrix decoded from its bytes.

    Raises:
        ValueError: they are not what the method writes.
    """
    if 0 in shape:
        return np.zeros(shape, np.int8)
    if method in (BROTLI_ROWS, BROTLI_COLUMNS):
        return decode_brotli(payload, shape, method)
    if method > BROTLI_COLUMNS or not 1 <= largest <= 128 or len(payload) % 4:
        raise ValueError(f"invalid matrix header: method {method}, largest code {largest}, {len(payload)} bytes")
    codes_RC = np.zeros(shape, np.int64)
    code_matrix(codes_RC, method, largest, histograms_for(learned, method, largest), decoding(payload))
    return codes_RC.astype(np.int8)


def decoding(payload: bytes) -> Exchange:
    """Return the exchange that decodes symbols from bytes of the range coder, a multiple of 4.

    It raises ValueError for bytes that no encoder writes.
    """
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))

    def take(symbols: Symbols, model: "constriction.stream.model.Model") -> Symbols:
        try:
            found: Symbols = decoder.decode(model, len(symbols))
        except AssertionError as error:  # constriction's way to say so
            raise ValueError(str(error)) from error
        return found

    return take


def decode_brotli(payload: bytes, shape: tuple[int, int], method: int) -> NDArray[np.int8]:
    """Return a matrix that was coded with brotli."""
    from trainer.codec.brotli import BrotliCompressor

    stream = BrotliCompressor().decompress(payload, shape[0] * shape[1])
    if len(stream) != shape[0] * shape[1]:
        raise ValueError(f"{len(stream):,} codes, expected {shape[0] * shape[1]:,}")
    codes = np.frombuffer(stream, dtype=np.int8)
    return codes.reshape(shape) if method == BROTLI_ROWS else codes.reshape(shape[::-1]).T.copy()


def code_matrix(codes_RC: Integers, method: int, largest: int, histograms: Histograms, exchange: Exchange) -> None:
    """Pass all codes through `exchange`, which encodes them, or decodes them into `codes_RC`.

    Encoder and decoder share this loop, so they cannot disagree about contexts and histograms.
    """
    widths = ColumnWidths(codes_RC.shape[1], largest)
    reach = (histograms.symbols - 1) // 2
    for rows in row_blocks(len(codes_RC)):
        centre_C = widths.centres() if method == CENTRED_COLUMNS else np.zeros(codes_RC.shape[1], np.int64)
        context_C = widths.contexts()
        order_C = np.argsort(context_C, kind="stable")
        deviations_CR = (codes_RC[rows] - centre_C)[:, order_C].T.copy()
        for context, columns in equal_runs(context_C[order_C]):
            part_CR = deviations_CR[columns]
            counts_S = histograms.counts_for(context).astype(np.float64)
            model = constriction.stream.model.Categorical(counts_S, perfect=False)
            symbols = exchange((part_CR.ravel() + reach).astype(np.int32), model)
            histograms.learn(context, symbols)
            deviations_CR[columns] = symbols.reshape(part_CR.shape) - reach
        deviations_RC = np.empty_like(deviations_CR.T)
        deviations_RC[:, order_C] = deviations_CR.T
        codes_RC[rows] = deviations_RC + centre_C
        widths.learn(codes_RC[rows], deviations_RC)


def row_blocks(rows: int) -> Iterator[slice]:
    """Yield blocks of rows that are coded with the same widths."""
    start = 0
    while start < rows:
        stop = min(rows, start + max(1, min(MAX_ROWS, start // BLOCK_DIVISOR)))
        yield slice(start, stop)
        start = stop


def equal_runs(sorted_C: Integers) -> Iterator[tuple[int, slice]]:
    """Yield each distinct value of a sorted array with the slice that holds it."""
    edges = [0, *(np.flatnonzero(np.diff(sorted_C)) + 1).tolist(), len(sorted_C)]
    for start, stop in pairwise(edges):
        yield int(sorted_C[start]), slice(start, stop)
