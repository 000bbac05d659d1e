"""CaseOps: the exact inverse, the bytes of tokens, and data whose scores count the bytes of the original text."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given
from hypothesis import strategies as st

from pgolf.audit.runs import byte_count_verdicts
from pgolf.audit.score_ledger import StoredLedger
from pgolf.data.locate import locate_data
from pgolf.data.prepare import ignore_progress
from pgolf.data.verify import check_files, verify_contents
from pgolf.errors import DataError
from pgolf.findings import failures
from tests.conftest import Pgolf
from tests.pgolf.data.builders import BEGIN, LOSSLESS_NASTY, prepared, raw_shard, sentences
from tests.pgolf.data.caseops import bytes_one_by_one, capitalised
from tests.pgolf.data.published import shard
from trainer.data.manifest import read_split
from trainer.evaluation.validation import read_validation
from trainer.recipe.caseops import OPERATORS, CaseOpsBytes, NotCaseOps, from_caseops, to_caseops
from trainer.recipe.data import Shards
from trainer.recipe.files import DataFiles
from trainer.runtime.failure import DataRefused

TITLE, CAPITALS, CAPITAL, ESCAPE = OPERATORS
SIDECAR = "fineweb_val_bytes_000000.bin"


@given(st.text())
@example("".join(OPERATORS) * 2)
@example("\ue004A\ue002bC")
@example("Aa aA AA aAa I\u0130\u0131\u00df\u01c5 ABc \ud7ff")
def test_every_text_comes_back(text: str) -> None:
    written = to_caseops(text)
    assert from_caseops(written) == text
    assert not any("A" <= character <= "Z" for character in written)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("the fox", "the fox"),
        ("The FOX", f"{TITLE}the {CAPITALS}fox"),
        ("I am", f"{TITLE}i am"),
        ("McDonald iPhone ABc", f"{TITLE}mc{CAPITAL}donald i{CAPITAL}phone {TITLE}a{CAPITAL}bc"),
        ("A1B22CD", f"{TITLE}a1{TITLE}b22{CAPITALS}cd"),
        ("\ue002A", f"{ESCAPE}{CAPITALS}{TITLE}a"),
        ("\u00c9T\u00c9", f"\u00c9{TITLE}t\u00c9"),  # other letters than ASCII's end a run and stay
    ],
)
def test_runs_of_letters_are_written_as_in_1729(text: str, written: str) -> None:
    assert to_caseops(text) == written


def test_long_runs_of_small_letters_take_no_longer_than_others() -> None:
    """A pattern that looks for the capital of a run from each of its letters would take minutes."""
    text = "a" * 2_000_000
    assert to_caseops(text) == text


@pytest.mark.parametrize(
    "written", ["ABC", CAPITALS + "a", f"{TITLE}a{CAPITAL}b", CAPITALS + "abC", TITLE + "aB", f"{CAPITALS}ab{TITLE}c"]
)
def test_text_that_is_written_in_another_way_is_refused(written: str) -> None:
    with pytest.raises(NotCaseOps, match="not written as CaseOps writes it"):
        from_caseops(written)


@pytest.mark.parametrize("written", [TITLE, CAPITAL + "1", CAPITALS + " a", ESCAPE, ESCAPE + "a", TITLE + "A"])
def test_an_operator_that_applies_to_nothing_is_refused(written: str) -> None:
    with pytest.raises(NotCaseOps, match=r"U\+E00\d at character 1"):
        from_caseops("x" + written)


@pytest.fixture(scope="module")
def caseops_texts() -> list[str]:
    return [*capitalised(sentences(120)), *LOSSLESS_NASTY, "\ue004\ue001 ABC\ue003"]


@pytest.fixture
def folder(tmp_path: Path, caseops_texts: list[str]) -> Path:
    prepared(tmp_path / "data", caseops_texts, transform="caseops", pieces=320)
    return tmp_path / "data"


def test_sidecars_count_each_token_and_add_up_to_the_documents(folder: Path, caseops_texts: list[str]) -> None:
    manifest = check_files(folder)
    assert (manifest.format, manifest.transform, manifest.tokenizer.lossless) == ("pgolf-shards-2", "caseops", True)
    assert (len(manifest.train.sidecars), len(manifest.validation.sidecars)) == (0, 1)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokens = raw_shard((folder / "fineweb_val_000000.bin").read_bytes())
    counts = raw_shard((folder / SIDECAR).read_bytes())
    assert counts == bytes_one_by_one(model, tokens)
    starts = [n for n, token in enumerate(tokens) if token == BEGIN]
    texts = {to_caseops(text): text for text in caseops_texts}
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        text = texts[model.decode(tokens[start + 1 : end])]
        assert sum(counts[start:end]) == len(text.encode()) - text.startswith(" ")
    assert manifest.validation.bytes == sum(counts)
    assert failures(verify_contents(folder).findings) == []


def test_scores_count_the_bytes_of_the_sidecar(folder: Path) -> None:
    text = read_validation(DataFiles(folder, transform="caseops"), 320)
    assert text.byte_counts.tolist() == raw_shard((folder / SIDECAR).read_bytes())[1:]
    assert text.bytes == check_files(folder).validation.bytes


def test_a_folder_without_a_manifest_has_its_sidecars_by_name(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    files = DataFiles(folder, needs_manifest=False, transform="caseops")
    split = read_split(files, "validation", 320)
    assert [file.path.name for file in split.shards] == ["fineweb_val_000000.bin"]
    assert [file.path.name for file in split.sidecars] == [SIDECAR]
    assert read_validation(files, 320).byte_counts.tolist() == raw_shard((folder / SIDECAR).read_bytes())[1:]


def test_a_sidecar_that_lies_about_a_document_is_refused_before_scoring(folder: Path) -> None:
    counts = raw_shard((folder / SIDECAR).read_bytes())
    tokens = raw_shard((folder / "fineweb_val_000000.bin").read_bytes())
    second = tokens.index(BEGIN, 1)
    counts[1] += 1  # the sum of all stays
    counts[counts.index(max(counts[second:]), second)] -= 1
    (folder / SIDECAR).write_bytes(shard(counts))
    with pytest.raises(DataRefused, match="document at token 0 has"):
        read_validation(DataFiles(folder, transform="caseops"), 320)
    with pytest.raises(DataError, match=SIDECAR):
        check_files(folder)
    seal(folder, SIDECAR)
    found = {finding.rule: finding for finding in verify_contents(folder).findings}
    assert found["sidecars"].severity == "fail"
    assert "document at token 0 has" in found["sidecars"].message
    assert found["validation_tokens"].severity == "pass"  # the other checks are shown too


def seal(folder: Path, name: str) -> None:
    """Give a manifest the hash that a file has."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for split in ("train", "validation"):
        for entry in (*manifest[split]["shards"], *manifest[split]["sidecars"]):
            if entry["file"] == name:
                entry["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_tokens_that_are_not_caseops_text_are_found(folder: Path) -> None:
    """An escape at the end of a document applies to nothing, least of all to the next document."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokens = raw_shard((folder / "fineweb_val_000000.bin").read_bytes())
    counts = raw_shard((folder / SIDECAR).read_bytes())
    end = tokens.index(BEGIN, 1) - 1
    tokens[end], counts[end] = model.piece_to_id(ESCAPE), 0
    assert CaseOpsBytes(model).of(np.array(tokens)).tolist() == counts
    for name, values in (("fineweb_val_000000.bin", tokens), (SIDECAR, counts)):
        (folder / name).write_bytes(shard(values))
        seal(folder, name)
    failed = {finding.rule: finding.message for finding in failures(verify_contents(folder).findings)}
    assert "a document is not CaseOps text" in failed["sidecars"]


@pytest.mark.parametrize("entries", [[], [0, 0]])
def test_a_manifest_needs_one_sidecar_for_each_validation_shard(folder: Path, entries: list[int]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["validation"]["sidecars"] = [manifest["validation"]["sidecars"][n] for n in entries]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="found validation sidecars of"):
        verify_contents(folder)


def test_sidecars_are_no_shards_for_a_recipe_without_a_transform(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(DataRefused, match="its text was transformed, which the recipe"):
        read_split(DataFiles(folder, needs_manifest=False), "validation", 320)


def test_a_sidecar_of_another_length_is_refused(folder: Path) -> None:
    counts = raw_shard((folder / SIDECAR).read_bytes())
    (folder / SIDECAR).write_bytes(shard(counts[:-1]))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["validation"]["sidecars"][0]["tokens"] -= 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataRefused, match="found byte sidecars of"):
        read_validation(DataFiles(folder, transform="caseops"), 320)


def test_text_and_recipe_must_agree_about_the_transform(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"transformed by caseops, expected nothing \(recipe.data.transform\)"):
        locate_data(Shards(kind="shards", folder=str(folder)), ignore_progress)
    with pytest.raises(DataRefused, match="bits per byte would be wrong"):
        read_validation(DataFiles(folder), 320)
    prepared(tmp_path / "plain", sentences(40))
    with pytest.raises(DataError, match="transformed by nothing, expected caseops"):
        locate_data(Shards(kind="shards", folder=str(tmp_path / "plain"), transform="caseops"), ignore_progress)
    with pytest.raises(DataRefused, match="transformed by nothing, the recipe expects caseops"):
        read_validation(DataFiles(tmp_path / "plain", transform="caseops"), 300)


def test_a_tokenizer_without_operators_is_refused(tmp_path: Path) -> None:
    prepared(tmp_path / "plain", sentences(40))
    with pytest.raises(DataError, match=r"no piece U\+E001, which CaseOps needs; train one with"):
        prepared(tmp_path / "x", sentences(40), tokenizer=tmp_path / "plain" / "tokenizer.model", transform="caseops")


def test_the_command_prepares_transformed_text_and_knows_it_again(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in capitalised(sentences(60))))
    command = ("data", "prepare", "text.jsonl", "--out", "made", "--vocab", "320", "--val-fraction", "0.3")
    ended = pgolf(*command, "--transform", "caseops")
    assert ended.code == 0, ended.err
    assert "{kind: shards, folder: made, transform: caseops}" in ended.out
    assert "nothing to do" in pgolf(*command, "--transform", "caseops").err
    other = pgolf(*command)
    assert other.code == 2
    assert "--transform caseops, now none" in other.err
    assert np.fromfile(tmp_path / "made" / SIDECAR, dtype="<i4", count=1) == [20240520]


def test_an_audit_counts_the_bytes_of_the_original_text(folder: Path) -> None:
    counts = np.array(raw_shard((folder / SIDECAR).read_bytes())[1:], dtype=np.uint16)
    manifest = check_files(folder)
    for change, severity in ((0, "pass"), (1, "fail")):
        counts[0] += change
        ledger = StoredLedger(np.zeros(len(counts), dtype=np.float32), counts)
        verdicts = {verdict.rule: verdict.severity for verdict in byte_count_verdicts(ledger, folder, manifest)}
        assert verdicts == {"LOSSLESS": "pass", "SPACE-ONCE": severity}
