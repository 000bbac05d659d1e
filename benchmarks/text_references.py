"""Bits per byte of compressors and n-gram models on the validation split of a data folder.

    .venv/bin/python -m benchmarks.text_references data/english_sp1024

The n-gram models are counted on the training split; compressors see only the text that they compress. Bytes are
counted as the score counts them.
"""

import argparse
import json
import lzma
from pathlib import Path
from typing import Any

import brotli
import numpy as np
from numpy.typing import NDArray

from pgolf.data.manifests import read_manifest
from pgolf.data.shards import read_shard, split_documents
from pgolf.data.tokenizers import load_tokenizer_file

Keys = NDArray[np.uint64]


class KneserNey:
    """An interpolated Kneser-Ney model of a stream of symbols.

    Each order has one discount, n1 / (n1 + 2 n2), or a half if no n-gram was seen once or none twice.

    Source: Kneser and Ney (1995); Chen and Goodman (1998), section 4.1.6.
    """

    def __init__(self, symbols: NDArray[Any], order: int, symbol_bits: int) -> None:
        assert order * symbol_bits <= 64, "an n-gram is one 64-bit key"
        self.order, self.bits = order, symbol_bits
        self.tables = []
        keys, counts = np.unique(self.grams(symbols, order), return_counts=True)
        for length in range(order, 0, -1):
            self.tables.append(OrderTable(keys, counts, symbol_bits))
            if length > 1:  # below the highest order an n-gram counts once for each symbol that came before it
                suffixes = keys & np.uint64((1 << symbol_bits * (length - 1)) - 1)
                keys, counts = np.unique(suffixes, return_counts=True)

    def grams(self, symbols: NDArray[Any], length: int) -> Keys:
        """Return the key of the n-gram that ends at each position from `length - 1` on."""
        keys = np.zeros(len(symbols) - length + 1, dtype=np.uint64)
        for offset in range(length):
            part = symbols[offset : offset + len(keys)].astype(np.uint64)
            keys = (keys << np.uint64(self.bits)) | part
        return keys

    def nats(self, symbols: NDArray[Any]) -> float:
        """Return the total negative log-likelihood of all symbols but the first `order - 1`."""
        keys = self.grams(symbols, self.order)
        probability = np.full(len(keys), 1.0 / (1 << self.bits))
        for length, table in zip(range(1, self.order + 1), reversed(self.tables), strict=True):
            gram = keys & np.uint64((1 << self.bits * length) - 1) if length * self.bits < 64 else keys
            probability = table.interpolate(gram, probability)
        return float(-np.log(probability).sum())


class OrderTable:
    """Counts of the n-grams of one length and of their histories."""

    def __init__(self, keys: Keys, counts: NDArray[np.int64], symbol_bits: int) -> None:
        self.bits = np.uint64(symbol_bits)
        self.keys, self.counts = keys, counts
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        self.discount = once / (once + 2 * twice) if once and twice else 0.5
        histories, starts = np.unique(keys >> self.bits, return_index=True)
        self.histories, self.totals = histories, np.add.reduceat(counts, starts)
        self.followers = np.diff([*starts, len(keys)])

    def interpolate(self, gram: Keys, lower: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(symbol | history) at this length from the same at the length below."""
        count, _ = look_up(self.keys, self.counts, gram)
        total, is_known = look_up(self.histories, self.totals, gram >> self.bits)
        followers, _ = look_up(self.histories, self.followers, gram >> self.bits)
        total = np.maximum(total, 1)
        own = np.maximum(count - self.discount, 0.0) / total
        return np.where(is_known, own + self.discount * followers / total * lower, lower)


def look_up(keys: Keys, values: NDArray[Any], wanted: Keys) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the value of each wanted key, 0 if it is unknown, and whether it is known."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    is_there = keys[places] == wanted
    return np.where(is_there, values[places], 0), is_there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a data folder with manifest.json and tokenizer.model")
    folder = parser.parse_args().folder
    manifest = read_manifest(folder)
    tokenizer = load_tokenizer_file(folder / "tokenizer.model")
    train, validation = (
        np.concatenate([read_shard(folder / shard.file) for shard in split.shards])
        for split in (manifest.train, manifest.validation)
    )
    text, training_text = (
        "\n".join(tokenizer.decode(part.tolist()) for part in split_documents(tokens, tokenizer.bos_id())).encode()
        for tokens in (validation, train)
    )
    as_bytes = [np.frombuffer(content, dtype=np.uint8) for content in (training_text, text)]
    token_bits = (manifest.tokenizer.vocabulary_size - 1).bit_length()
    scored = manifest.validation.bytes
    bits = {
        "brotli-11": 8 * len(brotli.compress(text, quality=11, lgwin=24)),
        "xz -9e": 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)),
        "5-gram of bytes, Kneser-Ney": KneserNey(as_bytes[0], 5, 8).nats(as_bytes[1]) / np.log(2),
        "5-gram of tokens, Kneser-Ney": KneserNey(train, 5, token_bits).nats(validation) / np.log(2),
    }
    print(json.dumps({"bytes": scored} | {name: round(total / scored, 4) for name, total in bits.items()}, indent=2))


if __name__ == "__main__":
    main()
