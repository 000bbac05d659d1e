"""What goes wrong on real machines: each with its exit code, its words, and nothing lost."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import Ended, Pgolf
from tests.pgolf.data.builders import prepared, sentences
from trainer.recipe.reading import read_json
from trainer.recipe.writing import write_json

MICRO = ("run", "quickstart", "--with", "micro")
TRAINER = [sys.executable, "-P", "-m", "trainer"]


@pytest.fixture
def data(micro_data: Path, tmp_path: Path) -> Path:
    """Return a copy of the micro run's shards to damage."""
    return Path(shutil.copytree(micro_data, tmp_path / "data"))


def run_on(pgolf: Pgolf, data: Path) -> Ended:
    return pgolf(*MICRO, "--set", f"recipe.data={{kind: shards, folder: {data}, vocabulary_size: 384}}")


def new_run(like: RunDirectory, root: Path) -> RunDirectory:
    """Return a run directory of the same seed and recipe in which nothing has happened yet."""
    root.mkdir(parents=True)
    for name in ("spec.json", "run.json"):
        shutil.copy(like.root / name, root)
    return RunDirectory(root)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: dict[str, Callable[[Path], None]] = {"flipped": flip, "cut": cut, "missing": Path.unlink}


@pytest.mark.parametrize("name", ["fineweb_train_000000.bin", "fineweb_val_000000.bin", "tokenizer.model"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_data_is_refused_by_name_before_anything_runs(
    pgolf: Pgolf, data: Path, tmp_path: Path, name: str, damage: str
) -> None:
    DAMAGES[damage](data / name)
    ended = run_on(pgolf, data)
    assert ended.code == 5, ended.err
    assert name in ended.err.replace("\n", "")
    assert "Prepare or fetch the data again" in " ".join(ended.err.split())
    assert not [*tmp_path.glob("runs/*/seed-*")]


@pytest.mark.slow
def test_a_shard_cut_after_the_launch_is_refused_by_the_trainer_too(micro_run: RunDirectory, data: Path) -> None:
    run = new_run(micro_run, data.parent / "x" / "seed-1337")
    write_json(run.files.run, read_json(run.files.run) | {"data_folder": str(data)})
    cut(data / "fineweb_train_000000.bin")
    assert subprocess.run([*TRAINER, str(run.root)], capture_output=True, check=False).returncode == 5
    assert "the file was changed or truncated" in run.read_state()["error"]


def test_a_tokenizer_that_did_not_make_the_shards_is_refused_before_training(
    micro_run: RunDirectory, data: Path, tmp_path: Path
) -> None:
    prepared(tmp_path / "other", sentences(200), pieces=384)
    shutil.copy(tmp_path / "other" / "tokenizer.model", data)
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["tokenizer"]["sha256"] = hashlib.sha256((data / "tokenizer.model").read_bytes()).hexdigest()
    (data / "manifest.json").write_text(json.dumps(manifest))
    run = new_run(micro_run, tmp_path / "x" / "seed-1337")
    write_json(run.files.run, read_json(run.files.run) | {"data_folder": str(data)})
    ended = subprocess.run([*TRAINER, str(run.root)], capture_output=True, text=True, check=False)
    assert ended.returncode == 5
    assert "bits per byte would be wrong" in ended.stderr
    assert not run.files.metrics.exists()


# A checkpoint has 450,000 bytes, the files after training 70,000 together.
FULL = [
    *((phase, left) for phase in ("prepare", "train") for left in (0, 8192, 100_000)),
    *((phase, left) for phase in ("encode", "score") for left in (0, 8192, 20_000)),
]


@pytest.mark.parametrize(
    ("phase", "left"), [pytest.param(*each, marks=() if each == ("encode", 0) else pytest.mark.slow) for each in FULL]
)
def test_a_disk_that_fills_up_is_one_clear_line_and_room_lets_the_run_go_on(
    long_run: RunDirectory, small_disk: Path, tmp_path: Path, phase: str, left: int
) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    run = new_run(long_run, small_disk / "x" / "seed-1337")
    command = [sys.executable, "-m", "tests.trainer.filling", phase, str(left), str(small_disk), str(run.root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 6, ended.stderr
    (line,) = ended.stderr.splitlines()[-1:]
    assert re.fullmatch(rf"trainer: {small_disk}/.*: No space left on device.* are free\. Free some space .*", line)
    state = run.read_state()  # written into the room of the state before, if there was no other
    assert state["exit_code"] == 6
    assert f"trainer: {state['error']}" == line
    assert not [*small_disk.rglob(".*.tmp")]
    (small_disk / "ballast").unlink()
    assert subprocess.run([*TRAINER, str(run.root)], capture_output=True, check=False).returncode == 0
    assert run.read_result()["headline"] == long_run.read_result()["headline"]
    assert run.files.model.read_bytes() == long_run.files.model.read_bytes()
    assert run.files.ledger.read_bytes() == long_run.files.ledger.read_bytes()


@pytest.mark.slow
def test_a_run_whose_log_cannot_be_written_still_ends_with_the_exit_code(
    micro_run: RunDirectory, tmp_path: Path
) -> None:
    run = new_run(micro_run, tmp_path / "x" / "seed-1337")
    run.files.log.symlink_to("/dev/full")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*TRAINER, str(run.root)], stdout=full, stderr=full, check=False)
    assert ended.returncode == 6
    assert "train.log: No space left on device" in run.read_state()["error"]


def test_preflight_says_no_to_a_disk_that_is_too_small(pgolf: Pgolf, small_disk: Path) -> None:
    ended = pgolf(*MICRO, "--runs-dir", small_disk)
    assert ended.code == 3
    assert "disk" in ended.err
    assert not [*small_disk.iterdir()]


def test_a_folder_that_became_read_only_is_a_machine_error(micro_run: RunDirectory, small_disk: Path) -> None:
    run = new_run(micro_run, small_disk / "x" / "seed-1337")
    run.files.lock.touch()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ended = subprocess.run([*TRAINER, str(run.root)], capture_output=True, text=True, check=False)
    assert ended.returncode == 6
    assert "Read-only file system" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_memory_that_runs_out_is_a_machine_error(micro_run: RunDirectory, tmp_path: Path) -> None:
    run = new_run(micro_run, tmp_path / "x" / "seed-1337")
    spec = read_json(run.files.spec)
    spec["recipe"]["schedule"] |= {"batch_tokens": 1 << 21, "sequence_tokens": 64}
    write_json(run.files.spec, spec)
    limit = 4 << 30  # what torch maps at its start, and some
    ended = subprocess.run(
        [*TRAINER, str(run.root)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert ended.returncode == 6, ended.stderr
    assert "out of memory" in ended.stderr
    assert "micro_batch_tokens" in run.read_state()["error"]


def test_a_loss_that_is_no_number_ends_the_command_with_the_step(pgolf: Pgolf, tmp_path: Path) -> None:
    from trainer.runtime.checkpoint import read_checkpoint

    ended = pgolf(*MICRO, "--set", "recipe.optimizer.embedding_lr=1e15", "--set", "recipe.model.softcap=0")
    assert ended.code == 1, ended.err
    words = " ".join(ended.err.split())
    assert re.search(r"the loss of step \d+ is not a number|is not finite after the update of step \d+", words)
    assert "the last good checkpoint is" in words
    for kept in tmp_path.glob("runs/*/seed-*/checkpoints/step-*.ckpt"):
        assert all(weight.isfinite().all() for weight in read_checkpoint(kept)["weights"].values())


JUMPING_CLOCK = """
import sys, time
real, beats = time.time, iter(range(1, 1 << 30))
time.time = lambda: real() + (-1) ** next(beats) * 86400.0
from trainer.command main
""".replace("from trainer.command main", "from trainer.command import main\nsys.exit(main())")


@pytest.mark.slow
def test_a_clock_that_jumps_by_a_day_changes_nothing(micro_run: RunDirectory, tmp_path: Path) -> None:
    run = new_run(micro_run, tmp_path / "x" / "seed-1337")
    began = time.monotonic()
    subprocess.run([sys.executable, "-P", "-c", JUMPING_CLOCK, str(run.root)], check=True)
    seconds = time.monotonic() - began
    result = run.read_result()
    assert result["headline"] == micro_run.read_result()["headline"]
    assert all(0 <= phase <= seconds for phase in result["clock"].values())
    assert 0 < sum(result["clock"].values()) <= seconds


@pytest.mark.slow
def test_a_stop_within_a_long_step_leaves_the_state_of_the_step_before(micro_run: RunDirectory, tmp_path: Path) -> None:
    run = new_run(micro_run, tmp_path / "x" / "seed-1337")
    spec = read_json(run.files.spec)
    spec["recipe"]["schedule"] |= {"batch_tokens": 1 << 20, "sequence_tokens": 64, "micro_batch_tokens": 256}
    write_json(run.files.spec, spec)
    with subprocess.Popen([*TRAINER, str(run.root)], stderr=subprocess.DEVNULL) as trainer:
        deadline = time.monotonic() + 60
        while run.read_state().get("phase") != "train":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)  # a step has 4,096 forward passes
        trainer.send_signal(signal.SIGTERM)
        assert trainer.wait(timeout=10) == 130
    assert [path.name for path in run.files.checkpoints.iterdir()] == ["step-00000000.ckpt"]
