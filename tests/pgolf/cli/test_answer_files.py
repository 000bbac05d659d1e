"""--out: files are whole or as they were, links and permissions stay, and pipes are written into."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pgolf.bundle.whole_folder import write_folder
from pgolf.cli.answer_files import create_answer, write_answer
from pgolf.errors import MachineError, UsageError
from trainer.recipe.locks import LockOwner, lock_owner
from trainer.recipe.writing import draft_path, write_json, write_whole

# Dies before the n-th call that changes a folder or makes a file last.
DYING = """
import os, signal, sys
from pathlib import Path
count = int(sys.argv[1])
def dying(module, name):
    real = getattr(module, name)
    def call(*arguments, **options):
        global count
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(module, name, call)
for module, names in ((os, ("fsync", "fchmod")), (Path, ("replace", "rename", "mkdir", "hardlink_to", "unlink"))):
    for name in names:
        dying(module, name)
"""
FOLDER = """
from pgolf.bundle.whole_folder import write_folder
write_folder(Path(sys.argv[2]), {"last": b"3" * 9999, "first": b"1" * 9999, "second": b""}, last="last")
"""
ANSWER = """
from pgolf.cli.answer_files import write_answer
write_answer(Path(sys.argv[2]), "new" * 9999)
"""
NEW_ANSWER = """
from pgolf.cli.answer_files import create_answer
create_answer(Path(sys.argv[2]), "new" * 9999)
"""
FILES = {"last": b"3" * 9999, "first": b"1" * 9999, "second": b""}


def dies(program: str, number: int, target: Path) -> bool:
    """Return whether a program dies before its call of this number; otherwise it has ended well."""
    ended = subprocess.run(
        [sys.executable, "-c", DYING + program, str(number), target], capture_output=True, check=False
    )
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("has_folder", [False, True])
def test_a_folder_is_whole_after_a_kill_at_any_moment(has_folder: bool, tmp_path: Path) -> None:
    number = 1
    while True:
        place = tmp_path / str(number)
        place.mkdir()
        if has_folder:
            (place / "out").mkdir()
        if not dies(FOLDER, number, place / "out"):
            break
        if has_folder:
            visible = {name: text for name, text in content_of(place / "out").items() if not name.startswith(".")}
            assert all(FILES[name] == content for name, content in visible.items())
            assert "last" not in visible or visible == FILES
        else:
            assert not (place / "out").exists() or content_of(place / "out") == FILES
        write_folder(place / "out", FILES, last="last")
        assert content_of(place / "out") == FILES
        assert [path.name for path in place.iterdir()] == ["out"]
        number += 1
    assert number > 6


@pytest.mark.parametrize(("program", "before"), [(ANSWER, "old"), (ANSWER, None), (NEW_ANSWER, None)])
def test_an_answer_is_old_or_new_after_a_kill_at_any_moment(program: str, before: str | None, tmp_path: Path) -> None:
    number = 1
    while True:
        place = tmp_path / str(number)
        place.mkdir()
        out = place / "out"
        if before is not None:
            out.write_text(before)
        if not dies(program, number, out):
            break
        assert (out.read_text() if out.exists() else None) in (before, "new" * 9999)
        write_answer(out, "newest")
        assert content_of(place) == {"out": b"newest"}
        number += 1
    assert number > 2


def test_a_link_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("later")
    for name in ("link", "dangling"):
        write_answer(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert [(tmp_path / name).read_text() for name in ("real", "later")] == ["new", "new"]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    read = list[str]()
    for write in (write_answer, create_answer):
        pipe = tmp_path / write.__name__
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda pipe=pipe: read.append(pipe.read_text()), daemon=True)
        reader.start()
        write(pipe, "through")
        reader.join(10)
        assert pipe.is_fifo()
    assert read == ["through", "through"]


def test_stdout_by_name_keeps_what_a_file_held(tmp_path: Path) -> None:
    program = "from pathlib import Path; from pgolf.cli.answer_files import write_answer; "
    program += "write_answer(Path('/dev/stdout'), 'new')"
    (tmp_path / "file").write_text("old ")
    with (tmp_path / "file").open("a") as file:
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
    assert (tmp_path / "file").read_text() == "old new"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write_answer(tmp_path, "")
    with pytest.raises(UsageError, match=r"the folder .*absent is not there"):
        write_answer(tmp_path / "absent" / "a", "")
    with pytest.raises(MachineError, match=r"^/dev/full: No space left on device\. Free some space"):
        write_answer(Path("/dev/full"), "text")
    (tmp_path / "a").write_text("old")
    with pytest.raises(UsageError, match="a is already there"):
        create_answer(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_named_and_not_its_draft(tmp_path: Path) -> None:
    too_long = {"n" * 300: b""}
    with pytest.raises(OSError, match="File name too long") as caught:
        write_folder(tmp_path / "out", too_long, last="")
    assert caught.value.filename == str(tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for write in (write_answer, create_answer):
        with pytest.raises(MachineError, match=f"^{loop}: Too many levels of symbolic links"):
            write(loop, "")
    with pytest.raises(OSError, match="Too many levels"):
        write_folder(loop, FILES, last="last")


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a" * 248])
def test_the_longest_names_can_be_written(name: str, tmp_path: Path) -> None:
    create_answer(tmp_path / name, "old")
    write_answer(tmp_path / name, "new")
    write_folder(tmp_path / "in", {name: b"1"}, last=name)
    write_folder(tmp_path / "in", {name: b"2"}, last=name)
    assert content_of(tmp_path / "in") == {name: b"2"}
    shutil.rmtree(tmp_path / "in")
    assert content_of(tmp_path) == {name: b"new"}


def test_a_name_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=f"^{tmp_path}/a{{256}}: File name too long"):
        write_answer(tmp_path / ("a" * 256), "")
    with pytest.raises(OSError, match="File name too long") as caught:
        write_whole(tmp_path / ("a" * 256), b"")
    assert caught.value.filename == str(tmp_path / ("a" * 256))


def test_names_that_are_not_utf_8_keep_their_bytes(tmp_path: Path) -> None:
    write_answer(tmp_path / "a", os.fsdecode(b"runs-\xff"))
    assert (tmp_path / "a").read_bytes() == b"runs-\xff"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_file_that_is_mounted_by_itself_is_written_in_place(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("old, and longer")
    (tmp_path / "out").touch()
    program = "import sys; from pathlib import Path; from pgolf.cli.answer_files import write_answer; "
    program += "write_answer(Path(sys.argv[1]), 'new')"
    script = 'mount --bind "$1" "$2" || exit 77; exec "$3" -c "$4" "$2"'
    words = [str(tmp_path / "outside"), str(tmp_path / "out"), sys.executable, program]
    ended = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *words], capture_output=True, check=False)
    if ended.returncode == 77 or b"unshare" in ended.stderr:
        pytest.skip("this machine does not allow mounts")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "outside").read_text() == "new"


def test_the_draft_of_a_writer_elsewhere_is_removed_when_it_is_old(tmp_path: Path) -> None:
    own = draft_path(tmp_path / "a.csv").name
    here = lock_owner(os.getpid())
    elsewhere = LockOwner(here.pid, here.start, "aaaaaaaa-4026531836", "node-7.cluster")
    living, silent = (
        tmp_path / own.replace(here.file_name, elsewhere.file_name).replace(".tmp", f"{n}.tmp") for n in "12"
    )
    dead = tmp_path / own.replace(here.file_name, LockOwner(here.pid, "1", here.namespace, here.host).file_name)
    sibling = tmp_path / draft_path(tmp_path / "a.csv.b").name
    for draft in (living, silent, dead, sibling):
        draft.touch()
    os.utime(silent, (time.time() - 61, time.time() - 61))
    write_answer(tmp_path / "a.csv", "new")
    assert {*tmp_path.iterdir()} == {tmp_path / "a.csv", living, sibling}


def test_two_threads_that_write_a_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {})

    def write(length: int) -> None:
        for _ in range(150):
            write_json(path, {"text": "x" * length})

    writers = [threading.Thread(target=write, args=(length,)) for length in (10, 9999)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        json.loads(path.read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
