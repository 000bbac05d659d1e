"""Runs that start from the weights of another run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pgolf.campaign.from_checkpoint import load_child
from pgolf.errors import UsageError
from pgolf.report.groups import group_runs
from pgolf.rundir import RunDirectory
from tests.conftest import Pgolf
from trainer.recipe.decode import decode_value
from trainer.recipe.quantizer import StraightThrough

LARGEST = "{kind: percentile, percentile: 100}"
EIGHT_BITS = f"recipe.quantizer={{kind: rtn, bits: {{default: 8}}, clip: {LARGEST}, float_up_to: 0}}"


@pytest.fixture
def parent(micro_run: RunDirectory, tmp_path: Path) -> RunDirectory:
    """Copy a finished run into the runs folder of this test."""
    return RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "runs" / micro_run.run_id)))


def test_the_same_weights_are_quantized_packed_and_scored_again(pgolf: Pgolf, parent: RunDirectory) -> None:
    ended = pgolf("run", "--from-checkpoint", parent.run_id, "--set", EIGHT_BITS, "--json")
    assert ended.code == 0, ended.err
    (run,) = ended.json["runs"]
    child, before = RunDirectory(Path(run["run_dir"])), parent.read_result()
    assert child.files.prequant.read_bytes() == parent.files.prequant.read_bytes()
    result = child.read_result()
    assert result["parent"]["run_id"] == parent.run_id
    assert (result["steps"], result["tokens_seen"]) == (before["steps"], before["tokens_seen"])
    assert result["metrics"][0]["val_loss"] == before["metrics"][0]["val_loss"]  # same weights before quantization
    assert result["headline"]["val_loss"] != before["headline"]["val_loss"]
    assert result["artifact"]["model_bytes"] > before["artifact"]["model_bytes"]
    ledger = np.load(child.files.ledger)
    assert result["headline"]["val_loss"] == pytest.approx(ledger["nll"].mean(dtype=np.float64), abs=1e-9)
    assert not [*child.files.checkpoints.glob("step-*")]
    groups = {group.name: len(group.rows) for group in group_runs([parent, child])}
    own, origin = result["spec_sha256"][:8], before["spec_sha256"][:8]
    assert groups == {"quickstart": 1, f"quickstart {own} from {origin}": 1}


@pytest.mark.slow
def test_repeating_the_command_shows_the_finished_child_which_unchanged_has_the_parents_score(
    pgolf: Pgolf, parent: RunDirectory
) -> None:
    first = pgolf("run", "--from-checkpoint", parent.run_id, "--json")
    again = pgolf("run", "--from-checkpoint", parent.run_id, "--json")
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert first.json == again.json
    assert first.json["runs"][0]["result"]["headline"] == parent.read_result()["headline"]


def test_a_change_of_training_is_refused_with_its_key(parent: RunDirectory) -> None:
    with pytest.raises(UsageError, match=r"recipe\.model\.topology\.layers was 2 when quickstart.* and is now 3"):
        load_child(parent, [], ["recipe.model.topology.layers=3"])
    with pytest.raises(UsageError, match=r"recipe\.averaging\.decay"):
        load_child(parent, [], ["recipe.averaging.decay=0.5"])
    assert load_child(parent, [], ["recipe.codec={kind: zlib}"]).spec.recipe.codec.kind == "zlib"


@pytest.mark.slow
def test_weights_from_other_data_or_torch_are_refused_and_untrained_ones_accepted(
    pgolf: Pgolf, parent: RunDirectory
) -> None:
    run = json.loads(parent.files.run.read_text())
    for key in ("data_sha256", "torch"):
        parent.files.run.write_text(json.dumps(run | {key: "another"}))
        ended = pgolf("run", "--from-checkpoint", parent.run_id)
        assert ended.code == 2
        assert f"was trained with {key} another" in ended.err
    parent.files.run.write_text(json.dumps(run))
    parent.files.metrics.unlink()
    ended = pgolf("run", "--from-checkpoint", parent.run_id, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["runs"][0]["result"]["steps"] == 0


def test_a_change_of_quantizer_training_is_refused(parent: RunDirectory) -> None:
    with pytest.raises(UsageError, match=r"recipe\.quantizer\.training\.kind was \"none\" when"):
        load_child(parent, [], ["recipe.quantizer.training={kind: straight_through}"])


def test_another_quantizer_keeps_the_parents_quantizer_training(parent: RunDirectory) -> None:
    spec = json.loads(parent.files.spec.read_text())
    training = {"kind": "straight_through", "below_lr": 0.5, "softness": 0.0, "tables": False, "published_grid": None}
    spec["recipe"]["quantizer"]["training"] = training
    parent.files.spec.write_text(json.dumps(spec))
    child = load_child(parent, [], [EIGHT_BITS]).spec.recipe.quantizer
    assert (child.bits["default"], child.training) == (8, decode_value(StraightThrough, training, "training"))
    with pytest.raises(UsageError, match=r"recipe\.quantizer\.training\.below_lr was 0\.5"):
        load_child(parent, [], ["recipe.quantizer.training.below_lr=0.7"])


def test_a_spec_or_seed_together_with_from_checkpoint_is_refused(pgolf: Pgolf, parent: RunDirectory) -> None:
    for extra in (("quickstart",), ("--seed", "7")):
        ended = pgolf("run", *extra, "--from-checkpoint", parent.run_id)
        assert ended.code == 2
        assert "takes spec and seed from the run" in ended.err


def test_a_run_without_kept_weights_is_refused(pgolf: Pgolf, parent: RunDirectory) -> None:
    parent.files.prequant.unlink()
    ended = pgolf("run", "--from-checkpoint", parent.run_id)
    assert ended.code == 2
    assert "has no weights from before quantization" in ended.err


@pytest.mark.slow
def test_the_trainer_refuses_changed_weights(pgolf: Pgolf, parent: RunDirectory) -> None:
    first = pgolf("run", "--from-checkpoint", parent.run_id, "--set", EIGHT_BITS, "--json")
    child = RunDirectory(Path(first.json["runs"][0]["run_dir"]))
    child.files.result.unlink()
    content = bytearray(child.files.prequant.read_bytes())
    content[-100] ^= 1
    child.files.prequant.write_bytes(content)
    again = pgolf("run", "--from-checkpoint", parent.run_id, "--set", EIGHT_BITS, "--json")
    assert again.code == 2
    assert "is not what the parent run kept" in again.err
    assert json.loads(child.files.run.read_text())["parent"]["run_id"] == parent.run_id
