"""Overlap of validation and training text, compared with a search that compares tokens."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgolf.data import spans as spans_module
from pgolf.data.manifests import Manifest, read_manifest
from pgolf.data.overlap import Overlap, OverlapSearch, judge_overlap, keep_overlap, measure_overlap, read_overlap
from pgolf.data.spans import SPAN_TOKENS, SpanHasher
from pgolf.errors import DataError
from tests.conftest import Pgolf
from tests.pgolf.data.builders import BEGIN, WORDS, plant, prepared, raw_documents, raw_manifest, sentences

VOCABULARY = 300


def random_documents(number: int, seed: int, shortest: int = 1) -> list[list[int]]:
    chance = random.Random(seed)
    return [[chance.randrange(10, VOCABULARY) for _ in range(chance.randint(shortest, 400))] for _ in range(number)]


def stream(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in (BEGIN, *document)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepared(tmp_path / "data", sentences(40), pieces=VOCABULARY)
    return tmp_path / "data"


def put(folder: Path, train: list[list[int]], validation: list[list[int]]) -> None:
    for split, documents in (("train", train), ("validation", validation)):
        plant(folder, split, stream(documents), documents=len(documents))
    (folder / "overlap.json").unlink(missing_ok=True)


def manifest_of(folder: Path) -> Manifest:
    return Manifest.model_validate(raw_manifest(folder))


def measured(folder: Path) -> Overlap:
    return measure_overlap(folder, manifest_of(folder))


def pieces_of(document: list[int]) -> list[tuple[int, ...]]:
    """Spans side by side; a shorter document with a mark on both sides."""
    if len(document) < SPAN_TOKENS:
        return [(BEGIN, *document, BEGIN)] if document else []
    starts = range(0, len(document) - SPAN_TOKENS + 1, SPAN_TOKENS)
    return [tuple(document[start : start + SPAN_TOKENS]) for start in starts]


def by_comparing(train: list[list[int]], validation: list[list[int]]) -> tuple[dict[str, Any], set[int]]:
    """Compute the same by looking up each span among all spans of the training text.

    Also return the training documents that contain a span of an overlapping document.
    """
    tokens = [*stream(train), BEGIN]
    there = {
        tuple(tokens[start : start + length]) for length in range(3, SPAN_TOKENS + 2) for start in range(len(tokens))
    }
    pieces = [pieces_of(document) for document in validation]
    hits = [sum(piece in there for piece in document) for document in pieces]
    overlapping = [n for n, document in enumerate(pieces) if document and hits[n] >= len(document) / 2]
    wanted = {piece for n in overlapping for piece in pieces[n]}
    holders = set()
    for number, document in enumerate(train):
        marked = (BEGIN, *document, BEGIN)
        inside = {marked, *(marked[start : start + SPAN_TOKENS] for start in range(len(marked)))}
        if inside & wanted:
            holders.add(number)
    counts = {
        "documents": sum(map(bool, pieces)),
        "overlapping": len(overlapping),
        "spans": sum(map(len, pieces)),
        "found": sum(hits),
        "named": [(n, len(pieces[n]), hits[n]) for n in overlapping[:10]],
    }
    return counts, holders


def as_counts(overlap: Overlap) -> dict[str, Any]:
    named = [(document.position, document.spans, document.found) for document in overlap.named]
    return overlap.model_dump(exclude={"data_sha256", "named"}) | {"named": named}


@pytest.mark.parametrize("chunk", [64, 100, 1000, 1 << 22])
def test_hashing_finds_the_same_overlap_as_comparing_tokens(
    folder: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans_module, "CHUNK_TOKENS", chunk)
    chance = random.Random(chunk)
    short = [[chance.randrange(10, VOCABULARY) for _ in range(length)] for length in (1, 2, 30, 62, 63, 64, 65)]
    validation = [*random_documents(30, seed=1), *short]
    train = random_documents(40, seed=2)
    for document in chance.sample(validation[:30], 12):  # whole, half, or a piece, wherever it falls
        cut = chance.choice([document, document[len(document) // 2 :], document[:70]])
        host = chance.choice(train)
        place = chance.randrange(len(host))
        host[place:place] = cut
    for document in short:
        train.insert(chance.randrange(len(train)), document)
    train.append(short[3])
    put(folder, train, validation)
    expected, holders = by_comparing(train, validation)
    assert expected["overlapping"] > 10
    assert as_counts(measured(folder)) == expected
    assert {*OverlapSearch(folder, manifest_of(folder)).training_documents()} == holders


@pytest.mark.parametrize("chunk", [100, 101, 128])
@pytest.mark.parametrize("length", [SPAN_TOKENS - 1, SPAN_TOKENS])
def test_pieces_on_a_border_of_two_chunks_are_found(
    folder: Path, chunk: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The borders fall on every token of some document."""
    monkeypatch.setattr(spans_module, "CHUNK_TOKENS", chunk)
    chance = random.Random(length)
    documents = [[chance.randrange(10, VOCABULARY) for _ in range(length)] for _ in range(200)]
    put(folder, documents, documents[::-1])
    assert measured(folder).overlapping == 200


def test_a_short_document_inside_a_longer_one_is_not_the_same(folder: Path) -> None:
    put(folder, [[20, 21, 22, 23]], [[20, 21, 22], [20, 21, 22, 23], [30]])
    assert as_counts(measured(folder)) == {
        "documents": 3, "overlapping": 1, "spans": 3, "found": 1, "named": [(1, 1, 1)]
    }  # fmt: skip


def test_equal_documents_within_one_split_are_no_overlap(folder: Path) -> None:
    one, other = random_documents(2, seed=3, shortest=200)
    put(folder, [one, one], [other, other])
    assert measured(folder).found == 0
    put(folder, [one, other, other], [other, other])
    assert measured(folder).overlapping == 2


def test_an_empty_document_is_not_counted(folder: Path) -> None:
    put(folder, [[20, 21]], [[], [20, 21]])
    assert (measured(folder).documents, measured(folder).overlapping) == (1, 1)


def test_equal_spans_have_equal_hashes_at_any_position() -> None:
    hasher = SpanHasher(VOCABULARY, BEGIN)
    span = np.arange(2, SPAN_TOKENS + 2, dtype=np.uint16)
    (alone,) = hasher.hash_document(span)
    ((_, moved), _) = hasher.hash_chunk(np.concatenate((np.full(1000, 7, dtype=np.uint16), span)))
    assert moved[-1] == alone
    swapped = span.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert hasher.hash_document(swapped)[0] != alone


def test_a_token_that_the_tokenizer_lacks_is_refused(folder: Path) -> None:
    put(folder, [[20, 40_000]], [[20]])
    with pytest.raises(DataError, match="40000"):
        measured(folder)
    assert judge_overlap(folder, manifest_of(folder)).severity == "unknown"


def test_an_export_with_validation_documents_in_training_is_refused(folder: Path, pgolf: Pgolf) -> None:
    validation = random_documents(20, seed=1, shortest=20)
    put(folder, [[token for document in validation[:16] for token in document]], validation)
    expected, _ = by_comparing([[token for document in validation[:16] for token in document]], validation)
    ended = pgolf("data", "verify", folder, "--json")
    assert ended.code == 3
    (check,) = [check for check in ended.json["checks"] if check["rule"] == "overlap"]
    assert check["status"] == "fail"
    assert f"{expected['overlapping']} of 20 validation documents are in the training text" in check["message"]
    assert "overlap" in ended.err
    assert len(ended.json["overlap"]["named"]) == 10
    lines = pgolf("data", "verify", folder).out.splitlines()
    assert lines[-1].strip() == f"and {expected['overlapping'] - 10} more"


def test_overlapping_documents_are_named_by_position_and_first_words(folder: Path, pgolf: Pgolf) -> None:
    chance = random.Random(8)
    text = " ".join(chance.choices(WORDS, k=300))
    ordinary = sentences(40, seed=4)
    prepared(folder.parent / "own", [*ordinary, text], pieces=VOCABULARY)
    own = folder.parent / "own"
    split = max(("train", "validation"), key=lambda name: max(map(len, raw_documents(own, name))))
    document = max(raw_documents(own, split), key=len)
    put(own, [*raw_documents(own, "train"), document], [*raw_documents(own, "validation"), document])
    ended = pgolf("data", "verify", own, "--json")
    named = {entry["position"]: entry["beginning"] for entry in ended.json["overlap"]["named"]}
    beginning = named[len(raw_documents(own, "validation")) - 1]
    assert text.startswith(beginning.removesuffix(" ..."))
    assert len(beginning.split()) > 5
    assert beginning in pgolf("data", "verify", own).out


def test_the_ids_of_prepared_documents_are_kept(folder: Path, pgolf: Pgolf, tmp_path: Path) -> None:
    chance = random.Random(9)
    corpus = [" ".join(chance.choices(WORDS, k=150)) for _ in range(20)]
    corpus += [f"{text} {text[::-1]}" for text in corpus]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in corpus))
    prepare = pgolf("data", "prepare", "corpus.jsonl", "--out", "own", "--vocab", "300", "--val-fraction", "0.3")
    for ended in (prepare, pgolf("data", "verify", "own"), pgolf("data", "verify", "own")):
        lines = [line for line in ended.out.splitlines() if line.startswith("validation document ")]
        assert lines
        for line in lines[:10]:
            number = int(line.partition("corpus.jsonl:")[2].partition(",")[0])
            assert line.partition("): ")[2].removesuffix(" ...") in corpus[number - 1]


def overlap(documents: int, overlapping: int) -> Overlap:
    return Overlap(data_sha256="", documents=documents, overlapping=overlapping, spans=5000, found=90, named=[])


@pytest.mark.parametrize(
    ("documents", "overlapping", "severity"),
    [(1000, 0, "pass"), (1000, 50, "warn"), (1000, 51, "fail"), (20, 1, "warn"), (19, 1, "fail"), (1, 1, "fail"),
     (1, 0, "pass"), (0, 0, "pass")],
)  # fmt: skip
def test_more_than_one_document_in_twenty_is_a_failure(documents: int, overlapping: int, severity: str) -> None:
    assert overlap(documents, overlapping).finding(Path("data")).severity == severity


def test_what_was_measured_is_believed_of_the_same_data_only(folder: Path) -> None:
    manifest = manifest_of(folder)
    keep_overlap(folder, overlap(7, 3).model_copy(update={"data_sha256": manifest.sha256}))
    known = read_overlap(folder, manifest.sha256)
    assert known is not None
    assert known.overlapping == 3
    assert "3 of 7" in judge_overlap(folder, manifest).message
    stale = (folder / "overlap.json").read_bytes()
    put(folder, [[20]], [[21]])
    (folder / "overlap.json").write_bytes(stale)
    assert read_overlap(folder, manifest_of(folder).sha256) is None
    assert judge_overlap(folder, manifest_of(folder)).message.startswith("0 of 1 validation documents")
    assert read_overlap(folder, manifest_of(folder).sha256) == measured(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '{"data_sha256": 3}', '{"overlapping": "many"}'])
def test_a_damaged_overlap_file_is_measured_again(folder: Path, content: str) -> None:
    (folder / "overlap.json").write_text(content)
    assert read_overlap(folder, manifest_of(folder).sha256) is None
    judge_overlap(folder, manifest_of(folder))
    assert read_overlap(folder, manifest_of(folder).sha256) == measured(folder)


def test_large_data_that_was_not_measured_is_unknown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgolf.data.overlap.QUICK_TOKENS", 1000)
    (folder / "overlap.json").unlink()
    found = judge_overlap(folder, manifest_of(folder))
    assert found.severity == "unknown"
    assert found.fix == f"pgolf data verify {folder}"
    assert not (folder / "overlap.json").exists()


def test_overlap_is_no_part_of_the_identity_of_data(folder: Path) -> None:
    before = read_manifest(folder).sha256
    (folder / "overlap.json").unlink()
    assert read_manifest(folder).sha256 == before


SPEC = """extends: quickstart
name: leaky
question: Do all commands say the same?
recipe:
  data: {kind: shards, folder: data}
"""


def test_every_command_gives_the_same_verdict(folder: Path, pgolf: Pgolf, tmp_path: Path) -> None:
    validation = random_documents(12, seed=1, shortest=100)
    put(folder, [*random_documents(12, seed=2), validation[3]], validation)
    (tmp_path / "spec.yaml").write_text(SPEC)
    preflight = pgolf("preflight", "spec.yaml", "--json")
    verify = pgolf("data", "verify", folder, "--json")
    audit = pgolf("audit", "spec.yaml", "--json")
    assert (preflight.code, verify.code, audit.code) == (3, 3, 3)
    found = [
        next(each for each in document if each["rule"] == rule)
        for document, rule in (
            (preflight.json["checks"], "overlap"),
            (verify.json["checks"], "overlap"),
            (audit.json["findings"], "TRAIN-VAL-DISJOINT"),
        )
    ]
    assert {each["status"] for each in found} == {"fail"}
    (message,) = {each["message"] for each in found}
    assert message.startswith("1 of 12 validation documents is in the training text")
    assert json.loads((folder / "overlap.json").read_text())["overlapping"] == 1
