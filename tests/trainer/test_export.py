"""Exports of a trained model: artifacts of a given size, whose every choice comes from training text."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pgolf.errors import SpecError
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from trainer.codec.container import decode_artifact
from trainer.export import Exporter
from trainer.model.gpt import GptModel
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.quantizer import QuantizerRecipe
from trainer.runtime.checkpoint import read_checkpoint
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import TrainingJob, read_job
from trainer.runtime.journal import make_journal
from trainer.runtime.world import World
from trainer.training_data import TrainingData

GRID = "bits: {default: 6}, clip: {kind: deviations, k: {default: 12.85}}, float_up_to: 0"
TEXT = "calibration: {kind: training, sequences: 8}"
STEPS = f"steps: {{kind: fisher, {TEXT}}}"
QUANTIZERS = {
    "plain": f"{{kind: gptq, {TEXT}, {GRID}}}",
    "rtn": f"{{kind: rtn, {STEPS}, {GRID}}}",
    "gptq": f"{{kind: gptq, {TEXT}, {STEPS}, {GRID}}}",
    "trellis": f"{{kind: trellis_gptq, states: 4, {TEXT}, {STEPS}, {GRID}}}",
}


def quantizer_of(name: str, fill_bytes: int = 0) -> QuantizerRecipe:
    written = QUANTIZERS[name][:-1] + f", fill_bytes: {fill_bytes}}}"
    return load_spec("quickstart", ["micro"], [f"recipe.quantizer={written}"]).spec.recipe.quantizer


def export(run: RunDirectory, folder: Path, quantizer: QuantizerRecipe, data: Path | None = None) -> dict[str, int]:
    """Export the float weights of a run once more into `folder`, and return the bytes of the artifact."""
    job = read_job(run.root)
    recipe = replace(job.recipe, quantizer=quantizer, codec=load_spec("quickstart", [], [CODEC]).spec.recipe.codec)
    folder.mkdir(parents=True)
    shutil.copy(run.files.run, folder / "run.json")
    files = RunFiles(folder)
    again = TrainingJob(
        files=files, recipe=recipe, data=DataFiles(data) if data else job.data, seed=job.seed, run=job.run
    )
    model = GptModel(recipe.model, recipe.vocabulary_size, recipe.compute)
    model.load_state_dict(read_checkpoint(job.files.prequant))
    world = World(rank=0, size=1, device=torch.device("cpu"))
    training_data = TrainingData(again, world)
    return Exporter(again, model, training_data, PhaseClock(), make_journal(files, False), lambda: None).export()


CODEC = "recipe.codec={kind: column_range}"


@pytest.mark.parametrize("name", QUANTIZERS)
def test_an_artifact_fills_the_bytes_that_are_given(micro_run: RunDirectory, tmp_path: Path, name: str) -> None:
    before = export(micro_run, tmp_path / "before", quantizer_of(name))
    wanted = before["total_bytes"] - 1500
    found = export(micro_run, tmp_path / "after", quantizer_of(name, wanted))
    assert wanted - wanted // 100 < found["total_bytes"] <= wanted
    assert found["model_bytes"] == (tmp_path / "after" / "artifact" / "model.bin").stat().st_size
    card, weights = decode_artifact(tmp_path / "after" / "artifact" / "model.bin")
    assert card.quantizer.clip.k["default"] > 12.85  # type: ignore[union-attr]
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_clips_are_kept_where_none_fill_the_bytes(micro_run: RunDirectory, tmp_path: Path) -> None:
    before = export(micro_run, tmp_path / "before", quantizer_of("rtn"))
    for wanted in (before["code_bytes"], 16_000_000):
        found = export(micro_run, tmp_path / str(wanted), quantizer_of("rtn", wanted))
        assert found["model_bytes"] == pytest.approx(before["model_bytes"], abs=10)  # the header names the bytes
        assert "filled" not in found


@pytest.mark.parametrize("name", ["rtn", "gptq", pytest.param("trellis", marks=pytest.mark.slow)])
def test_other_validation_text_gives_the_same_artifact(micro_run: RunDirectory, tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(str(micro_run.read_run()["data_folder"]), data)
    changed = 0
    for shard in data.glob("*val*.bin"):
        content = bytearray(shard.read_bytes())
        tokens = np.frombuffer(content, np.uint16)[512:]
        shard.write_bytes(bytes(content[:1024]) + tokens[::-1].tobytes())
        changed += 1
    assert changed
    wanted = export(micro_run, tmp_path / "before", quantizer_of(name))["total_bytes"] - 800
    for folder, read in (("mine", None), ("other", data)):
        export(micro_run, tmp_path / folder, quantizer_of(name, wanted), read)
    first, second = ((tmp_path / folder / "artifact" / "model.bin").read_bytes() for folder in ("mine", "other"))
    assert first == second


def test_other_training_text_gives_another_artifact(micro_run: RunDirectory, tmp_path: Path) -> None:
    """The counterpart of the test above: calibration does read the folder."""
    data = tmp_path / "data"
    shutil.copytree(str(micro_run.read_run()["data_folder"]), data)
    for shard in data.glob("*train*.bin"):
        content = shard.read_bytes()
        shard.write_bytes(content[:1024] + np.frombuffer(content, np.uint16)[512:][::-1].tobytes())
    for folder, read in (("mine", None), ("other", data)):
        export(micro_run, tmp_path / folder, quantizer_of("gptq"), read)
    first, second = ((tmp_path / folder / "artifact" / "model.bin").read_bytes() for folder in ("mine", "other"))
    assert first != second


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("kind: rtn, steps: {kind: fisher}, scale_floor: {default: 0.1}", "scale_floor holds back steps"),
        ("kind: rtn, steps: {kind: fisher}, fit_bytes: 1000", "fit_bytes zeroes codes"),
        ("kind: rtn, steps: {kind: fisher}, training: {kind: straight_through}", "training rounds to the steps"),
        (f"kind: trellis_gptq, {TEXT}, training: {{kind: straight_through}}", "training rounds to the plain grid"),
        (f"kind: trellis_gptq, {TEXT}, fit_bytes: 1000", "use fill_bytes"),
        (f"kind: trellis_gptq, {TEXT}, pruned: 0.5", "pruned weights would come back"),
        (f"kind: trellis_gptq, {TEXT}, states: 6", "states"),
        ("kind: rtn, fit_bytes: 1000, fill_bytes: 2000", "fit_bytes and fill_bytes both set a size"),
        ("kind: rtn, clip: {kind: percentile, percentile: 99}, fill_bytes: 2000", "fill_bytes scales clips"),
        ("kind: rtn, steps: {kind: fisher, tensor: 1.5}", "tensor"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: str, said: str) -> None:
    grid = (
        "bits: {default: 6}" if "clip:" in changes else "bits: {default: 6}, clip: {kind: deviations, k: {default: 9}}"
    )
    with pytest.raises(SpecError, match=said):
        load_spec("quickstart", ["micro"], [f"recipe.quantizer={{{grid}, {changes}}}"])
