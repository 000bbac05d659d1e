"""The Slurm plugin: several seeds as one job array, and its errors."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgolf.rundir import RunDirectory
from tests.launchers.backends import SlurmBackend, one_node_slurm
from tests.launchers.conftest import installed_plugin
from tests.launchers.user import SHORT, User


@pytest.fixture
def backend(tmp_path: Path, session_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmBackend]:
    with one_node_slurm(tmp_path / "slurm", installed_plugin(session_folder), monkeypatch) as found:
        yield found


def test_it_is_listed_with_its_options(user: User) -> None:
    (row,) = (row for row in user("launchers", "--json").json["launchers"] if row["name"] == "slurm")
    assert {"partition", "gres", "minutes"} <= {*row["options"]}


@pytest.mark.slow
def test_seeds_are_one_job_array_whose_numbers_are_found_again(user: User) -> None:
    started = user("seeds", "quickstart", *SHORT, "--n", "2", "--with", "backend.yaml", "--detach", "--json")
    assert started.code == 0, started.err
    runs = [RunDirectory(Path(run["run_dir"])) for run in started.json["runs"]]
    numbers = [json.loads(run.handle.read_text())["job"] for run in runs]
    assert len({number.partition("_")[0] for number in numbers}) == 1
    assert [number.partition("_")[2] for number in numbers] == ["0", "1"]
    for run in runs:
        run.handle.unlink()  # as if sbatch's reply had been lost
    ended = user("seeds", "quickstart", *SHORT, "--n", "2", "--with", "backend.yaml", "--json")
    assert ended.code == 0, ended.err
    assert [run["result"]["seed"] for run in ended.json["runs"]] == [1337, 42]
    assert all(run.files.log.read_text().count("score: roundtrip") == 1 for run in runs)


def test_a_partition_that_is_not_there_is_named(user: User) -> None:
    launch = {"on": "slurm", "options": {"partition": "gpus"}}
    (user.folder / "backend.yaml").write_text(json.dumps({"launch": launch}))
    ended = user.run(*SHORT)
    assert ended.code == 3
    assert "partition 'gpus' is unknown or not up; up are lab" in " ".join(ended.err.split())


def test_without_slurm_the_plugin_says_so(user: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = user.run(*SHORT)
    assert ended.code == 3
    assert "sinfo is not installed here" in " ".join(ended.err.split())


@pytest.mark.slow
def test_a_gpu_is_asked_for_as_a_gres(user: User) -> None:
    """The node has two devices that are not GPUs: the job gets one, and the trainer reports what it finds."""
    launch = {"on": "slurm", "gpu": "fake:1"}
    (user.folder / "backend.yaml").write_text(json.dumps({"launch": launch}))
    run = user.start(*SHORT)
    number = json.loads(run.handle.read_text())["job"]
    shown = subprocess.check_output(["scontrol", "show", "job", number], text=True)
    assert "gres:gpu:fake:1" in shown or "gres/gpu:fake:1" in shown or "gpu:fake:1" in shown
    user.wait(run, lambda row: row["state"] == "failed")
    (row,) = user("status", "--json").json["runs"]
    assert "CUDA devices; check nvidia-smi" in row["error"]


@pytest.mark.slow
def test_doctor_examines_a_node(user: User) -> None:
    ended = user("doctor", "quickstart", *SHORT, "--with", "backend.yaml", "--json")
    assert ended.code == 0, ended.err
    assert {"torch", "attention", "disk"} <= {check["rule"] for check in ended.json["checks"]}


@pytest.mark.slow
def test_a_job_cancelled_in_the_queue_is_started_again(user: User) -> None:
    """Slurm gives it exit code 0, which is not success."""
    held = {"on": "slurm", "options": {"extra": ["--hold"]}}
    (user.folder / "backend.yaml").write_text(json.dumps({"launch": held}))
    run = user.start(*SHORT)
    assert user("cancel", run.run_id).code == 0
    user.wait_for_end(run)
    (user.folder / "backend.yaml").write_text(json.dumps({"launch": user.backend.launch}))
    ended = user.run(*SHORT)
    assert ended.code == 0, ended.err
    assert run.is_finished
