"""Verifying data against its manifest: file hashes, and full contents."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgolf.data import encoding
from pgolf.data import prepare as prepare_module
from pgolf.data.shards import ShardWriter
from pgolf.data.verify import HashCache, check_files, verify_contents
from pgolf.errors import DataError
from tests.pgolf.data.builders import plant, prepared, raw_documents, raw_manifest, sentences

TEXTS = sentences(120)
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    prepared(folder, TEXTS)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "data"))


def failed(folder: Path) -> set[str]:
    """Return the rules that fail."""
    return {finding.rule for finding in verify_contents(folder).findings if finding.severity == "fail"}


def noticed(folder: Path) -> set[str]:
    """Return the rules that fail or warn."""
    return {finding.rule for finding in verify_contents(folder).findings if finding.severity != "pass"}


def edit_manifest(folder: Path, edit: Edit) -> None:
    manifest = raw_manifest(folder)
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def stream(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in (1, *document)]


def test_untouched_data_passes(folder: Path) -> None:
    assert check_files(folder).document() == raw_manifest(folder)
    findings = verify_contents(folder).findings
    assert failed(folder) == set()
    assert {finding.rule for finding in findings} == {
        "sha256", "overlap", "train_documents", "train_tokens", "train_bytes", "validation_documents",
        "validation_tokens", "validation_bytes",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["tokenizer.model", "fineweb_train_000000.bin", "fineweb_val_000000.bin"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "longer", "empty", "directory"])
def test_a_damaged_file_is_named(folder: Path, name: str, damage: str) -> None:
    file = folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    match damage:
        case "truncated":
            file.write_bytes(content[:-2])
        case "flipped":
            file.write_bytes(content)
        case "longer":
            file.write_bytes(content + b"\0\0")
        case "empty":
            file.touch()
        case "directory":
            file.mkdir()
    with pytest.raises(DataError, match=name):
        check_files(folder)


def test_remembered_hashes_do_not_hide_a_change(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    check_files(folder, cache)
    assert len(json.loads(cache.read_text())) == 3
    file = folder / "fineweb_val_000000.bin"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(DataError, match="fineweb_val"):
        check_files(folder, cache)


def test_remembered_hashes_are_used(folder: Path, tmp_path: Path) -> None:
    file = folder / "tokenizer.model"
    cache = HashCache(tmp_path / "hashes.json")
    first = cache.sha256(file)
    cache.save()
    again = HashCache(tmp_path / "hashes.json")
    again.known = dict.fromkeys(again.known, "remembered")
    assert first != "remembered"
    assert again.sha256(file) == "remembered"


@pytest.mark.parametrize("content", [b"", b'{"a', b"\xff\xfe", b"[]", b"null", b'"text"', b"3"])
def test_a_cache_that_cannot_be_read_is_ignored(folder: Path, tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "hashes.json"
    cache.write_bytes(content)
    assert check_files(folder, cache).name == "test"


def test_a_cache_that_cannot_be_written_is_ignored(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check_files(folder, tmp_path / "file" / "hashes.json").name == "test"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m.pop("train"), "train"),
        (lambda m: m.update(format="pgolf-shards-2"), "format"),
        (lambda m: m.update(extra=1), "extra"),
        (lambda m: m["train"].update(tokens="12"), "train.tokens"),
        (lambda m: m["train"].update(tokens=True), "train.tokens"),
        (lambda m: m["train"].update(tokens=1.5), "train.tokens"),
        (lambda m: m["train"]["shards"][0].pop("sha256"), "sha256"),
        (lambda m: m["train"]["shards"][0].update(sha256="0" * 64), "fineweb_train_000000"),
        (lambda m: m["tokenizer"].update(sha256="0" * 64), "tokenizer.model"),
        (lambda m: m["train"]["shards"][0].update(file="gone.bin"), "gone.bin"),
    ],
)
def test_an_edited_manifest_is_refused(folder: Path, edit: Edit, words: str) -> None:
    edit_manifest(folder, edit)
    with pytest.raises(DataError) as caught:
        check_files(folder)
    assert words in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "nonsense"])
def test_a_manifest_that_is_not_an_object_is_refused_by_name(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json"):
        check_files(folder)


def test_a_missing_manifest_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pgolf data prepare"):
        check_files(tmp_path)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("unit", ["documents", "tokens", "bytes"])
@pytest.mark.parametrize("off_by", [1, -1])
def test_a_wrong_count_is_found(folder: Path, split: str, unit: str, off_by: int) -> None:
    edit_manifest(folder, lambda m: m[split].update({unit: m[split][unit] + off_by}))
    check_files(folder)
    assert failed(folder) == {f"{split}_{unit}"}


def planted(folder: Path, both: list[int], size: int) -> None:
    """Replace the last validation document by a training document and keep all counts consistent."""
    documents = [*raw_documents(folder, "validation")[:-1], both]
    plant(folder, "validation", stream(documents), bytes=size)


def validation_bytes_with(text: str) -> int:
    validation = [text for text in TEXTS if prepare_module.is_validation(text, 0.3)]
    return sum(len(text.encode()) for text in [*validation[:-1], text])


def test_a_document_in_both_splits_is_found_although_all_counts_match(folder: Path) -> None:
    training = [text for text in TEXTS if not prepare_module.is_validation(text, 0.3)]
    planted(folder, raw_documents(folder, "train")[7], validation_bytes_with(training[7]))
    assert noticed(folder) == {"overlap"}
    found = verify_contents(folder).overlap
    assert [document.position for document in found.named] == [len(raw_documents(folder, "validation")) - 1]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write shards of 50 tokens, so that most documents cross a border."""
    monkeypatch.setattr(encoding, "ShardWriter", lambda folder, prefix: ShardWriter(folder, prefix, shard_tokens=50))


@pytest.mark.usefixtures("small_shards")
def test_documents_that_cross_shards_are_counted_once(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, TEXTS)
    assert len(manifest.train.shards) > 20
    assert failed(tmp_path) == set()
    assert len(raw_documents(tmp_path, "train")) == manifest.train.documents


@pytest.mark.usefixtures("small_shards")
def test_a_long_document_may_cross_several_shards(tmp_path: Path) -> None:
    prepared(tmp_path, [*TEXTS, " ".join(TEXTS[:20])])
    longest = max(map(len, raw_documents(tmp_path, "train") + raw_documents(tmp_path, "validation")))
    assert longest > 150
    assert failed(tmp_path) == set()


@pytest.mark.usefixtures("small_shards")
def test_a_document_in_both_splits_is_found_across_shard_borders(tmp_path: Path) -> None:
    prepared(tmp_path, TEXTS)
    tokens = max(raw_documents(tmp_path, "train"), key=len)
    training = [text for text in TEXTS if not prepare_module.is_validation(text, 0.3)]
    text = training[raw_documents(tmp_path, "train").index(tokens)]
    planted(tmp_path, tokens, validation_bytes_with(text))
    assert len(tokens) > 50
    assert noticed(tmp_path) == {"overlap"}


@pytest.mark.parametrize(
    "tokens", [[1, 5, 6, 40_000], [5, 6, 7], [], [5, 6, 1, 7]], ids=["no such piece", "no mark", "none", "late mark"]
)
def test_tokens_that_do_not_form_documents_are_found(folder: Path, tokens: list[int]) -> None:
    plant(folder, "validation", tokens, documents=1)
    try:
        found = failed(folder)
    except DataError as refused:
        assert "fineweb_val_000000.bin" in str(refused)
    else:
        assert found & {"validation_documents", "validation_bytes"}


def test_prepared_texts_that_tokenize_alike_pass(tmp_path: Path) -> None:
    mark = "\N{LOWER ONE EIGHTH BLOCK}"
    twins = [variant for text in TEXTS for variant in (text.replace(" ", mark), text.replace(" ", "  "), f" {text} ")]
    prepared(tmp_path, [*TEXTS, *twins])
    assert failed(tmp_path) == set()
