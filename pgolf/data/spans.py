"""Finds spans of 64 tokens, and whole documents shorter than that, in a token stream.

A hash is a polynomial, modulo 2^64, in random values of the tokens; prefix sums give the hashes of all spans of a
stream at once.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pgolf.data.manifests import ShardEntry
from pgolf.data.shards import read_shard
from pgolf.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tokens = NDArray[np.uint16]
    Hashes = NDArray[np.uint64]
    Positions = NDArray[np.int64]

SPAN_TOKENS = 64
CHUNK_TOKENS = 1 << 22
MULTIPLIER, VALUES_SEED = 0x9E3779B97F4A7C15, 64
FILTER_BITS = 24


def stream_chunks(folder: Path, shards: list[ShardEntry], begin: int) -> Iterator[tuple[int, "Tokens"]]:
    """Yield the token stream in chunks, each with its position. A BOS is added to the end of the stream.

    A chunk begins with the last SPAN_TOKENS tokens of the one before, so that every span, and every shorter document
    with the BOS on both sides of it, is whole in a chunk.
    """
    import numpy as np

    start, rest = 0, np.empty(0, dtype=np.uint16)
    for tokens in chain((read_shard(folder / entry.file) for entry in shards), [np.array([begin], dtype=np.uint16)]):
        for offset in range(0, len(tokens), CHUNK_TOKENS):
            chunk = np.concatenate((rest, tokens[offset : offset + CHUNK_TOKENS]))
            yield start, chunk
            rest = chunk[max(0, len(chunk) - SPAN_TOKENS) :]
            start += len(chunk) - len(rest)


def find_in_stream(
    chunks: Iterator[tuple[int, "Tokens"]], hasher: "SpanHasher", wanted: "WantedHashes"
) -> Iterator[tuple["Positions", "Hashes"]]:
    """Yield positions in the stream of wanted spans and short documents, with their hashes; some of them twice.

    Raises:
        DataError: the tokenizer lacks a token.
    """
    for start, chunk in chunks:
        for positions, hashes in hasher.hash_chunk(chunk):
            hits = wanted.find(hashes)
            yield start + positions[hits], hashes[hits]


class WantedHashes:
    """A set of hashes to look for."""

    def __init__(self, hashes: "Hashes") -> None:
        import numpy as np

        self.hashes = hashes
        self.low_bits = np.uint64((1 << FILTER_BITS) - 1)
        self.may_match = np.zeros(1 << FILTER_BITS, dtype=bool)
        self.may_match[hashes & self.low_bits] = True

    def find(self, hashes: "Hashes") -> "Positions":
        """Return the indices of those hashes that are wanted."""
        import numpy as np

        candidates = np.flatnonzero(self.may_match[hashes & self.low_bits])
        return candidates[np.isin(hashes[candidates], self.hashes)]


class SpanHasher:
    """Hashes spans of tokens, and whole documents that are shorter than a span."""

    def __init__(self, vocabulary_size: int, begin: int) -> None:
        import numpy as np

        self.begin = begin
        self.values = np.random.default_rng(VALUES_SEED).integers(1 << 64, size=vocabulary_size, dtype=np.uint64)
        length = CHUNK_TOKENS + SPAN_TOKENS
        self.powers = np.cumprod(np.full(length, MULTIPLIER, dtype=np.uint64))
        inverse = pow(MULTIPLIER, -1, 1 << 64)  # exists because the multiplier is odd
        self.inverses = np.cumprod(np.full(length, inverse, dtype=np.uint64))

    def values_of(self, tokens: "Tokens") -> "Hashes":
        """Return the random value of each token.

        Raises:
            DataError: the tokenizer lacks a token.
        """
        if len(tokens) and int(tokens.max()) >= len(self.values):
            raise DataError(f"token {tokens.max()} is not one of the tokenizer's {len(self.values):,} pieces")
        return self.values[tokens]

    def hash_document(self, document: "Tokens") -> "Hashes":
        """Return the hashes of a document's spans, side by side; of the whole document if it is shorter than one.

        Shapes: (n,) -> (n // 64,), or (1,) for a shorter document, or (0,) for an empty one.
        """
        width = min(SPAN_TOKENS, len(document)) or 1
        values = self.values_of(document)[: len(document) // width * width].reshape(-1, width)
        hashes: Hashes = (values * self.inverses[:width]).sum(axis=1) * self.powers[0]
        return hashes

    def hash_chunk(self, chunk: "Tokens") -> Iterator[tuple["Positions", "Hashes"]]:
        """Yield position and hash of each span of a chunk, then of each short document with a BOS on both sides."""
        import numpy as np

        weighted = self.values_of(chunk) * self.inverses[: len(chunk)]
        sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(weighted)))
        spans = sums[SPAN_TOKENS:] - sums[:-SPAN_TOKENS]
        yield np.arange(len(spans)), spans * self.powers[: len(spans)]
        marks = np.flatnonzero(chunk == self.begin)
        first, end = marks[:-1] + 1, marks[1:]
        is_short = (first < end) & (end - first < SPAN_TOKENS)
        first, end = first[is_short], end[is_short]
        yield first, (sums[end] - sums[first]) * self.powers[first]
