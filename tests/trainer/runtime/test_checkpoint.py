"""Checkpoints: whole or refused, newest two kept."""

from pathlib import Path

import pytest
import torch

from trainer.runtime.checkpoint import CheckpointDamaged, CheckpointFolder, read_checkpoint, write_checkpoint

STATE = {"step": 3, "weights": {"w": torch.arange(6.0)}, "seconds": {"train": 1.5}}


def test_the_state_comes_back(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.ckpt", STATE)
    found = read_checkpoint(tmp_path / "a.ckpt")
    assert torch.equal(found["weights"]["w"], torch.arange(6.0))
    assert (found["step"], found["seconds"]) == (3, {"train": 1.5})


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    write_checkpoint(path, STATE)
    content = path.read_bytes()
    for position in (0, 8, 39, 40, 500, len(content) - 1):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(CheckpointDamaged):
            read_checkpoint(path)
    path.write_bytes(content[:-1])
    with pytest.raises(CheckpointDamaged):
        read_checkpoint(path)


def test_the_newest_two_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2, 10):
        folder.write(step, STATE | {"step": step})
    assert [path.name for path in folder.newest_first()] == ["step-00000010.ckpt", "step-00000002.ckpt"]
    folder.newest_first()[0].write_bytes(b"half")
    assert [(step, state and state["step"]) for step, state in folder.read_all()] == [(10, None), (2, 2)]


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_checkpoint(tmp_path / "a.ckpt", STATE)
    before = (tmp_path / "a.ckpt").read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path / "a.ckpt", STATE | {"step": 4})
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
    assert (tmp_path / "a.ckpt").read_bytes() == before
