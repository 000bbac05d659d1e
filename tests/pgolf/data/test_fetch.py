"""Fetching exports over real HTTP from a local hub: complete, resumed, damaged, leaky."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from email.utils import formatdate
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sentencepiece
from huggingface_hub import constants

from pgolf.data import downloads, hub_client
from pgolf.data.fetch import Fetched, FetchRequest, fetch
from pgolf.data.hub import HubRepository
from pgolf.data.verify import check_files, verify_contents
from pgolf.errors import DataError, MachineError, UsageError
from pgolf.findings import failures
from pgolf.rulesets.ruleset import Ruleset
from tests.pgolf.data.builders import raw_documents, raw_manifest, raw_shard, sentences
from tests.pgolf.data.caseops import bytes_one_by_one, capitalised
from tests.pgolf.data.hub_server import Asked, Fault, LocalHub, serving
from tests.pgolf.data.kills import killed_at
from tests.pgolf.data.published import KNOWN, OFFICIAL, TOKENIZER, Published, shard
from trainer.evaluation.validation import read_validation
from trainer.recipe.files import DataFiles

TRAIN = "fineweb_train_000000.bin"
AT = f"datasets/datasets/{KNOWN}/"
STORED = f"/storage/{OFFICIAL}/{AT}{TRAIN}"
FILES = {
    "manifest.json", "source.json", "tokenizer.model", "fineweb_val_000000.bin", "fineweb_val_000001.bin",
}  # fmt: skip


class Recorder:
    """A display that records."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.total = self.received = self.arrived = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def expect(self, total_bytes: int) -> None:
        self.total = total_bytes

    def start(self, name: str) -> None:
        self.arrived = 0

    def advance(self, count: int) -> None:
        self.arrived += count

    def finish(self, name: str, size: int) -> None:
        assert self.arrived >= size
        self.received += size


class Fetching(NamedTuple):
    """A hub with the challenge's export, and a folder to fetch it into."""

    hub: LocalHub
    published: Published
    out: Path
    display: Recorder

    def __call__(self, shards: int | None = 2, rules: Ruleset | None = None, **options: Any) -> Fetched:
        settings: dict[str, Any] = {
            "name": KNOWN,
            "out": self.out,
            "train_shards": shards,
            "endpoint": self.hub.address,
        } | options
        return fetch(FetchRequest(**settings), rules or self.published.rules, self.display)

    def refused(self, kind: type[Exception] = DataError, **options: Any) -> str:
        """Return the message of a refused fetch, which must leave no manifest."""
        with pytest.raises(kind) as caught:
            self(**options)
        assert not (self.out / "manifest.json").exists()
        return str(caught.value)

    def add(self, name: str, content: bytes) -> None:
        self.hub.repositories[OFFICIAL][AT + name] = content

    def sent(self, name: str) -> list[Asked]:
        return self.hub.downloads(name)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def running_hub() -> Iterator[LocalHub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def fetching(running_hub: LocalHub, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetching:
    monkeypatch.setattr(hub_client, "PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(downloads, "MARGIN_BYTES", 0)
    running_hub.repositories = {OFFICIAL: published.official(KNOWN)}
    running_hub.faults, running_hub.refusals, running_hub.asked = {}, {}, []
    running_hub.page_entries, running_hub.foreign_page, running_hub.is_xet = 3, None, False
    return Fetching(running_hub, published, tmp_path / KNOWN, Recorder())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_fetched_folder_passes_all_checks(fetching: Fetching) -> None:
    fetched = fetching(shards=4)
    assert names(fetching.out) == FILES | {f"fineweb_train_{number:06d}.bin" for number in range(4)}
    assert check_files(fetching.out).sha256 == fetched.manifest.sha256
    assert failures(verify_contents(fetching.out).findings) == []
    original = fetching.published.manifest
    for found, expected in (
        (fetched.manifest.train, original.train),
        (fetched.manifest.validation, original.validation),
    ):
        assert (found.documents, found.tokens, found.bytes) == (expected.documents, expected.tokens, expected.bytes)
    assert fetched.manifest.name == KNOWN
    assert fetched.notes == []
    assert fetching.display.received == fetching.display.total > 0


def test_the_source_names_commit_and_files_and_is_not_in_the_hash(fetching: Fetching) -> None:
    fetched = fetching()
    source = json.loads((fetching.out / "source.json").read_text())
    assert source == fetched.source
    assert (source["repository"], source["endpoint"]) == (OFFICIAL, fetching.hub.address)
    assert source["revision"] == fetching.hub.revision(OFFICIAL)
    assert source["files"]["tokenizer.model"]["path"] == f"datasets/{TOKENIZER}"
    fetching.hub.repositories[OFFICIAL]["README.md"] = b"changed"
    again = fetching()
    assert again.source["revision"] != source["revision"]
    assert again.manifest.sha256 == fetched.manifest.sha256


def test_validation_and_tokenizer_come_before_the_first_training_shards(fetching: Fetching) -> None:
    fetching(shards=1)
    order = [asked.path.rpartition("/")[2] for asked in fetching.hub.asked if asked.path.startswith("/storage/")]
    assert order == ["fineweb_val_000000.bin", "fineweb_val_000001.bin", "fineweb_300_bpe.model", TRAIN]


def test_more_shards_later_fetch_only_the_new_ones(fetching: Fetching) -> None:
    first = fetching(shards=1)
    fetching.hub.asked.clear()
    second = fetching(shards=3)
    assert [len(fetching.sent(f"fineweb_train_{number:06d}.bin")) for number in range(4)] == [0, 1, 1, 0]
    assert not fetching.sent("fineweb_val_000000.bin")
    assert len(first.manifest.train.shards) == 1
    assert [entry["file"] for entry in raw_manifest(fetching.out)["train"]["shards"]] == [
        f"fineweb_train_{number:06d}.bin" for number in range(3)
    ]
    assert second.manifest.train.tokens == sum(1 + len(d) for d in raw_documents(fetching.out, "train"))


def test_without_a_number_all_shards_are_fetched_if_there_are_fewer_than_eighty(fetching: Fetching) -> None:
    assert len(fetching(shards=None).manifest.train.shards) == 4


@pytest.mark.parametrize("shards", [0, -1, 5])
def test_an_invalid_number_of_shards_is_refused_with_how_many_there_are(fetching: Fetching, shards: int) -> None:
    assert "has 4 training shards" in fetching.refused(UsageError, shards=shards)
    assert not fetching.out.exists()


@pytest.mark.parametrize("root", ["datasets/", ""])
def test_the_tokenizer_is_found_from_either_root(fetching: Fetching, root: str) -> None:
    fetching.hub.repositories[OFFICIAL] = fetching.published.official(KNOWN, tokenizer_root=root)
    assert fetching(shards=1).manifest.tokenizer.vocabulary_size == 300


def test_a_folder_without_a_manifest_of_its_own_is_read(fetching: Fetching) -> None:
    fetching.hub.repositories["someone/data"] = fetching.published.folder("fineweb_sp300")
    fetched = fetching(name="fineweb_sp300", repository="someone/data")
    assert fetched.manifest.train.shards[1].file == "fineweb_train_000001.bin"
    assert failures(verify_contents(fetching.out).findings) == []
    text = fetching.published.rules.model_copy(update={"validation_bytes": 10**9})
    (note,) = fetching(name="fineweb_sp300", repository="someone/data", rules=text).notes
    assert "not the contest's data" in note


def test_the_token_is_not_sent_to_a_hub_named_on_the_command_line(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetching()
    assert {asked.authorization for asked in fetching.hub.asked} == {None}


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "longer"])
def test_a_damaged_local_file_is_fetched_again_and_the_others_are_not(fetching: Fetching, damage: str) -> None:
    fetching()
    file = fetching.out / TRAIN
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    right = file.read_bytes()
    wrong: dict[str, bytes] = {
        "empty": b"", "cut": right[:-2], "flipped": bytes(content), "longer": right + b"ab"
    }  # fmt: skip
    file.write_bytes(wrong[damage])
    fetching.hub.asked.clear()
    fetching()
    assert file.read_bytes() == right
    assert [asked.path.rpartition("/")[2] for asked in fetching.hub.asked if "/storage/" in asked.path] == [TRAIN]


def test_files_of_another_downloader_are_checked_and_kept(fetching: Fetching) -> None:
    fetching.out.mkdir()
    for name in (TRAIN, "fineweb_val_000000.bin"):
        (fetching.out / name).write_bytes(fetching.published.files[name])
    (fetching.out / "fineweb_val_000001.bin").touch()
    fetching()
    assert [len(fetching.sent(name)) for name in (TRAIN, "fineweb_val_000000.bin", "fineweb_val_000001.bin")] == [
        0,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        ([Fault("cut", 700)], [None, "bytes=700-"]),
        ([Fault("reset", 700)], [None, "bytes=700-"]),
        ([Fault("cut", 700), Fault("cut", 300), Fault("cut", 0)], [None, "bytes=700-", "bytes=1000-", "bytes=1000-"]),
        ([Fault("short", 0)], [None, None]),
        ([Fault("short", 40)], [None, None]),
        ([Fault("longer", 2)], [None, None]),
        ([Fault("flip", 1500)], [None, None]),
        ([Fault("cut", 700), Fault("whole")], [None, "bytes=700-"]),
        ([Fault("cut", 700), Fault("shifted", 8)], [None, "bytes=700-", None]),
        ([Fault("status", 500), Fault("status", 503)], [None, None, None]),
        ([Fault("cut", 700), Fault("status", 503)], [None, "bytes=700-", "bytes=700-"]),
        ([Fault("status", 429), Fault("cut", 10), Fault("status", 502)], [None, None, "bytes=10-", "bytes=10-"]),
    ],
    ids=[
        "cut", "reset", "cut thrice", "empty", "short", "long", "flipped", "no ranges", "shifted", "5xx", "503", "all",
    ],
)  # fmt: skip
def test_a_transient_failure_is_repaired(fetching: Fetching, faults: list[Fault], ranges: list[str | None]) -> None:
    fetching.hub.order(STORED, *faults)
    fetching()
    assert [asked.range for asked in fetching.sent(TRAIN)] == ranges
    assert (fetching.out / TRAIN).read_bytes() == fetching.published.files[TRAIN]
    assert fetching.display.received == fetching.display.total
    words = ("trying again", "resuming", "downloading it again")
    told = sum(any(word in line for word in words) for line in fetching.display.lines)
    assert told == sum(fault.kind != "whole" for fault in faults)
    assert names(fetching.out) == FILES | {TRAIN, "fineweb_train_000001.bin"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", 503), "HTTP status 503. Complete files are kept"),
        (Fault("cut", 0), "Complete files are kept"),
        (Fault("short", 0), "has size 0"),
        (Fault("longer", 2), "should be of size"),
        (Fault("flip", 1500), "found sha256"),
    ],
)
def test_a_lasting_failure_is_an_error_and_complete_files_are_kept(
    fetching: Fetching, fault: Fault, words: str
) -> None:
    fetching.hub.order(STORED, *[fault] * 20)
    message = fetching.refused()
    assert f"{OFFICIAL}: {AT}{TRAIN}: " in message
    assert words in message
    assert "run the same command again" in message
    assert names(fetching.out) == FILES - {"manifest.json"}
    fetching.hub.faults.clear()
    fetching.hub.asked.clear()
    fetching()
    assert [len(fetching.sent(name)) for name in (TRAIN, "fineweb_val_000000.bin")] == [1, 0]
    assert failures(verify_contents(fetching.out).findings) == []


def test_the_error_of_a_flipped_bit_has_both_checksums(fetching: Fetching) -> None:
    content = bytearray(fetching.published.files[TRAIN])
    content[1500] ^= 1
    fetching.hub.order(STORED, *[Fault("flip", 1500)] * 3)
    message = fetching.refused()
    for each in (content, fetching.published.files[TRAIN]):
        assert hashlib.sha256(each).hexdigest()[:12] in message


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds of each sleep, which takes no time."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.mark.parametrize(
    ("status", "form", "place"),
    [
        (429, "RateLimit", f"resolve/{{}}/{AT}{TRAIN}"),
        (429, "seconds", STORED),
        (429, "date", STORED),
        (503, "date", f"resolve/{{}}/{AT}{TRAIN}"),
        (503, "seconds", "/tree/{}/" + AT.rstrip("/")),
        (503, "RateLimit", f"/api/datasets/{OFFICIAL}"),
    ],
)
def test_a_busy_hub_is_waited_for_as_long_as_it_asks(
    fetching: Fetching, slept: list[float], status: int, form: str, place: str
) -> None:
    headers = {
        "RateLimit": ("RateLimit", '"resolvers";r=0;t=20'),
        "seconds": ("Retry-After", "20"),
        "date": ("Retry-After", formatdate(time.time() + 20, usegmt=True)),
    }
    fetching.hub.order(place.format(fetching.hub.revision(OFFICIAL)), Fault("status", status, (headers[form],)))
    fetching()
    (waited,) = slept
    assert 19 <= waited <= 20
    (line,) = (line for line in fetching.display.lines if "asks to wait" in line)
    assert line.startswith(f"the hub asks to wait {waited:g} s (HTTP status {status})")


def test_too_long_a_wait_is_an_error_that_says_how_long(fetching: Fetching, slept: list[float]) -> None:
    fetching.hub.order(STORED, Fault("status", 429, (("Retry-After", "7200"),)))
    assert "HTTP status 429, and the hub asks to wait 7,200 s" in fetching.refused()
    assert slept == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"RateLimit": '"resolvers";r=0;t=20'}, 20),
        ({"RateLimit": '"api" ; t = 7 ; r = 0'}, 7),
        ({"RateLimit": '"api";r=12;t=300, "resolvers";r=0;t=20'}, 20),
        ({"RateLimit": '"api";r=0;t=40,"resolvers";r=0;t=20'}, 40),
        ({"RateLimit": '"api";r=10;t=40'}, 0),
        ({"RateLimit": "no"}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": ""}, 0),
        ({"Retry-After": "5", "RateLimit": '"api";r=0;t=9'}, 9),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0),
        ({"Retry-After": "Fri, 31 Dec 99999999 23:59:59 GMT"}, 0),
        ({"Retry-After": "Fri, 99 Dec 2015 99:99:99 GMT", "Date": "Fri, 31 Dec 99999999 23:59:59 GMT"}, 0),
        ({"Retry-After": "Wednesday, 21-Oct-15 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
    ],
)
def test_every_form_of_asking_for_a_wait(headers: dict[str, str], seconds: float) -> None:
    assert hub_client.asked_seconds(headers) == seconds


def test_a_version_of_huggingface_hub_without_its_locks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("huggingface_hub.utils._fixes.FileLock")
    with pytest.raises(DataError, match=r"^huggingface_hub \d+\.\S+ is not supported"):
        hub_client.configure_huggingface_hub(pytest.fail)


def test_files_that_xet_stores_are_downloaded_without_it(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    fetching.hub.is_xet = True
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    fetching()
    assert (fetching.out / TRAIN).read_bytes() == fetching.published.files[TRAIN]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_files_are_downloaded_where_there_is_no_flock(
    fetching: Fetching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    repository = HubRepository(OFFICIAL, fetching.hub.address, fetching.display.say)
    monkeypatch.setattr(fcntl, "flock", refuse)
    file = next(file for file in repository.list_files(AT.rstrip("/")) if file.name == TRAIN)
    assert repository.download(file, tmp_path / "files").read_bytes() == fetching.published.files[TRAIN]


def test_offline_mode_is_an_error_that_names_its_variable(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "unset HF_HUB_OFFLINE" in fetching.refused()
    assert fetching.hub.asked == []


def test_a_complete_folder_is_recognized(fetching: Fetching) -> None:
    first = fetching()
    fetching.display.lines.clear()
    fetching.hub.asked.clear()
    again = fetching()
    assert (again.manifest, again.source, again.notes) == (first.manifest, first.source, first.notes)
    assert fetching.display.lines == [f"{fetching.out} is complete: 5 files have the hub's checksums"]
    assert not fetching.sent("")


def test_what_a_killed_fetch_left_is_removed(fetching: Fetching) -> None:
    leftover = fetching.out / ".fetch" / "files" / "datasets" / "half.incomplete"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    fetching()
    assert names(fetching.out) == FILES | {TRAIN, "fineweb_train_000001.bin"}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["replace", "mkdir"])
def test_a_kill_at_any_step_is_repaired_by_the_same_command(fetching: Fetching, method: str) -> None:
    fetch_one = partial(Fetching.__call__, fetching, shards=1)
    fetch_one()
    whole = {path.name: path.read_bytes() for path in fetching.out.iterdir()}
    for step in count():
        shutil.rmtree(fetching.out)
        was_killed = killed_at(step, method, fetch_one)
        if (fetching.out / "manifest.json").exists():
            check_files(fetching.out)
        if was_killed:
            fetch_one()
        assert {path.name: path.read_bytes() for path in fetching.out.iterdir()} == whole
        if not was_killed:
            break
    assert step >= 10


def test_a_disk_that_fills_up_is_an_error_and_complete_files_are_kept(
    fetching: Fetching, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = small_disk / KNOWN
    usage = shutil.disk_usage(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(usage.free - 48 * 1024))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)  # as it was at the start
    message = fetching.refused(MachineError, out=out, shards=4)
    assert f"{out}/.fetch/files: No space left on device. Complete files are kept" in message
    assert "fineweb_val_000000.bin" in names(out)
    assert ".fetch" not in names(out)
    filler.unlink()
    fetching(out=out, shards=4)
    assert failures(verify_contents(out).findings) == []


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "", "not readable without a login"),
        (401, "GatedRepo", "Accept its conditions"),
        (403, "GatedRepo", "Accept its conditions"),
        (403, "", "no permission to read"),
        (404, "RepoNotFound", "Check the spelling"),
        (418, "", "refused the request (418)"),
    ],
)
def test_each_refusal_has_its_own_explanation(fetching: Fetching, status: int, code: str, words: str) -> None:
    fetching.hub.refusals[OFFICIAL] = status, code
    message = fetching.refused()
    assert message.startswith(f"dataset {OFFICIAL} at {fetching.hub.address}: ")
    assert words in message
    assert not fetching.out.exists()


def test_a_missing_file_is_an_error_that_names_it(fetching: Fetching) -> None:
    fetching.hub.order(TRAIN, Fault("status", 404))
    message = fetching.refused()
    assert f"{OFFICIAL}: {AT}{TRAIN}: not found (404)" in message


def test_an_unreachable_hub_is_an_error_without_a_traceback(fetching: Fetching) -> None:
    message = fetching.refused(endpoint="http://127.0.0.1:9")
    assert "no answer" in message
    with pytest.raises(UsageError, match="--endpoint"):
        fetching(endpoint="ftp://there")


@pytest.mark.parametrize("page", [b"<html>log in</html>", b"[]", b'{"sha": 3}'])
def test_a_server_that_is_not_a_hub_is_recognized(fetching: Fetching, page: bytes) -> None:
    fetching.hub.foreign_page = page
    with pytest.raises(DataError, match="--endpoint"):
        fetching()


def test_the_error_of_an_unknown_name_suggests_the_nearest(fetching: Fetching) -> None:
    message = fetching.refused(UsageError, name="fineweb10B_sp124")
    assert "did you mean `fineweb10B_sp1024`?" in message
    assert "fineweb_sp12288" in message
    assert "did you mean" in fetching.refused(name="fineweb10B_sp124", repository=OFFICIAL)
    for name, repository in (("../x", None), (KNOWN, "no-slash"), (KNOWN, "a/b/c")):
        fetching.refused(UsageError, name=name, repository=repository)
    assert not fetching.hub.downloads("")


def test_a_tokenizer_that_is_not_sentencepiece_is_refused(fetching: Fetching) -> None:
    files = fetching.hub.repositories[OFFICIAL]
    files |= {path.replace(KNOWN, "another"): content for path, content in files.items()}
    assert "SentencePiece" in fetching.refused(name="another", repository=OFFICIAL)
    fetching.hub.repositories["someone/data"] = {
        path: content for path, content in fetching.published.folder("byte260").items() if "model" not in path
    }
    assert "SentencePiece" in fetching.refused(name="byte260", repository="someone/data")
    assert not fetching.hub.downloads("")


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({AT + TRAIN: b""}, "the repository lists 0 bytes"),
        ({AT + TRAIN: shard([1, 5])[:-1]}, "the repository lists 1,027 bytes"),
        ({AT + "fineweb_val_000000.bin": None}, "found fineweb_val shards [1], expected all from 0 on"),
        ({AT + "fineweb_val_000001.bin": None}, "has 2 validation shards by the manifest, found 1"),
        ({AT + f"fineweb_train_{number:06d}.bin": None for number in range(4)}, "found no fineweb_train"),
        ({f"datasets/{TOKENIZER}": None}, "which datasets/manifest.json names"),
        ({"datasets/manifest.json": None}, "has no datasets/manifest.json"),
        ({"datasets/manifest.json": b"{}"}, "expected an object with `datasets`"),
    ],
)
def test_an_incomplete_repository_is_refused_before_any_shard(
    fetching: Fetching, spoilt: dict[str, bytes | None], words: str
) -> None:
    files: dict[str, bytes | None] = {**fetching.hub.repositories[OFFICIAL], **spoilt}
    fetching.hub.repositories[OFFICIAL] = {path: content for path, content in files.items() if content is not None}
    assert words in fetching.refused()
    assert not fetching.hub.downloads(".bin")


def test_training_shards_end_before_the_first_missing_one(fetching: Fetching) -> None:
    del fetching.hub.repositories[OFFICIAL][AT + "fineweb_train_000002.bin"]
    assert "has 2 training shards" in fetching.refused(UsageError, shards=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0" * 2048, "is not a token shard"),
        (shard([1, 5, 6])[:-2], "the header says 3 tokens"),
        (shard([1, 5, 900]), "token 900 is not one of the tokenizer's 300 pieces"),
        (shard([5, 6, 7]), "expected the begin-of-document token"),
    ],
)
def test_a_shard_that_the_hub_holds_damaged_is_named(fetching: Fetching, content: bytes, words: str) -> None:
    fetching.add(TRAIN, content)
    message = fetching.refused(shards=1)
    assert words in message
    assert TRAIN in message


def test_a_disk_too_small_is_an_error_before_the_first_byte(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(fetching.out.parent)
    monkeypatch.setattr(downloads, "MARGIN_BYTES", 1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=20_000))
    message = fetching.refused(MachineError, shards=4)
    total = sum(map(len, fetching.published.files.values())) + len(fetching.published.model)
    assert f"{total:,} bytes" in message
    assert "the disk has 20,000" in message
    assert not fetching.hub.downloads("")


def test_room_is_needed_only_for_what_is_missing(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetching()
    sent = len(fetching.sent(""))
    usage = shutil.disk_usage(fetching.out)
    monkeypatch.setattr(downloads, "MARGIN_BYTES", 1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    assert fetching().manifest.sha256 == first.manifest.sha256
    assert len(fetching.sent("")) == sent
    with pytest.raises(MachineError, match="the disk has 0"):
        fetching(shards=3)


def test_other_data_in_the_folder_is_left_alone(fetching: Fetching, published: Published) -> None:
    fetching.out.mkdir()
    (fetching.out / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="`pgolf data fetch` did not write"):
        fetching()
    (fetching.out / "manifest.json").unlink()
    fetching()
    fetching.hub.repositories["someone/else"] = published.official(KNOWN)
    with pytest.raises(UsageError, match=f"holds {KNOWN} of {OFFICIAL}"):
        fetching(repository="someone/else")
    assert check_files(fetching.out).name == KNOWN


@pytest.mark.parametrize("tokens", [9_662_464, 9_662_464 + 2_048])
def test_the_leaky_export_is_recognized_by_its_validation_tokens(fetching: Fetching, tokens: int) -> None:
    del fetching.hub.repositories[OFFICIAL][AT + "fineweb_val_000001.bin"]
    fetching.hub.repositories[OFFICIAL]["datasets/manifest.json"] = fetching.published.official(KNOWN, files_val=1)[
        "datasets/manifest.json"
    ]
    fetching.add("fineweb_val_000000.bin", shard([1])[:1024] + bytes(2 * tokens))
    message = fetching.refused()
    assert f"{tokens:,} validation tokens" in message
    assert "--val-docs=10000" in message
    assert "40,000 of the 50,000" in message
    assert not fetching.hub.downloads(".bin")


@pytest.mark.parametrize("shards", [1499, 1502])
@pytest.mark.parametrize("way", ["announced", "listed"])
def test_the_leaky_export_is_recognized_by_its_training_shards(fetching: Fetching, shards: int, way: str) -> None:
    if way == "announced":
        fetching.hub.repositories[OFFICIAL] = fetching.published.official(KNOWN, files_train=shards)
    else:
        fetching.hub.page_entries = 500
        for number in range(shards):
            fetching.add(f"fineweb_train_{number:06d}.bin", shard([1, 5]))
    message = fetching.refused(shards=1)
    assert f"{shards:,} training shards: this is the leaky CaseOps export" in message
    assert not fetching.hub.downloads(".bin")


def test_a_leak_deletes_the_manifest_of_an_earlier_fetch(fetching: Fetching) -> None:
    fetching()
    fetching.hub.repositories[OFFICIAL] = fetching.published.official(KNOWN, files_train=1499)
    assert "leaky" in fetching.refused()


def test_a_different_number_of_validation_tokens_is_refused_for_a_known_name(fetching: Fetching) -> None:
    fetching.add("fineweb_val_000001.bin", shard([1, 5, 6]))
    message = fetching.refused()
    expected = fetching.published.manifest.validation.tokens
    assert f"found {expected:,} validation tokens" not in message
    assert f"{expected - 9:,} to {expected:,}" in message
    assert not fetching.hub.downloads(".bin")


@pytest.mark.parametrize(("off", "is_refused"), [(1.0005, False), (0.9995, False), (1.002, True), (0.998, True)])
def test_another_validation_text_is_refused_before_training_shards(
    fetching: Fetching, off: float, is_refused: bool
) -> None:
    rules = fetching.published.rules
    rules = rules.model_copy(update={"validation_bytes": round(off * (rules.validation_bytes or 0))})
    if not is_refused:
        fetching(rules=rules)
        return
    message = fetching.refused(rules=rules)
    assert f"{fetching.published.manifest.validation.bytes:,} bytes of validation text" in message
    assert fetching.sent("fineweb_val_000001.bin")
    assert not fetching.sent(TRAIN)


def test_the_older_export_is_refused_by_name(fetching: Fetching) -> None:
    rules = fetching.published.rules
    leak, older = rules.refused_exports
    by_text = older.model_copy(update={"validation_bytes": rules.validation_bytes})
    assert "the older sp1024 export" in fetching.refused(rules=rules.model_copy(update={"refused_exports": [by_text]}))
    by_tokens = older.model_copy(update={"validation_tokens": fetching.published.manifest.validation.tokens - 100})
    message = fetching.refused(rules=rules.model_copy(update={"refused_exports": [leak, by_tokens]}))
    assert "155.77 MB in 63,779,840 tokens" in message


def test_a_tokenizer_of_another_size_is_refused_for_a_known_name(fetching: Fetching) -> None:
    rules = fetching.published.rules
    facts = rules.data[KNOWN].model_copy(update={"vocabulary_size": 301})
    message = fetching.refused(rules=rules.model_copy(update={"data": {KNOWN: facts}}))
    assert "found 300 pieces, expected 301" in message
    assert not fetching.sent(TRAIN)


@pytest.fixture(scope="module")
def published_caseops(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("caseops"), capitalised(sentences(150)), "caseops")


def with_sidecars(fetching: Fetching, caseops: Published, pieces: int = 2) -> list[int]:
    """Replace the hub's export by one of CaseOps text, and return the bytes that its tokens stand for."""
    caseops_files = caseops.official(KNOWN)
    fetching.hub.repositories[OFFICIAL].clear()
    fetching.hub.repositories[OFFICIAL].update(caseops_files)
    model = sentencepiece.SentencePieceProcessor(model_proto=caseops.model)
    shards = [raw_shard(caseops.files[f"fineweb_val_{number:06d}.bin"]) for number in range(2)]
    counts = bytes_one_by_one(model, [token for tokens in shards for token in tokens])
    for number, part in enumerate([counts[: len(shards[0])], counts[len(shards[0]) :]][:pieces]):
        fetching.add(f"fineweb_val_bytes_{number:06d}.bin", shard(part))
    return counts


def test_sidecars_give_the_bytes_of_the_original_text(fetching: Fetching, published_caseops: Published) -> None:
    counts = with_sidecars(fetching, published_caseops)
    fetched = fetching(rules=published_caseops.rules)
    validation = fetched.manifest.validation
    assert validation.bytes == sum(counts) == published_caseops.manifest.validation.bytes
    assert fetched.manifest.train.bytes < published_caseops.manifest.train.bytes  # two of four shards
    assert fetched.manifest.transform == "caseops"
    assert [entry.file for entry in validation.shards] == ["fineweb_val_000000.bin", "fineweb_val_000001.bin"]
    assert [entry.file for entry in validation.sidecars] == [
        "fineweb_val_bytes_000000.bin", "fineweb_val_bytes_000001.bin"
    ]  # fmt: skip
    assert "fineweb_val_bytes_000001.bin" in fetched.source["files"]
    assert failures(verify_contents(fetching.out).findings) == []
    read_validation(DataFiles(fetching.out, transform="caseops"), 300)
    again = fetching(rules=published_caseops.rules)
    assert again.manifest == fetched.manifest
    assert any("is complete" in line for line in fetching.display.lines)


def test_sidecars_of_other_shards_are_refused(fetching: Fetching, published_caseops: Published) -> None:
    counts = with_sidecars(fetching, published_caseops, pieces=1)
    rules = published_caseops.rules
    assert "1 byte sidecars for 2 validation shards" in fetching.refused(rules=rules)
    fetching.add("fineweb_val_bytes_000001.bin", shard([5, 5]))
    assert "fineweb_val_bytes_000001.bin: found bytes of 2 tokens" in fetching.refused(rules=rules)
    with_sidecars(fetching, published_caseops)
    size = (len(published_caseops.files["fineweb_val_000000.bin"]) - 1024) // 2
    first = counts[:size]
    first[5] += 1  # as many bytes more in one document as less in another
    first[first.index(max(first[-100:]), len(first) - 100)] -= 1
    fetching.add("fineweb_val_bytes_000000.bin", shard(first))
    assert "by its sidecar" in fetching.refused(rules=rules)


def test_two_fetches_into_one_folder_do_not_mix(fetching: Fetching) -> None:
    (fetching.out / ".fetch").mkdir(parents=True)
    with (fetching.out / ".fetch" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert "another process is fetching" in fetching.refused(UsageError)
    fetching()
