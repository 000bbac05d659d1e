"""Runs over ssh whose machine dies, pauses or changes its address, and that go on at another one.

The machines are sshds in namespaces: each has a host name and pids of its own, and all its processes die with it.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import LONG, Ended
from tests.launchers.backends import SshBackend, pod
from tests.launchers.user import PATIENCE_SECONDS, User

pytestmark = pytest.mark.slow


@pytest.fixture
def pods(tmp_path: Path, bare_python: Path) -> Iterator[tuple[SshBackend, SshBackend]]:
    """Two machines with one network volume."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(pod(tmp_path / name, bare_python, tmp_path / "volume")) for name in "ab")
        yield first, second


@pytest.fixture
def backend(pods: tuple[SshBackend, SshBackend]) -> SshBackend:
    return pods[0]


def move_to(user: User, place: SshBackend, *arguments: str, **options: Any) -> Ended:
    """Give the same command with the launch.options of another machine."""
    write_options(user, place, **options)
    return user.run(*LONG, *arguments)


def write_options(user: User, place: SshBackend, **options: Any) -> None:
    launch = place.launch
    launch["options"] |= {"connect_seconds": 3, **options}
    (user.folder / "backend.yaml").write_text(json.dumps({"launch": launch}))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def check_same(run: RunDirectory, undisturbed: RunDirectory) -> None:
    """Check that a run has the result of one that nothing disturbed, each step once."""
    assert run.files.model.read_bytes() == undisturbed.files.model.read_bytes()
    assert run.read_result()["headline"] == undisturbed.read_result()["headline"]
    losses = [[(row["step"], row["train_loss"]) for row in each.read_metrics()] for each in (run, undisturbed)]
    assert losses[0] == losses[1]


def test_a_run_of_a_dead_machine_goes_on_at_another_one(
    user: User, pods: tuple[SshBackend, SshBackend], long_run: RunDirectory
) -> None:
    first, second = pods
    run = user.start(*LONG)
    user.wait_for_step(run, 60)
    first.die()
    ended = move_to(user, second)
    assert ended.code == 0, ended.err
    assert "does not answer" in ended.err
    assert "It goes on at lab" in ended.err
    assert "from the checkpoint of step" in ended.err
    assert run.read_result()["resumed_from_step"] > 0
    check_same(run, long_run)


def test_a_machine_that_was_only_paused_leaves_the_run_to_the_other_one(
    user: User, pods: tuple[SshBackend, SshBackend], long_run: RunDirectory
) -> None:
    first, second = pods
    run = user.start(*LONG)
    user.wait_for_step(run, 60)
    first.signal_all(signal.SIGSTOP)
    started = move_to(user, second, "--detach")
    assert started.code == 0, started.err
    user.wait(run, lambda row: (row["step"] or 0) > 120)
    (paused, working) = sorted(first.trainers(run), key=is_running)
    first.signal_all(signal.SIGCONT)
    wait_until(lambda: first.trainers(run) == [working])
    assert paused != working
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err
    assert len([*first.there(run).root.glob(".lease-*")]) == 0
    check_same(run, long_run)


def test_every_command_answers_when_the_machine_does_not(
    user: User, pods: tuple[SshBackend, SshBackend], long_run: RunDirectory
) -> None:
    first, second = pods
    write_options(user, first, patience_seconds=2)
    run = user.start(*LONG)
    user.wait_for_step(run, 30)
    first.die()
    listed = user("status", "--json")
    assert (listed.code, listed.json["runs"][0]["state"]) == (0, "running")
    assert "lab does not answer" in listed.err
    for command in (("fetch", run.run_id), ("attach", run.run_id), ("logs", "-f", run.run_id)):
        ended = user(*command)
        assert ended.code == 4, (command, ended.err)
        assert "lab does not answer" in ended.err
    again = user.run(*LONG)
    assert again.code == 4, again.err
    for words in ("asking again for 2 s", "waited", "other launch.options", f"pgolf cancel {run.run_id}"):
        assert words in again.err
    given_up = user("cancel", run.run_id)
    assert given_up.code == 0, given_up.err
    assert "is given up: lab does not answer" in given_up.out + given_up.err
    (row,) = user("status", "--json").json["runs"]
    assert row["state"] == "stopped"
    assert user("cancel", run.run_id).code == 4  # there is nothing to stop
    unreachable = user.run(*LONG)
    assert unreachable.code == 3, unreachable.err  # preflight: the machine does not answer
    ended = move_to(user, second)
    assert ended.code == 0, ended.err
    check_same(run, long_run)


def test_a_run_that_is_going_on_is_not_moved(user: User, pods: tuple[SshBackend, SshBackend]) -> None:
    first, second = pods
    run = user.start(*LONG)
    user.wait_for_step(run, 1)
    refused = move_to(user, second)
    assert refused.code == 2, refused.err
    assert "which answers, so it was not started on" in refused.err
    assert f"`pgolf cancel {run.run_id}`" in refused.err
    other_name = first.root / "other_name"
    other_name.write_text(first.config.read_text())
    attached = move_to(user, first, config_file=str(other_name))
    assert attached.code == 0, attached.err
    assert "are the same machine" in attached.err
    assert run.read_result()["resumed_from_step"] == 0


def test_without_a_common_folder_the_run_begins_again(user: User, pods: tuple[SshBackend, SshBackend]) -> None:
    first, second = pods
    run = user.start(*LONG)
    user.wait_for_step(run, 30)
    first.die()
    ended = move_to(user, second, folder=str(second.root / "disk"))
    assert ended.code == 0, ended.err
    assert "from the beginning: there is no checkpoint of it" in ended.err
    assert "its result will not be taken" in ended.err
    assert run.read_result()["resumed_from_step"] == 0


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"
