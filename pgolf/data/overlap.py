"""Measures how much validation text is in the training text, by spans of 64 tokens.

Whole documents that are in both splits are easy to find, but a leaky export cuts and joins them differently. So each
validation document is cut into spans, and each span is looked up among those that begin at any position of the training
stream. A span's hash is a polynomial, modulo 2^64, in random values of its tokens; prefix sums give the hashes of all
positions at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pgolf.data.manifests import Manifest, ShardEntry
from pgolf.data.shards import read_shard, split_documents
from pgolf.findings import Finding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tokens = NDArray[np.uint16]
    Hashes = NDArray[np.uint64]

SPAN_TOKENS = 64
CHUNK_TOKENS = 1 << 22
# Share of a document's spans from which it counts as overlapping; web texts share boilerplate, which is no leak.
SHARE_OF_A_DOCUMENT = 0.5
# Large corpora contain a few duplicates; the known leaky export has 80 % of its validation documents in training.
TOLERATED_SHARE_OF_DOCUMENTS = 0.01
MULTIPLIER, VALUES_SEED = 0x9E3779B97F4A7C15, 64
FILTER_BITS = 24


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of the validation text is in the training text."""

    documents: int
    """Number of validation documents of at least one span."""
    overlapping: int
    """Number of those of which at least half is in the training text."""
    spans: int
    """Number of spans of the validation text."""
    found: int
    """Number of those that are in the training text."""

    def finding(self) -> Finding:
        """Return the check's result."""
        message = (
            f"{self.overlapping:,} of {self.documents:,} validation documents are in the training text "
            f"({self.found:,} of {self.spans:,} spans of {SPAN_TOKENS} tokens)"
        )
        if not self.overlapping:
            return Finding("pass", "overlap", message)
        is_leak = self.overlapping > TOLERATED_SHARE_OF_DOCUMENTS * self.documents
        fix = "remove these documents from one of the splits and prepare the shards again; scores on them are not valid"
        return Finding("fail" if is_leak else "warn", "overlap", message, fix)


def measure_overlap(folder: Path, manifest: Manifest, begin: int) -> Overlap:
    """Measure the overlap in a folder of shards whose documents begin with the token `begin`."""
    import numpy as np

    hasher = SpanHasher(manifest.tokenizer.vocabulary_size)
    validation = np.concatenate([read_shard(folder / entry.file) for entry in manifest.validation.shards])
    long_enough = (part for part in split_documents(validation, begin) if len(part) >= SPAN_TOKENS)
    hashes = [hasher.all_positions(document)[::SPAN_TOKENS] for document in long_enough]
    if not hashes:
        return Overlap(0, 0, 0, 0)
    spans = np.concatenate(hashes)
    is_found = np.isin(spans, matching_hashes(stream_chunks(folder, manifest.train.shards), hasher, spans))
    owners = np.repeat(np.arange(len(hashes)), [len(part) for part in hashes])
    shares = np.bincount(owners, weights=is_found) / np.bincount(owners)
    overlapping = int((shares >= SHARE_OF_A_DOCUMENT).sum())
    return Overlap(len(hashes), overlapping, len(spans), int(is_found.sum()))


def stream_chunks(folder: Path, shards: list[ShardEntry]) -> Iterator["Tokens"]:
    """Yield the token stream in chunks; each begins with the last SPAN_TOKENS - 1 tokens of the one before."""
    import numpy as np

    rest = np.empty(0, dtype=np.uint16)
    for entry in shards:
        tokens = read_shard(folder / entry.file)
        for start in range(0, len(tokens), CHUNK_TOKENS):
            chunk = np.concatenate((rest, tokens[start : start + CHUNK_TOKENS]))
            yield chunk
            rest = chunk[max(0, len(chunk) - SPAN_TOKENS + 1) :]


def matching_hashes(chunks: Iterator["Tokens"], hasher: "SpanHasher", wanted: "Hashes") -> "Hashes":
    """Return those of the wanted hashes that occur at some position of the stream."""
    import numpy as np

    low_bits = np.uint64((1 << FILTER_BITS) - 1)
    may_match = np.zeros(1 << FILTER_BITS, dtype=bool)
    may_match[wanted & low_bits] = True
    found = [np.empty(0, dtype=np.uint64)]
    for chunk in chunks:
        positions = hasher.all_positions(chunk)
        candidates = positions[may_match[positions & low_bits]]
        found.append(np.unique(candidates[np.isin(candidates, wanted)]))
    return np.unique(np.concatenate(found))


class SpanHasher:
    """Hashes all spans of a token array."""

    def __init__(self, vocabulary_size: int) -> None:
        import numpy as np

        self.values = np.random.default_rng(VALUES_SEED).integers(1 << 64, size=vocabulary_size, dtype=np.uint64)
        length = CHUNK_TOKENS + SPAN_TOKENS
        self.powers = np.cumprod(np.full(length, MULTIPLIER, dtype=np.uint64))
        inverse = pow(MULTIPLIER, -1, 1 << 64)  # exists because the multiplier is odd
        self.inverses = np.cumprod(np.full(length, inverse, dtype=np.uint64))

    def all_positions(self, tokens: "Tokens") -> "Hashes":
        """Return the hash of the span that begins at each position. Shapes: (n,) -> (max(0, n - 63),)."""
        import numpy as np

        pieces = [np.empty(0, dtype=np.uint64)]
        for start in range(0, max(0, len(tokens) - SPAN_TOKENS + 1), CHUNK_TOKENS):
            part = tokens[start : start + CHUNK_TOKENS + SPAN_TOKENS - 1]
            weighted = self.values[part] * self.inverses[: len(part)]
            sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(weighted)))
            spans = sums[SPAN_TOKENS:] - sums[:-SPAN_TOKENS]
            pieces.append(spans * self.powers[: len(spans)])
        return np.concatenate(pieces)
