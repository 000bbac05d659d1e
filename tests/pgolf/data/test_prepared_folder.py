"""A folder of prepared shards is whole: kills, full disks, repeated commands, other texts."""

import fcntl
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from pgolf.data.fetched_folder import check_folder
from pgolf.data.prepare import Preparation, Prepared, prepare
from pgolf.data.sources import find_source
from pgolf.data.tokenizers import train_tokenizer
from pgolf.errors import DataError, UsageError
from tests.conftest import Pgolf
from tests.pgolf.data.builders import documents, sentences
from tests.pgolf.data.kills import killed_at

TEXTS = sentences(60)
FILES = {
    "manifest.json", "prepared.json", "overlap.json", "references.json", "tokenizer.model", "fineweb_train_000000.bin",
    "fineweb_val_000000.bin",
}  # fmt: skip
Lines = list[str]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "own.model"
    path.write_bytes(train_tokenizer(TEXTS, 300))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> dict[str, bytes]:
    """Return the files of an undisturbed preparation of TEXTS."""
    folder = tmp_path_factory.mktemp("whole")
    prepare_texts(folder, tokenizer)
    return contents(folder)


def prepare_texts(out: Path, tokenizer: Path, texts: list[str] = TEXTS, lines: Lines | None = None) -> Prepared:
    preparation = Preparation(name="test", out=out, validation_fraction=0.3, tokenizer=tokenizer)
    return prepare(documents(texts), preparation, (lines if lines is not None else []).append)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("method", ["replace", "unlink", "mkdir"])
def test_a_kill_at_any_step_is_repaired_by_the_same_command(
    tmp_path: Path, tokenizer: Path, whole: dict[str, bytes], method: str
) -> None:
    assert whole.keys() == FILES
    for step in count():
        out = tmp_path / str(step)
        if not killed_at(step, method, partial(prepare_texts, out, tokenizer)):
            assert contents(out) == whole
            break
        if (out / "manifest.json").exists():
            assert {name: content for name, content in contents(out).items() if name in FILES} == whole
        prepare_texts(out, tokenizer)
        assert contents(out) == whole
    assert step >= {"replace": 14, "unlink": 1, "mkdir": 2}[method]


@pytest.mark.parametrize("step", [9, 10, 11])
def test_another_text_may_replace_what_a_kill_left(
    tmp_path: Path, tokenizer: Path, whole: dict[str, bytes], step: int
) -> None:
    """The other text was longer: one of its shards is among the files that are there already."""
    out = tmp_path / "out"
    assert killed_at(step, "replace", lambda: prepare_texts(out, tokenizer, sentences(90, seed=2)))
    if (out / "prepared.json").exists():
        (out / "fineweb_train_000001.bin").write_bytes(b"its second shard")
    prepare_texts(out, tokenizer)
    assert contents(out) == whole


def test_a_complete_folder_is_left_as_it_is(tmp_path: Path, tokenizer: Path) -> None:
    first = prepare_texts(tmp_path, tokenizer)
    before = states(tmp_path)
    lines: Lines = []
    second = prepare_texts(tmp_path, tokenizer, lines=lines)
    assert second == first
    assert states(tmp_path) == before
    assert lines == [f"{tmp_path} is already prepared from the same text: nothing to do"]


def test_the_answer_of_a_complete_folder_is_the_same(tmp_path: Path, pgolf: Pgolf) -> None:
    corpus = tmp_path / "corpus.jsonl"
    texts = [*TEXTS, *(f"{text} again" for text in TEXTS)]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = ("data", "prepare", corpus, "--out", "shards", "--vocab", "300", "--val-fraction", "0.3")
    first = pgolf(*command, "--drop-overlap", "--json")
    assert first.json["dropped"]
    second = pgolf(*command, "--drop-overlap", "--json")
    assert (second.code, second.json) == (0, first.json)
    other = pgolf(*command)
    assert (other.code, other.out) == (2, "")
    assert "shards is complete, but was prepared differently: --drop-overlap True, now False" in other.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation_fraction": 0.2}, "--val-fraction 0.3, now 0.2"),
        ({"tokenizer": None, "vocabulary_size": 300}, "--vocab none, now 300"),
        ({"is_overlap_dropped": True}, "--drop-overlap False, now True"),
        ({}, "SHA-256 of the text"),
    ],
)
def test_a_complete_folder_of_something_else_is_refused_and_kept(
    tmp_path: Path, tokenizer: Path, changes: dict[str, object], words: str
) -> None:
    prepare_texts(tmp_path, tokenizer)
    before = states(tmp_path)
    settings = {"name": "test", "out": tmp_path, "validation_fraction": 0.3, "tokenizer": tokenizer} | changes
    with pytest.raises(UsageError, match="was prepared differently") as caught:
        prepare(documents(TEXTS if changes else TEXTS[1:]), Preparation(**settings))  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert states(tmp_path) == before


def test_the_order_of_documents_belongs_to_the_text_and_their_names_do_not(tmp_path: Path, tokenizer: Path) -> None:
    prepare_texts(tmp_path, tokenizer)
    preparation = Preparation(name="x", out=tmp_path, validation_fraction=0.3, tokenizer=tokenizer)
    renamed = [type(document)(f"other {document.id}", document.text) for document in documents(TEXTS)]
    prepare([*renamed, type(renamed[0])("empty", "")], preparation)
    with pytest.raises(UsageError, match="SHA-256 of the text"):
        prepare(reversed(renamed), preparation)


def test_what_was_measured_is_measured_anew_if_it_is_gone(
    tmp_path: Path, tokenizer: Path, whole: dict[str, bytes]
) -> None:
    prepare_texts(tmp_path, tokenizer)
    for name in ("references.json", "overlap.json"):
        (tmp_path / name).unlink()
    prepare_texts(tmp_path, tokenizer)
    assert contents(tmp_path) | {"overlap.json": b""} == whole | {"overlap.json": b""}


def test_the_manifest_of_other_data_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    prepare_texts(tmp_path / "a", tokenizer)
    prepare_texts(tmp_path / "b", tokenizer, sentences(90, seed=2))
    for file in (tmp_path / "b").iterdir():
        if file.name != "prepared.json":
            shutil.copy(file, tmp_path / "a")
    with pytest.raises(UsageError, match=r"manifest\.json is about other data than prepared\.json"):
        prepare_texts(tmp_path / "a", tokenizer)


def test_a_folder_of_prepare_and_one_of_fetch_are_not_mixed(tmp_path: Path, tokenizer: Path) -> None:
    prepare_texts(tmp_path, tokenizer)
    with pytest.raises(UsageError, match="holds data of `pgolf data prepare`; choose another --out"):
        check_folder(tmp_path, find_source("fineweb10B_sp1024", None))
    (tmp_path / "source.json").write_text("{}")
    with pytest.raises(UsageError, match="holds data of `pgolf data fetch`; choose another --out"):
        prepare_texts(tmp_path, tokenizer)


@pytest.mark.parametrize("name", ["fineweb_val_000000.bin", "tokenizer.model"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_folder_is_replaced(
    tmp_path: Path, tokenizer: Path, whole: dict[str, bytes], name: str, damage: str
) -> None:
    prepare_texts(tmp_path, tokenizer)
    (tmp_path / name).unlink()
    if damage == "cut":
        (tmp_path / name).write_bytes(whole[name][:-2])
    lines: Lines = []
    prepare_texts(tmp_path, tokenizer, lines=lines)
    assert name in lines[0]
    assert lines[0].endswith("preparing the data again")
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("names", [["fineweb_train_000007.bin"], ["manifest.json"], ["manifest.json", "source.json"]])
def test_data_of_another_origin_is_not_touched(tmp_path: Path, tokenizer: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError, match="choose another --out"):
        prepare_texts(tmp_path, tokenizer)
    assert contents(tmp_path) == dict.fromkeys(names, b"{}")


def test_other_files_in_the_folder_stay(tmp_path: Path, tokenizer: Path, whole: dict[str, bytes]) -> None:
    (tmp_path / "README.md").write_bytes(b"mine")
    prepare_texts(tmp_path, tokenizer)
    assert contents(tmp_path) == whole | {"README.md": b"mine"}


@pytest.mark.parametrize("content", ["", "{}", '{"dropped": 3}', "\0"])
def test_a_damaged_record_of_the_origin_is_an_error(tmp_path: Path, tokenizer: Path, content: str) -> None:
    prepare_texts(tmp_path, tokenizer)
    (tmp_path / "prepared.json").write_text(content)
    with pytest.raises(UsageError, match=r"prepared\.json: .*choose another --out, or delete the folder"):
        prepare_texts(tmp_path, tokenizer)


def test_a_failed_preparation_leaves_nothing(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(DataError):
        prepare_texts(tmp_path, tokenizer, [])
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(DataError):
        prepare_texts(tmp_path / "out", tmp_path / "bad.model")
    assert contents(tmp_path) == {"bad.model": b"no model"}


def test_two_at_once_do_not_mix(tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / ".prepare").mkdir()
    with (tmp_path / ".prepare" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(UsageError, match=f"another process is preparing {tmp_path}; wait for it"):
            prepare_texts(tmp_path, tokenizer)
    prepare_texts(tmp_path, tokenizer)


def test_a_full_disk_is_an_error_and_the_same_command_works_once_there_is_room(
    small_disk: Path, tokenizer: Path, pgolf: Pgolf
) -> None:
    corpus = small_disk / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 16 * 1024))
    command = ("data", "prepare", corpus, "--out", small_disk / "out", "--tokenizer", tokenizer)
    ended = pgolf(*command, "--val-fraction", "0.3")
    assert ended.code == 6, ended.err
    assert "No space left on device" in ended.err
    assert contents(small_disk / "out") == {}
    filler.unlink()
    assert pgolf(*command, "--val-fraction", "0.3").code == 0
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    assert pgolf("data", "verify", small_disk / "out").code == 0
    (small_disk / "out" / "overlap.json").unlink()
    assert pgolf("data", "verify", small_disk / "out").code == 0
    assert pgolf(*command, "--val-fraction", "0.3").code == 0


@pytest.mark.slow
@pytest.mark.real_process
def test_kills_at_random_moments(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(3000)))
    chance = random.Random(5)

    def run(out: str, kill: signal.Signals | None = None) -> tuple[int, str]:
        """Prepare the corpus, killed at a random moment if there is a signal; return the exit code and stderr."""
        command = [sys.executable, "-m", "pgolf", "data", "prepare", str(corpus), "--vocab", "300", "--out", out]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            if kill is not None:
                time.sleep(chance.uniform(0, seconds))
                process.send_signal(kill)
            err = process.communicate()[1].decode()
            return process.returncode, err

    begin = time.monotonic()
    assert run("0/shards")[0] == 0
    seconds = time.monotonic() - begin
    whole = contents(tmp_path / "0/shards")
    for number in range(1, 11):
        out = f"{number}/shards"  # the name of the folder is in the manifest
        assert run(out, signal.SIGKILL)[0] in (0, -signal.SIGKILL)
        code, err = run(out, signal.SIGINT)
        assert code in (0, 130, -signal.SIGINT), err  # the last before the first line of pgolf
        code, err = run(out)
        assert code == 0, err
        assert contents(tmp_path / out) == whole
