"""Locks with flock and without: one owner at a time, taken over from the dead only."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from tests.poor_filesystem import ANSWERS, poor_environment
from trainer.recipe import locks
from trainer.recipe.locks import (
    HeldLock,
    LockHeld,
    clear_owner,
    hold_folder,
    hold_lock,
    is_locked,
    lock_owner,
    owner_folder,
    take_folder,
    take_lock,
)
from trainer.recipe.processes import pid_namespace

HOLDER = """
import sys
from pathlib import Path
from trainer.recipe.locks import hold_lock
with hold_lock(Path(sys.argv[1]), lambda note: print(note, flush=True)):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNTER = """
import sys, time
from pathlib import Path
from trainer.recipe.locks import hold_lock
lock, counter = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(int(sys.argv[3])):
    with hold_lock(lock, lambda note: None, patience=60):
        count = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(count + 1))
"""
WRITER = """
import sys
from pathlib import Path
from trainer.recipe.writing import write_once
sys.stdin.read()
write_once(Path(sys.argv[1]), {"writer": int(sys.argv[2])})
"""


def start(program: str, *arguments: object, environment: dict[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def hold(lock: Path, environment: dict[str, str]) -> "tuple[subprocess.Popen[str], str]":
    """Return a process that holds a lock, and what it was told about it."""
    holder, said = start(HOLDER, lock, environment=environment), ""
    assert holder.stdout is not None
    while (line := holder.stdout.readline()) != "held\n":
        assert line, holder.wait()
        said += line
    return holder, said


def end(process: "subprocess.Popen[str]", *, is_killed: bool) -> None:
    if is_killed:
        process.kill()
    process.communicate()


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "ended"])
@pytest.mark.parametrize("answer", [None, *ANSWERS])
def test_one_process_holds_it_until_it_ends(answer: int | None, is_killed: bool, tmp_path: Path) -> None:
    environment = dict(os.environ) if answer is None else poor_environment(tmp_path, answer)
    lock = tmp_path / "a.lock"
    holder, said = hold(lock, environment)
    assert is_locked(lock)
    with pytest.raises(LockHeld), hold_lock(lock, pytest.fail):
        pass
    other = start(HOLDER, lock, environment=environment)
    other.communicate()
    assert other.returncode == 1
    assert is_locked(lock)
    end(holder, is_killed=is_killed)
    assert not is_locked(lock)
    end(hold(lock, environment)[0], is_killed=False)
    assert not owner_folder(lock).exists()
    if answer is None:
        assert said == ""
    else:
        assert f"has no flock ({os.strerror(answer)}); the folder a.lock.owner" in said


@pytest.mark.parametrize(("processes", "each"), [(4, 10), pytest.param(8, 200, marks=pytest.mark.slow)])
def test_without_flock_no_two_processes_are_inside_at_once(processes: int, each: int, tmp_path: Path) -> None:
    environment, counter = poor_environment(tmp_path), tmp_path / "counter"
    counter.write_text("0")
    killed = hold(tmp_path / "a.lock", environment)[0]  # all of them find a dead owner
    end(killed, is_killed=True)
    started = [start(COUNTER, tmp_path / "a.lock", counter, each, environment=environment) for _ in range(processes)]
    for process in started:
        end(process, is_killed=False)
        assert process.returncode == 0
    assert counter.read_text() == str(processes * each)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.lock", "counter", "poor_filesystem.so"]


@pytest.mark.parametrize("is_listing_old", [False, True], ids=["new listing", "old listing"])
def test_a_takeover_that_comes_second_takes_nothing(
    is_listing_old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replace the dead owner by a living one after this process has seen the dead one, before it acts on it."""
    folder, listings = owner_folder(tmp_path / "a.lock"), list[list[Path]]()
    folder.mkdir()
    dead, living = folder / f"{os.getpid()}.1.{pid_namespace()}.here", folder / lock_owner(os.getppid()).file_name
    dead.touch()

    def list_late(folder: Path) -> list[Path]:
        if len(listings) == 1:
            dead.unlink()
            living.touch()
        listings.append([*folder.iterdir()])
        return listings[0] if is_listing_old and len(listings) == 2 else listings[-1]

    monkeypatch.setattr(locks, "list_owners", list_late)
    with pytest.raises(LockHeld, match=f"process {os.getppid()} on"):
        take_folder(folder)
    assert [*folder.iterdir()] == [living]


def test_a_killed_process_leaves_no_draft_for_long(tmp_path: Path) -> None:
    draft = tmp_path / ".a.lock.owner.1999999.123.0-0.here"
    draft.mkdir()
    (draft / "1999999.123.0-0.here").touch()
    os.utime(draft, (1, 1))
    clear_owner(take_folder(owner_folder(tmp_path / "a.lock")))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("is_there_another", [True, False])
def test_a_deleted_file_is_no_lock(is_there_another: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner deletes the file and ends between open and flock of the next one."""
    lock, flock, calls = tmp_path / "a.lock", fcntl.flock, list[int]()

    def flock_late(file: IO[bytes], operation: int) -> None:
        if not calls:
            lock.unlink()
            if is_there_another:
                lock.touch()
        calls.append(operation)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    held = take_lock(lock)
    is_held = is_locked(lock)
    held.release()
    assert is_held


def test_an_owner_on_another_machine_lives_as_long_as_it_touches_its_name(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    lock.touch()
    owner_folder(lock).mkdir()
    name = owner_folder(lock) / f"{os.getpid()}.1.aaaaaaaa-4026531836.node-7.cluster"
    name.touch()
    assert is_locked(lock)
    with pytest.raises(LockHeld, match=f"process {os.getpid()} on node-7.cluster"):
        take_lock(lock)
    os.utime(name, (time.time() - 61, time.time() - 61))
    assert not is_locked(lock)
    taken = take_folder(owner_folder(lock))
    assert [*owner_folder(lock).iterdir()] == [taken]
    clear_owner(taken)


def test_a_later_process_of_the_same_pid_is_another_one(tmp_path: Path) -> None:
    folder = owner_folder(tmp_path / "a.lock")
    mine = take_folder(folder)
    pid, start_of_it, rest = mine.name.split(".", 2)
    mine.rename(folder / f"{pid}.{int(start_of_it) - 1}.{rest}")
    assert not is_locked(tmp_path / "a.lock")
    clear_owner(take_folder(folder))


@pytest.mark.parametrize("name", ["", ".DS_Store", ".nfs000001", "x.y.z.w", "12", "12.34.ns."])
def test_other_files_in_the_folder_hold_nothing(name: str, tmp_path: Path) -> None:
    folder = owner_folder(tmp_path / "a.lock")
    folder.mkdir()
    if name:
        (folder / name).touch()
    assert not is_locked(tmp_path / "a.lock")
    clear_owner(take_folder(folder))


@pytest.mark.real_process
def test_a_child_that_a_lock_was_handed_to_keeps_it(tmp_path: Path) -> None:
    program = """
import subprocess, sys
from pathlib import Path
from trainer.recipe.locks import take_lock
lock = take_lock(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], pass_fds=[] if lock.file is None else [lock.file.fileno()])
lock.hand_over(child.pid)
lock.release()
print(child.pid, flush=True)
"""
    for environment in (dict(os.environ), poor_environment(tmp_path)):
        with start(program, tmp_path / "a.lock", environment=environment) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
        assert is_locked(tmp_path / "a.lock")
        os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while is_locked(tmp_path / "a.lock"):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_asking_about_a_pipe_does_not_wait_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.lock")
    assert not is_locked(tmp_path / "a.lock")
    assert not is_locked(tmp_path / "absent.lock")


@pytest.mark.parametrize("answer", [None, errno.EPERM, errno.EOPNOTSUPP])
def test_of_several_writers_one_writes(answer: int | None, tmp_path: Path) -> None:
    environment = dict(os.environ) if answer is None else poor_environment(tmp_path, answer)
    place = tmp_path / "place"
    place.mkdir()
    writers = [start(WRITER, place / "run.json", number, environment=environment) for number in range(4)]
    for writer in writers:  # they wait for the end of stdin
        assert writer.stdin is not None
        writer.stdin.close()
    for writer in writers:
        with writer:
            assert writer.wait() == 0
    first = json.loads((place / "run.json").read_text())
    assert first["writer"] in range(4)
    with start(WRITER, place / "run.json", 9, environment=environment) as late:
        late.communicate()
    assert json.loads((place / "run.json").read_text()) == first
    assert [path.name for path in place.iterdir()] == ["run.json"]


def test_without_links_a_writer_waits_for_the_one_before(tmp_path: Path) -> None:
    environment = poor_environment(tmp_path)
    with start(WRITER, tmp_path / "run.json", 1, environment=environment) as second:
        with hold_folder(tmp_path / ".run.json.writer", patience=0.0):
            assert second.stdin is not None
            second.stdin.close()
            deadline = time.monotonic() + 10
            while not [*tmp_path.glob(".run.json.*.tmp")]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.1)
            (tmp_path / "run.json").write_text("first")
        assert second.wait() == 0
    assert (tmp_path / "run.json").read_text() == "first"


@pytest.mark.real_process
def test_the_name_of_a_child_is_touched_while_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in another container cannot see the child, and counts it as dead when its name is old."""
    monkeypatch.setattr(locks, "TOUCH_SECONDS", 0.01)
    lock = HeldLock(None, take_folder(owner_folder(tmp_path / "a.lock")))
    with subprocess.Popen(["sleep", "5"]) as child:
        lock.hand_over(child.pid)
        lock.release()
        (name,) = owner_folder(tmp_path / "a.lock").iterdir()
        os.utime(name, (1, 1))
        deadline = time.monotonic() + 3
        while name.stat().st_mtime == 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.kill()
    time.sleep(0.1)
    os.utime(name, (1, 1))
    time.sleep(0.1)
    assert name.stat().st_mtime == 1
    assert not is_locked(tmp_path / "a.lock")
