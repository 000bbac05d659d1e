"""Order-2 and brotli scores, compared with slow independent implementations."""

from collections import Counter, defaultdict
from math import log2
from pathlib import Path

import brotli
import pytest

from pgolf.data.references import (
    References,
    describe_references,
    is_well_below,
    measure_references,
    order2_bits,
    read_references,
    write_references,
)
from tests.pgolf.data.builders import prepared, raw_manifest, sentences


def slow_order2(train: bytes, validation: bytes) -> float:
    """Return the bits per byte of Witten-Bell interpolation with dictionaries, one byte at a time."""
    counts: dict[bytes, Counter[int]] = defaultdict(Counter)
    padded = b"\0\0" + train
    for position, byte in enumerate(train):
        for order in range(3):
            counts[padded[position + 2 - order : position + 2]][byte] += 1
    bits, padded = 0.0, b"\0\0" + validation
    for position, byte in enumerate(validation):
        probability = 1 / 256
        for order in range(3):
            seen = counts.get(padded[position + 2 - order : position + 2])
            if seen:
                visits, kinds = sum(seen.values()), len(seen)
                own = visits / (visits + kinds) * seen[byte] / visits
                probability = own + kinds / (visits + kinds) * probability
        bits -= log2(probability)
    return bits / len(validation)


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (" ".join(sentences(40)).encode(), " ".join(sentences(8, seed=2)).encode()),
        (b"abracadabra", b"abra\x00\xff"),
        (b"a", b"b"),
        (b"\0\0\0", b"\0"),
        ("\N{GRINNING FACE} text".encode() * 9, b"text \xf0\x9f"),
    ],
)
def test_order2_is_witten_bell_counted_by_hand(train: bytes, validation: bytes) -> None:
    assert order2_bits(train, validation) == pytest.approx(slow_order2(train, validation), abs=1e-9)


def test_one_unseen_byte_costs_what_arithmetic_says() -> None:
    # Each order leaves a share for unseen bytes: order 0 (three visits, one kind) a quarter of 1/256, which the two
    # longer contexts, with one byte seen, keep.
    assert order2_bits(b"aaa", b"b") == pytest.approx(12)


def test_brotli_is_brotli_11_of_the_joined_validation_text() -> None:
    train, validation = sentences(30), sentences(20, seed=4)
    found = measure_references(train, validation)
    joined = "".join(validation).encode()
    assert found.brotli_bpb == 8 * len(brotli.compress(joined, quality=11, lgwin=24)) / len(joined)
    assert found.order2_bpb == pytest.approx(slow_order2("".join(train).encode(), joined))


def test_preparing_leaves_the_figures_beside_the_shards(tmp_path: Path) -> None:
    prepared(tmp_path, sentences(60))
    found = read_references(tmp_path)
    assert found is not None
    assert 1 < found.order2_bpb < 4
    assert "references" not in raw_manifest(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"order2_bpb": 1}'])
def test_figures_that_are_not_there_are_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "references.json").write_text(content)
    assert read_references(tmp_path) is None


def test_figures_survive_writing(tmp_path: Path) -> None:
    references = References(order2_bpb=2.5, brotli_bpb=2.25)
    write_references(tmp_path, references)
    assert read_references(tmp_path) == references
    assert describe_references(references) == "order-2 byte model 2.5000 bpb, brotli-11 2.2500 bpb"


@pytest.mark.parametrize(("bpb", "expected"), [(2.39, True), (2.41, False), (3.0, False), (float("nan"), False)])
def test_well_below_is_a_tenth_of_a_bit(bpb: float, expected: bool) -> None:
    assert is_well_below(bpb, References(order2_bpb=2.5, brotli_bpb=2.0)) is expected
