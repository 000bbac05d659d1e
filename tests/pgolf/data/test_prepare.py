"""Preparing text as shards: whole documents, exact bytes, correct counts."""

import gzip
import hashlib
import io
import json
import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from pgolf.data import encoding
from pgolf.data.corpora import Document, read_documents
from pgolf.data.locate import embedded_folder
from pgolf.data.near_duplicates import THRESHOLD
from pgolf.data.prepare import Preparation, Prepared, ignore_progress, is_validation, prepare
from pgolf.data.shards import ShardWriter
from pgolf.data.verify import verify_contents
from pgolf.errors import DataError
from tests.conftest import Pgolf
from tests.pgolf.data.builders import (
    LOSSLESS_NASTY,
    MARKED,
    documents,
    prepared,
    raw_documents,
    raw_manifest,
    raw_shard,
    sentences,
)
from trainer.evaluation.byte_counts import ByteCounts
from trainer.recipe.data import Embedded

TEXTS = [*sentences(150), *LOSSLESS_NASTY]
SPLITS = ("train", "validation")
VOCABULARY = [f"word{number}" for number in range(3000)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with TEXTS prepared as shards."""
    folder = tmp_path_factory.mktemp("shards")
    prepared(folder, TEXTS)
    return folder


def decoded(folder: Path, split: str) -> list[str]:
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=(folder / "tokenizer.model").read_bytes())
    return [str(tokenizer.decode(tokens)) for tokens in raw_documents(folder, split)]


def test_every_document_is_whole_and_in_exactly_one_split(folder: Path) -> None:
    train, validation = decoded(folder, "train"), decoded(folder, "validation")
    assert sorted(train + validation) == sorted(TEXTS)
    assert not set(train) & set(validation)
    assert train
    assert validation


def test_documents_keep_their_order(folder: Path) -> None:
    for split in SPLITS:
        positions = [TEXTS.index(text) for text in decoded(folder, split)]
        assert positions == sorted(positions)


def test_counts_of_the_manifest_are_those_of_the_raw_text(folder: Path) -> None:
    manifest = raw_manifest(folder)
    for split in SPLITS:
        texts, tokens = decoded(folder, split), raw_documents(folder, split)
        assert manifest[split]["documents"] == len(texts)
        assert manifest[split]["bytes"] == sum(len(text.encode()) for text in texts)
        assert manifest[split]["tokens"] == sum(1 + len(document) for document in tokens)
    assert manifest["train"]["bytes"] + manifest["validation"]["bytes"] == sum(len(text.encode()) for text in TEXTS)
    assert manifest["tokenizer"]["lossless"] is True


def test_shards_and_their_hashes_are_exact(folder: Path) -> None:
    manifest = raw_manifest(folder)
    for split, prefix in zip(SPLITS, ("train", "val"), strict=True):
        (entry,) = manifest[split]["shards"]
        content = (folder / entry["file"]).read_bytes()
        assert entry["file"] == f"fineweb_{prefix}_000000.bin"
        assert len(raw_shard(content)) == entry["tokens"] == manifest[split]["tokens"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    model = (folder / "tokenizer.model").read_bytes()
    assert hashlib.sha256(model).hexdigest() == manifest["tokenizer"]["sha256"]


def test_byte_counts_of_tokens_add_up_to_each_document(folder: Path) -> None:
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=(folder / "tokenizer.model").read_bytes())
    counts = ByteCounts(tokenizer)
    for split in SPLITS:
        for tokens, text in zip(raw_documents(folder, split), decoded(folder, split), strict=True):
            assert counts.of_targets(np.array([1, *tokens])).sum() == len(text.encode()), text[:40]


def test_preparing_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    prepared(tmp_path, TEXTS)
    for file in folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "folder"])
def test_every_form_of_a_corpus_gives_the_same_manifest(folder: Path, tmp_path: Path, form: str) -> None:
    source = tmp_path / f"corpus.{form}"
    text = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    match form:
        case "jsonl":
            source.write_text(text)
        case "jsonl.gz":
            source.write_bytes(gzip.compress(text.encode()))
        case "folder":
            source.mkdir()
            middle = text.index("\n", len(text) // 2) + 1
            (source / "a.jsonl").write_text(text[:middle])
            (source / "b.jsonl.gz").write_bytes(gzip.compress(text[middle:].encode()))
    preparation = Preparation(name="test", out=tmp_path / "out", validation_fraction=0.3, vocabulary_size=300)
    assert prepare(read_documents(source), preparation).manifest.document() == raw_manifest(folder)


def test_the_tokenizer_is_trained_on_the_training_split_alone(folder: Path, tmp_path: Path) -> None:
    training = [text for text in TEXTS if not is_validation(text, 0.3)]
    others = [text for text in sentences(400, seed=9) if is_validation(text, 0.3)]
    prepared(tmp_path, [*training, *others])
    assert (tmp_path / "tokenizer.model").read_bytes() == (folder / "tokenizer.model").read_bytes()


def test_a_given_tokenizer_is_copied(folder: Path, tmp_path: Path) -> None:
    prepared(tmp_path, sentences(50, seed=5), tokenizer=folder / "tokenizer.model")
    assert (tmp_path / "tokenizer.model").read_bytes() == (folder / "tokenizer.model").read_bytes()


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.9])
def test_the_split_depends_on_the_leading_24_bits_of_sha256(fraction: float) -> None:
    texts = sentences(2000, seed=3)
    splits = [is_validation(text, fraction) for text in texts]
    assert splits == [int(hashlib.sha256(t.encode()).hexdigest()[:6], 16) / 2**24 < fraction for t in texts]
    assert abs(sum(splits) / len(texts) - fraction) < 0.03


def test_equal_texts_are_in_one_split(tmp_path: Path) -> None:
    texts = sentences(60)
    prepared(tmp_path, [*texts, *texts])
    train, validation = decoded(tmp_path, "train"), decoded(tmp_path, "validation")
    assert not set(train) & set(validation)
    assert len(train) + len(validation) == 120


def test_empty_documents_are_left_out(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, ["", *sentences(60), ""])
    assert manifest.train.documents + manifest.validation.documents == 60
    assert all(raw_documents(tmp_path, "train") + raw_documents(tmp_path, "validation"))


@pytest.mark.parametrize("kind", ["pipe", "device", "gone", "folder"])
def test_a_tokenizer_that_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    model = tmp_path / "own.model"
    if kind == "pipe":
        os.mkfifo(model)
    elif kind == "device":
        model.symlink_to("/dev/zero")
    elif kind == "folder":
        model.mkdir()
    with pytest.raises(DataError, match=r"own\.model is not a SentencePiece model"):
        prepared(tmp_path / "out", sentences(50), tokenizer=model)
    assert not (tmp_path / "out").exists()


def test_a_text_with_the_tokenizers_space_mark_makes_the_manifest_say_lossy(tmp_path: Path) -> None:
    texts = [*sentences(100), *MARKED]
    prepared(tmp_path, texts)
    manifest = raw_manifest(tmp_path)
    assert manifest["tokenizer"]["lossless"] is False
    for split in SPLITS:
        assert manifest[split]["bytes"] == sum(len(text.encode()) for text in decoded(tmp_path, split))


def test_byte_counts_hold_for_texts_with_the_space_mark(tmp_path: Path) -> None:
    prepared(tmp_path, [*sentences(100), *MARKED])
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=(tmp_path / "tokenizer.model").read_bytes())
    for text in MARKED:
        tokens = tokenizer.encode(text)
        counted = ByteCounts(tokenizer).of_targets(np.array([1, *tokens])).sum()
        assert counted == len(tokenizer.decode(tokens).encode()), text


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_lone_surrogate_is_refused_by_the_name_of_its_document(tmp_path: Path, split: str) -> None:
    bad = next(t for t in (f"\ud800 {n}" for n in range(99)) if is_validation(t, 0.3) == (split == "validation"))
    with pytest.raises(DataError, match="the-bad-one"):
        prepare(
            [*documents(sentences(60)), Document("the-bad-one", bad)],
            Preparation(name="test", out=tmp_path, validation_fraction=0.3, vocabulary_size=300),
        )
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(("texts", "fraction"), [([], 0.3), (["only one"], 0.3), (sentences(9), 0.0), (["", ""], 0.5)])
def test_an_empty_split_is_refused(tmp_path: Path, texts: list[str], fraction: float) -> None:
    with pytest.raises(DataError, match="expected at least one of each"):
        prepared(tmp_path, texts, fraction)


def test_the_challenges_tokenizer_counts_every_byte_of_every_document(shared_data: Path, tmp_path: Path) -> None:
    texts = []
    with gzip.open(shared_data / "english_docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line, _ in zip(lines, range(120), strict=False):
            texts.append(json.loads(line)["text"])
    model = shared_data / "tokenizers" / "fineweb_1024_bpe.model"
    manifest = prepared(tmp_path, texts, tokenizer=model)
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.read_bytes())
    counts = ByteCounts(tokenizer)
    total = 0
    for split in SPLITS:
        found = raw_documents(tmp_path, split)
        lengths = [len(tokenizer.decode(tokens).encode()) for tokens in found]
        assert [int(counts.of_targets(np.array([1, *tokens])).sum()) for tokens in found] == lengths
        assert raw_manifest(tmp_path)[split]["bytes"] == sum(lengths)
        total += len(found)
    assert manifest.tokenizer.vocabulary_size == 1024
    assert total == sum(bool(text) for text in texts)


def with_twins() -> tuple[list[str], list[str], list[str]]:
    """Return ordinary texts, training texts with text of validation texts, and what is a near duplicate of these."""
    chance = random.Random(6)
    ordinary = [" ".join(chance.choices(VOCABULARY, k=chance.randint(120, 200))) for _ in range(60)]
    validation = [text for text in ordinary if is_validation(text, 0.3)]
    # A whole validation text within a longer one is no near duplicate; one changed word in 40 breaks most spans.
    hosts = [f"{text} {validation[0]} {text[::-1]} {chance.random()}" for text in ordinary[:9]]
    near = [change_words(validation[1], number) for number in range(9)]
    return ordinary, [t for t in hosts if not is_validation(t, 0.3)], [t for t in near if not is_validation(t, 0.3)]


def change_words(text: str, number: int) -> str:
    words = text.split()
    words[number::40] = [f"changed{number}"] * len(words[number::40])
    return " ".join(words)


def prepared_with_twins(folder: Path, *, is_overlap_dropped: bool, tokenizer: Path | None = None) -> Prepared:
    ordinary, hosts, near = with_twins()
    named = [
        Document(f"{kind}-{n}", t)
        for kind, each in (("own", ordinary), ("host", hosts), ("near", near))
        for n, t in enumerate(each)
    ]
    preparation = Preparation(
        name="test", out=folder, validation_fraction=0.3, vocabulary_size=300, is_overlap_dropped=is_overlap_dropped,
        tokenizer=tokenizer,
    )  # fmt: skip
    return prepare(named, preparation)


def test_dropping_overlap_leaves_out_training_documents_only(tmp_path: Path) -> None:
    ordinary, hosts, near = with_twins()
    kept, dropped = (prepared_with_twins(tmp_path / str(drop), is_overlap_dropped=drop) for drop in (False, True))
    assert kept.overlap.finding(tmp_path).severity == "fail"
    assert kept.dropped == []
    assert dropped.overlap.overlapping == 0
    assert len(hosts) > 3
    assert len(near) > 3
    assert {(each.id, each.reason) for each in dropped.dropped} == {
        *((f"host-{n}", "shared_text") for n in range(len(hosts))),
        *((f"near-{n}", "near_duplicate") for n in range(len(near))),
    }
    assert decoded(tmp_path / "True", "validation") == decoded(tmp_path / "False", "validation")
    assert decoded(tmp_path / "True", "train") == [text for text in ordinary if not is_validation(text, 0.3)]
    assert {finding.severity for finding in verify_contents(tmp_path / "True").findings} == {"pass"}


def test_the_tokenizer_is_trained_without_what_was_dropped(tmp_path: Path) -> None:
    prepared_with_twins(tmp_path / "dropped", is_overlap_dropped=True)
    prepared(tmp_path / "never", with_twins()[0])
    for file in (tmp_path / "never").iterdir():
        if file.name != "prepared.json":  # the text was another one
            assert (tmp_path / "dropped" / file.name).read_bytes() == file.read_bytes(), file.name


def test_shards_of_the_first_try_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "ShardWriter", lambda folder, name: ShardWriter(folder, name, shard_tokens=500))
    manifest = prepared_with_twins(tmp_path, is_overlap_dropped=True).manifest
    listed = {entry.file for split in (manifest.train, manifest.validation) for entry in split.shards}
    assert {file.name for file in tmp_path.glob("*.bin")} == listed


def test_texts_that_a_lowercasing_tokenizer_makes_equal_are_dropped(tmp_path: Path) -> None:
    """Their texts differ in case only, so that the split does not keep them together."""
    twins = [text for n in range(40) for text in (f"short text {n}", f"Short Text {n}")]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(twins), model_writer=model, model_type="bpe", vocab_size=300, byte_fallback=True,
        normalization_rule_name="nmt_nfkc_cf", minloglevel=2,
    )  # fmt: skip
    (tmp_path / "lower.model").write_bytes(model.getvalue())
    preparation = Preparation(
        name="test", out=tmp_path / "out", validation_fraction=0.3, tokenizer=tmp_path / "lower.model",
        is_overlap_dropped=True,
    )  # fmt: skip
    done = prepare(documents(twins), preparation)
    assert done.overlap.overlapping == 0
    assert done.dropped
    train, validation = decoded(tmp_path / "out", "train"), decoded(tmp_path / "out", "validation")
    assert not set(train) & set(validation)


def test_dropping_every_training_document_is_refused(tmp_path: Path) -> None:
    text = " ".join(VOCABULARY[:200])
    twins = [f"{text} {number}" for number in range(20)]
    with pytest.raises(DataError, match="leaves no training document"):
        prepare(
            documents(twins),
            Preparation(name="t", out=tmp_path, validation_fraction=0.3, vocabulary_size=300, is_overlap_dropped=True),
        )
    assert not (tmp_path / "manifest.json").exists()


def test_the_command_says_how_many_documents_it_left_out_and_which(tmp_path: Path, pgolf: Pgolf) -> None:
    ordinary, hosts, near = with_twins()
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*ordinary, *hosts, *near]))
    options = ("--vocab", "300", "--val-fraction", "0.3")
    kept = pgolf("data", "prepare", corpus, "--out", "kept", *options)
    assert kept.code == 0
    assert "fail  overlap" in kept.out
    assert "of 22 validation documents are in the training text" in kept.out
    assert next(text for text in ordinary if is_validation(text, 0.3))[:40] in kept.out
    done = pgolf("data", "prepare", corpus, "--out", "clean", *options, "--drop-overlap")
    assert f"left out of training as near duplicates of validation documents: {len(near)} (corpus.jsonl:" in done.out
    assert f"left out of training for text that they share with validation documents: {len(hosts)} (" in done.out
    assert "fail" not in done.out
    answer = pgolf("data", "prepare", corpus, "--out", "json", *options, "--drop-overlap", "--json").json
    assert {each["reason"] for each in answer["dropped"]} == {"near_duplicate", "shared_text"}
    assert {each["id"] for each in answer["dropped"]} == {
        f"corpus.jsonl:{number}" for number in range(len(ordinary) + 1, len(ordinary) + len(hosts) + len(near) + 1)
    }
    assert answer["overlap"]["overlapping"] == 0
    assert pgolf("data", "verify", "clean").code == 0


def test_the_embedded_corpus_has_no_document_in_both_splits(own_cache: None) -> None:
    """Every pair of its documents is compared, and every span of 64 tokens is searched in the bytes of the shards."""
    folder = embedded_folder(Embedded(kind="embedded", vocabulary_size=1024), ignore_progress)
    train, validation = decoded(folder, "train"), decoded(folder, "validation")
    assert len(validation) > 30
    holders: dict[tuple[str, ...], list[int]] = {}
    sizes = []
    for number, text in enumerate(train):
        shingles = shingles_of(text)
        sizes.append(len(shingles))
        for shingle in shingles:
            holders.setdefault(shingle, []).append(number)
    for text in validation:
        shingles = shingles_of(text)
        common = Counter(number for shingle in shingles for number in holders.get(shingle, []))
        assert all(count / (len(shingles) + sizes[number] - count) < THRESHOLD for number, count in common.items())
    stream = (folder / "fineweb_train_000000.bin").read_bytes()
    for tokens in raw_documents(folder, "validation"):
        spans = [np.array(tokens[start : start + 64], "<u2").tobytes() for start in range(0, len(tokens) - 63, 64)]
        assert sum(span in stream for span in spans) < max(1, len(spans) / 2)
    assert {finding.severity for finding in verify_contents(folder).findings} == {"pass"}


def shingles_of(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}
