"""The ssh launcher when keys, host, Python, connection or time limit are wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.ssh import SshLauncher, check_disk, check_python
from launchers.ssh_agent import is_fetched
from pgolf.errors import LauncherError
from pgolf.launching import Job
from pgolf.launching.requirements import check_devices
from pgolf.launching.shipping import apply_update, fingerprint_of, text_update
from pgolf.rundir import RunDirectory
from tests.conftest import LONG
from tests.launchers.backends import SshBackend, sshd
from tests.launchers.user import PATIENCE_SECONDS, SHORT, User


@pytest.fixture
def backend(tmp_path: Path, bare_python: Path) -> Iterator[SshBackend]:
    with sshd(tmp_path / "ssh", bare_python) as found:
        yield found


def with_option(user: User, **options: Any) -> None:
    """Change launch.options in the user's backend.yaml."""
    launch = user.backend.launch
    launch["options"] |= options
    (user.folder / "backend.yaml").write_text(json.dumps({"launch": launch}))


@pytest.mark.slow
def test_what_keeps_us_out_is_named_with_the_fix(user: User, backend: SshBackend, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.conf"
    stranger.write_text(backend.config.read_text().replace("/identity\n", "/stranger\n"))
    bare = tmp_path / "empty" / "bin"
    bare.mkdir(parents=True)
    (bare / "python").symlink_to(Path(sys.executable).resolve())
    for options, words in (
        ({"config_file": str(stranger)}, ("authentication failed", "Permission denied", "ssh-copy-id lab")),
        ({"host": "nowhere.invalid"}, ("Could not resolve", "as in `ssh HOST`")),
        ({"port": 1}, ("lab does not answer", "Connection refused")),
        ({"python": "python9"}, ("lab has no python9", "launch.options.python")),
        ({"python": str(bare / "python")}, ("lacks torch", "-m pip install torch")),
        ({"folder": "/dev/null/pgolf"}, ("lab: ", "Not a directory")),
    ):
        with_option(user, **options)
        ended = user("run", "quickstart", *SHORT, "--with", "backend.yaml")
        said = " ".join(ended.err.split())
        assert ended.code == 3, said
        for word in words:
            assert word in said, (options, said)
    assert not (backend.root / "there" / "runs").exists()


def test_options_that_do_not_exist_are_named(user: User) -> None:
    with_option(user, hots="typo")
    ended = user.run(*SHORT)
    assert ended.code == 4
    assert "launch.options.hots: not an option of ssh; did you mean `host`?" in " ".join(ended.err.split())
    assert "identity_file" in ended.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    [("Port {port}", "Port 1"), ("HostName 127.0.0.1", "HostName nowhere.invalid")],
    ids=["refused", "no-name"],
)
def test_a_dropped_connection_is_said_and_survived(
    user: User, backend: SshBackend, long_run: RunDirectory, broken: tuple[str, str], tmp_path: Path
) -> None:
    good = backend.config.read_text()
    before, after = broken[0].format(port=backend.port), broken[1]
    errors = tmp_path / "errors"
    with errors.open("w") as stream:
        watching = subprocess.Popen(
            [sys.executable, "-m", "pgolf", "run", "quickstart", *LONG, "--with", "backend.yaml"],
            cwd=user.folder, stdout=subprocess.DEVNULL, stderr=stream,
        )  # fmt: skip
        wait_until(lambda: "step 30/300" in errors.read_text())
        backend.config.write_text(good.replace(before, after))
        wait_until(lambda: "the run may still be going, asking again" in errors.read_text())
        assert user("status", "--json").json["runs"][0]["state"] == "running"
        assert watching.poll() is None
        backend.config.write_text(good)
        assert watching.wait(PATIENCE_SECONDS) == 0, errors.read_text()
    run = RunDirectory(next(user.folder.glob("runs/*/seed-*")))
    assert run.read_result()["headline"] == long_run.read_result()["headline"]
    assert not run.read_result()["resumed_from_step"]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_run_ends_when_its_dollars_are_spent(user: User, backend: SshBackend) -> None:
    """A dollar per second. The plan costs less, but the machine is slower than planned."""
    with_option(user, usd_per_hour=3600.0)
    endless = ("--with", "micro", "--set", "recipe.budget.train=3000", "--set", "spend.usd=6")
    unasked = user.run(*endless)
    assert (unasked.code, "for about $" in unasked.err, "--yes accepts" in unasked.err) == (2, True, True)
    ended = user.run(*endless, "--yes")
    run = RunDirectory(next(user.folder.glob("runs/*/seed-*")))
    assert ended.code == 1, ended.err
    assert "stopped after 6 s: spend.usd is used up" in ended.err
    assert [*backend.there(run).files.checkpoints.glob("step-*.ckpt")]
    (seconds,) = run.read_attempts()
    assert 6 <= seconds < 6 + 15
    refused = user.run("--with", "micro", "--set", "recipe.budget.train=300000000", "--set", "spend.usd=6", "--yes")
    assert (refused.code, "spend" in refused.err) == (3, True)


@pytest.mark.slow
def test_seeds_wait_for_their_turn_there(user: User, backend: SshBackend) -> None:
    ended = user("seeds", "quickstart", *SHORT, "--n", "2", "--with", "backend.yaml", "--detach", "--json")
    assert ended.code == 0, ended.err
    attended = user("seeds", "quickstart", *SHORT, "--n", "2", "--with", "backend.yaml", "--json")
    assert attended.code == 0, attended.err
    first, second = (run["result"] for run in attended.json["runs"])
    assert first["seed"] != second["seed"]
    logs = [RunDirectory(Path(run["run_dir"])).files.log.read_text() for run in attended.json["runs"]]
    assert all(log.count("score: roundtrip") == 1 for log in logs)


@pytest.mark.slow
def test_doctor_examines_the_machine_itself(user: User, backend: SshBackend, bare_python: Path) -> None:
    ended = user("doctor", "quickstart", *SHORT, "--with", "backend.yaml", "--json")
    assert ended.code == 0, ended.err
    found = {check["rule"]: check for check in ended.json["checks"]}
    assert str(bare_python) in found["python"]["message"]
    assert found["attention"]["status"] == "pass"
    assert {"data", "torch", "compile", "disk", "clock", "temporary_folder", "flash_attn"} <= {*found}


def test_what_comes_back_and_what_stays() -> None:
    root = Path("/run")
    for name, expected in (
        ("result.json", True), ("artifact/model.bin", True), ("checkpoints/prequant.ckpt", True),
        ("checkpoints/step-12.ckpt", False), ("ledger.npz", False), (".result.json.7.tmp", False), ("job.json", False),
    ):  # fmt: skip
        assert is_fetched(root / name, root, includes_ledger=False) == expected, name
    assert is_fetched(root / "ledger.npz", root, includes_ledger=True)


def test_a_text_is_followed_also_where_it_was_cut_and_written_again(tmp_path: Path) -> None:
    here = tmp_path / "metrics.jsonl"
    for there in (b"", b"one\n", b"one\ntwo\n", b"one\n", b"one\nthree\nfour\n", b"f\xff\n"):
        apply_update(here, text_update(there, *fingerprint_of(here)))
        assert (here.read_bytes() if here.exists() else b"") == there


@pytest.mark.parametrize("damage", [{"options": None}, {"options": {"host": 3}}, {"remote_dir": 7}])
def test_a_damaged_handle_is_named(damage: dict[str, Any], tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "x" / "seed-1")
    run.root.mkdir(parents=True)
    handle = {"launcher": "ssh", "run_dir": str(run.root), "options": {"host": "pod"}, "remote_dir": "/r"} | damage
    for act in (SshLauncher().status, SshLauncher().cancel, lambda found: SshLauncher().fetch(found, run)):
        with pytest.raises(LauncherError, match=r"handle\.json is damaged"):
            act(handle)


def job(tmp_path: Path, gpu: str | None) -> Job:
    return Job(
        run=RunDirectory(tmp_path), gpu=gpu, processes=2, options={}, is_detached=False,
        data_bytes=10**9, disk_bytes=10**9,
    )  # fmt: skip


def test_findings_of_a_machine(tmp_path: Path) -> None:
    options = SshLauncher.Options(host="pod")
    found = {"python": "3.9.18", "torch": "2.9", "free_bytes": 10**9, "is_writable": True, "root": "/r", "cores": 8}
    assert check_python(found, options).severity == "fail"
    assert check_python(found | {"python": "3.12.1"}, options).severity == "pass"
    assert (
        "1,000,000,000 bytes free, but 2,000,000,000 are needed"
        in check_disk(found, options, job(tmp_path, None)).message
    )
    assert check_disk(found | {"free_bytes": 10**10}, options, job(tmp_path, None)).severity == "pass"
    for devices, expected in (
        ([], "fail"),
        (["H100"], "fail"),
        (["NVIDIA H100"] * 2, "pass"),
        (["NVIDIA A100"] * 2, "warn"),
    ):
        assert check_devices(job(tmp_path, "H100!:2"), devices, 8, "pod").severity == expected


@pytest.mark.slow
def test_a_supervisor_that_is_gone_is_told_from_a_trainer_that_ended(user: User, backend: SshBackend) -> None:
    run = user.start(*LONG)
    user.wait_for_step(run, 1)
    os.kill(json.loads((backend.there(run).root / "job.json").read_text())["pid"], signal.SIGKILL)
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err  # resumed: the trainer left a checkpoint when its supervisor died
    assert run.is_finished
