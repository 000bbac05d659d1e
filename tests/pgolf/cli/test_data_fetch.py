"""`pgolf data fetch` and `list` as commands: processes, exit codes, streams, kill -9."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Pgolf
from tests.pgolf.cli.test_start import imported_by
from tests.pgolf.data.hub_server import Fault, LocalHub, serving
from tests.pgolf.data.published import KNOWN, OFFICIAL, VARIANT, Published, shard

REPOSITORY = "someone/data"
LARGE = "fineweb_train_000001.bin"
STORED = f"/storage/{REPOSITORY}/datasets/datasets/{VARIANT}/{LARGE}"
LARGE_BYTES = 3_000_000


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    published = Published(tmp_path_factory.mktemp("published"))
    published.files[LARGE] = shard([1, *[5] * 999] * (LARGE_BYTES // 2000))
    return published


@pytest.fixture
def hub(published: Published) -> Iterator[LocalHub]:
    with serving() as hub:
        hub.repositories = {REPOSITORY: published.official(VARIANT), OFFICIAL: published.official(KNOWN)}
        yield hub


def arguments(hub: LocalHub, *more: str) -> list[str]:
    return ["data", "fetch", VARIANT, "--from", REPOSITORY, "--endpoint", hub.address, "--train-shards", "2", *more]


def test_fetch_verify_and_list(pgolf: Pgolf, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("HF_HOME", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    ended = pgolf(*arguments(hub, "--json"), cwd=work)
    assert ended.code == 0, ended.err
    manifest = json.loads((work / "data" / VARIANT / "manifest.json").read_text())
    assert {key: ended.json[key] for key in manifest} == manifest
    assert ended.json["source"]["revision"] == hub.revision(REPOSITORY)
    assert ended.json["folder"] == f"data/{VARIANT}"
    assert "not the contest's data" in ended.json["notes"][0]
    assert f"{LARGE}: {LARGE_BYTES + 1024:,} bytes, checksum matches" in ended.err
    assert pgolf("data", "verify", f"data/{VARIANT}", cwd=work).code == 0
    assert [*home.rglob("*")] == []
    assert {path.name for path in work.iterdir()} == {"data"}
    people = pgolf(*arguments(hub), cwd=work)
    assert people.code == 0
    assert f"use it with recipe.data: {{kind: shards, folder: data/{VARIANT}}}" in people.out
    assert len(hub.downloads(LARGE)) == 1


def test_list_shows_known_exports_and_local_revisions(pgolf: Pgolf, tmp_path: Path) -> None:
    folder = tmp_path / "data" / KNOWN
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "source.json").write_text('{"revision": "0123456789abcdef"}')
    rows = {row["name"]: row for row in pgolf("data", "list", "--json").json["exports"]}
    assert rows[KNOWN]["repository"] == OFFICIAL
    assert rows[KNOWN]["revision_here"] == "0123456789abcdef"
    assert rows["fineweb10B_sp8192"]["vocabulary_size"] == 8192
    assert rows["fineweb10B_sp8192"]["revision_here"] is None
    shown = pgolf("data", "list")
    assert "0123456" in shown.out
    assert "LightSpeedUp/parameter-golf-data" in shown.out


def start_stalled_fetch(hub: LocalHub, folder: Path) -> subprocess.Popen[str]:
    """Start a fetch that stalls after 2,000,000 bytes of the large shard."""
    hub.order(STORED, Fault("stall", 2_000_000))
    command = [sys.executable, "-m", "pgolf", *arguments(hub)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert hub.stalled.wait(60)
    return process


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_fetch_is_finished_by_the_same_command(
    pgolf: Pgolf, hub: LocalHub, tmp_path: Path, kill: signal.Signals
) -> None:
    process = start_stalled_fetch(hub, tmp_path)
    process.send_signal(kill)
    out, err = process.communicate(timeout=30)
    assert not (tmp_path / "data" / VARIANT / "manifest.json").exists()
    if kill == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command resumes it" in err
        assert "Traceback" not in err
        assert out == ""
    hub.asked.clear()
    assert pgolf(*arguments(hub)).code == 0
    assert len(hub.downloads(LARGE)) == 1
    assert not hub.downloads("fineweb_val_000000.bin")
    assert pgolf("data", "verify", f"data/{VARIANT}").code == 0
    assert not (tmp_path / "data" / VARIANT / ".fetch").exists()


def test_a_second_fetch_into_the_same_folder_is_refused(pgolf: Pgolf, hub: LocalHub, tmp_path: Path) -> None:
    process = start_stalled_fetch(hub, tmp_path)
    second = pgolf(*arguments(hub))
    process.kill()
    process.communicate(timeout=30)
    assert second.code == 2
    assert f"another process is fetching into data/{VARIANT}; wait for it" in second.err


@pytest.mark.real_process  # huggingface_hub reads these variables when it is imported
def test_the_token_goes_to_the_hub_of_the_environment_and_to_no_other_host(hub: LocalHub, tmp_path: Path) -> None:
    words = [word for word in arguments(hub) if word not in ("--endpoint", hub.address)]
    settings = os.environ | {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_secret", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pgolf", *words]
    ended = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    to_storage = {asked.authorization for asked in hub.asked if asked.path.startswith("/storage/")}
    to_hub = {asked.authorization for asked in hub.asked if not asked.path.startswith("/storage/")}
    assert (to_hub, to_storage) == ({"Bearer hf_secret"}, {None})
    assert not [asked.path for asked in hub.asked if REPOSITORY not in asked.path], "asked for what was not wanted"


def test_the_library_is_imported_by_a_fetch_only() -> None:
    heavy = {"huggingface_hub", "httpx2", "hf_xet"}
    assert imported_by("import pgolf.cli.data, pgolf.data.prepare").isdisjoint(heavy)


def test_a_known_name_with_another_text_is_refused(pgolf: Pgolf, hub: LocalHub) -> None:
    ended = pgolf("data", "fetch", KNOWN, "--endpoint", hub.address)
    assert ended.code == 5
    assert ended.out == ""
    assert "62,021,632 to 62,021,845" in ended.err
    assert not hub.downloads(".bin")


def test_the_leaky_export_is_refused_by_name(pgolf: Pgolf, hub: LocalHub, tmp_path: Path) -> None:
    files = hub.repositories[REPOSITORY]
    at = f"datasets/datasets/{VARIANT}/fineweb_val_000000.bin"
    rest = (len(files[at.replace("0.bin", "1.bin")]) - 1024) // 2
    files[at] = bytes(1024 + 2 * (9_662_464 - rest))
    ended = pgolf(*arguments(hub))
    assert ended.code == 5
    assert "9,662,464 validation tokens: this is the leaky CaseOps export" in " ".join(ended.err.split())
    assert [*tmp_path.rglob("*")] == []


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["fineweb10B_sp102"], 2, "did you mean `fineweb10B_sp1024`?"),
        ([VARIANT, "--from", "someone/date"], 5, "dataset someone/date"),
        ([VARIANT, "--from", REPOSITORY, "--train-shards", "9"], 2, "has 4 training shards"),
    ],
)
def test_errors_have_their_exit_code_and_no_traceback(
    pgolf: Pgolf, hub: LocalHub, command: list[str], code: int, words: str
) -> None:
    ended = pgolf("data", "fetch", *command, "--endpoint", hub.address)
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_a_terminal_gets_one_bar_and_no_other(hub: LocalHub, tmp_path: Path) -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "pgolf", *arguments(hub)]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        with os.fdopen(master, "rb", buffering=0) as terminal:
            while chunk := read_terminal(terminal.fileno()):  # at once: a terminal holds 4 KB, then its writer waits
                shown += chunk
    assert process.returncode == 0
    assert b"MB" in shown
    assert b"%|" not in shown  # how tqdm draws


def read_terminal(number: int) -> bytes:
    try:
        return os.read(number, 65_536)
    except OSError:  # EIO: the writing end is closed
        return b""
