"""Overlap of validation and training text, compared with a search that compares tokens."""

import random
from pathlib import Path

import numpy as np
import pytest

from pgolf.data import overlap as overlap_module
from pgolf.data.overlap import SPAN_TOKENS, Overlap, SpanHasher, measure_overlap
from tests.conftest import Pgolf
from tests.pgolf.data.builders import BEGIN, plant, prepared, raw_documents, raw_manifest, sentences

VOCABULARY = 300


def random_documents(number: int, seed: int) -> list[list[int]]:
    chance = random.Random(seed)
    return [[chance.randrange(10, VOCABULARY) for _ in range(chance.randint(20, 400))] for _ in range(number)]


def stream(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in (BEGIN, *document)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepared(tmp_path / "data", sentences(40), pieces=VOCABULARY)
    return tmp_path / "data"


def put(folder: Path, train: list[int], validation: list[list[int]]) -> None:
    plant(folder, "train", train)
    plant(folder, "validation", stream(validation), documents=len(validation))


def measured(folder: Path) -> Overlap:
    from pgolf.data.manifests import Manifest

    return measure_overlap(folder, Manifest.model_validate(raw_manifest(folder)), BEGIN)


def by_comparing(train: list[int], validation: list[list[int]]) -> Overlap:
    """Compute the same by looking up each span among all spans of the training text."""
    there = {tuple(train[i : i + SPAN_TOKENS]) for i in range(len(train) - SPAN_TOKENS + 1)}
    documents = inside = spans = found = 0
    for document in validation:
        starts = range(0, len(document) - SPAN_TOKENS + 1, SPAN_TOKENS)
        hits = [tuple(document[i : i + SPAN_TOKENS]) in there for i in starts]
        documents += bool(hits)
        spans += len(hits)
        found += sum(hits)
        inside += bool(hits) and sum(hits) >= len(hits) / 2
    return Overlap(documents, inside, spans, found)


@pytest.mark.parametrize("chunk", [64, 100, 1000, 1 << 22])
def test_hashing_finds_the_same_overlap_as_comparing_tokens(
    folder: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap_module, "CHUNK_TOKENS", chunk)
    chance = random.Random(chunk)
    validation = random_documents(30, seed=1)
    train = stream(random_documents(30, seed=2))
    for document in chance.sample(validation, 12):  # whole, half, or a piece, wherever it falls
        cut = chance.choice([document, document[len(document) // 2 :], document[:70]])
        place = chance.randrange(len(train))
        train[place:place] = cut
    put(folder, train, validation)
    expected = by_comparing(train, validation)
    assert expected.found > 5
    assert measured(folder) == expected


def test_equal_spans_have_equal_hashes_at_any_position() -> None:
    hasher = SpanHasher(VOCABULARY)
    span = np.arange(SPAN_TOKENS, dtype=np.uint16)
    alone = hasher.all_positions(span)
    moved = hasher.all_positions(np.concatenate((np.full(1000, 7, dtype=np.uint16), span)))
    assert moved[-1] == alone[0]
    swapped = span.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert hasher.all_positions(swapped)[0] != alone[0]


def test_an_export_with_validation_documents_in_training_is_refused(folder: Path, pgolf: Pgolf) -> None:
    validation = random_documents(20, seed=1)
    put(folder, [BEGIN, *[t for document in validation[:16] for t in document]], validation)
    ended = pgolf("data", "verify", folder, "--json")
    assert ended.code == 3
    (check,) = [check for check in ended.json["checks"] if check["rule"] == "overlap"]
    assert check["status"] == "fail"
    assert "14 of 17 validation documents" in check["message"]
    assert "overlap" in ended.err


def test_a_single_near_duplicate_in_many_documents_is_a_warning() -> None:
    assert Overlap(documents=1000, overlapping=10, spans=5000, found=90).finding().severity == "warn"
    assert Overlap(documents=1000, overlapping=11, spans=5000, found=90).finding().severity == "fail"
    assert Overlap(documents=1000, overlapping=0, spans=5000, found=90).finding().severity == "pass"


def test_documents_shorter_than_a_span_are_not_counted(folder: Path) -> None:
    put(folder, stream([[20, 21, 22]]), [[20, 21, 22], [23]])
    assert measured(folder) == Overlap(0, 0, 0, 0)
    assert len(raw_documents(folder, "validation")) == 2
