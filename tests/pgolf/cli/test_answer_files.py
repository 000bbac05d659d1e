"""--out: files are whole or as they were, links and permissions stay, and pipes are written into."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pgolf.bundle.whole_folder import write_folder
from pgolf.cli.answer_files import create_answer, write_answer
from pgolf.errors import MachineError, UsageError

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
