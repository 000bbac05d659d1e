"""Memory and disk estimates against a real run."""

import pytest

from pgolf.preflight.memory import disk_bytes, state_bytes
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec

MICRO = load_spec("quickstart", ["micro"]).spec.recipe


def test_a_checkpoint_is_as_large_as_its_state(micro_run: RunDirectory) -> None:
    kept = [file for file in micro_run.files.checkpoints.iterdir() if file.name != "prequant.ckpt"]
    assert kept
    for file in kept:
        assert file.stat().st_size == pytest.approx(state_bytes(MICRO), rel=0.25)


def test_a_run_directory_is_smaller_than_the_estimate(micro_run: RunDirectory) -> None:
    used = sum(file.stat().st_size for file in micro_run.root.rglob("*") if file.is_file())
    tokens = int(micro_run.read_result()["metrics"][0]["tokens"])
    assert used <= disk_bytes(MICRO, tokens) + 1_000_000


def test_an_average_adds_one_copy_of_all_weights() -> None:
    plain = load_spec("quickstart", ["micro"], ["recipe.averaging={kind: none}"]).spec.recipe
    # two layers of width 32, one key/value head of 16, hidden 96
    weights = 384 * 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 2 * 96 * 32 + 2 + 2 * 32 + 2 * 32) + 32
    assert state_bytes(MICRO) - state_bytes(plain) == 4 * weights
