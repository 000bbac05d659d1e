"""Clips fitted to a number of bytes, and repacking of artifacts over the limit."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pgolf.errors import UsageError
from pgolf.preflight.fit import fit_clips
from pgolf.preflight.size import estimate_model_bytes
from pgolf.report.groups import group_runs
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from tests.conftest import Pgolf
from trainer.recipe.quantizer import DeviationClip
from trainer.recipe.recipe import Recipe
from trainer.recipe.writing import write_json

CRAWLER = "pr1579_crawler_d736"


def with_clips(recipe: Recipe, clips: dict[str, float]) -> Recipe:
    clip = DeviationClip(kind="deviations", k=clips)
    return replace(recipe, quantizer=replace(recipe.quantizer, clip=clip, fit_bytes=0))


@pytest.mark.parametrize("target", [12_000_000, 15_900_000])
def test_fitted_clips_are_the_narrowest_whose_upper_bound_fits(target: int) -> None:
    recipe = load_spec(CRAWLER).spec.recipe
    found = fit_clips(recipe, target)
    assert estimate_model_bytes(with_clips(recipe, found.clips)).high <= target
    narrower = {name: k * 0.999 for name, k in found.clips.items()}
    assert estimate_model_bytes(with_clips(recipe, narrower)).high > target
    before = recipe.quantizer.clip
    assert isinstance(before, DeviationClip)
    ratios = [found.clips[name] / k for name, k in before.k.items()]
    assert max(ratios) / min(ratios) == pytest.approx(1, abs=1e-3)
    assert (found.times > 1) == (found.after.estimate < found.before.estimate) == (found.expected_bpb > 0)


def test_fitted_clips_stay_above_the_least_clip() -> None:
    recipe = load_spec(CRAWLER).spec.recipe
    found = fit_clips(recipe, 100_000_000)
    assert min(found.clips.values()) == pytest.approx(4.0)
    assert found.after.high < 100_000_000


def test_unfittable_recipes_are_refused() -> None:
    with pytest.raises(UsageError, match="8 times as wide do not fit into 1,000 bytes"):
        fit_clips(load_spec(CRAWLER).spec.recipe, 1000)
    with pytest.raises(UsageError, match="is not a number of standard deviations"):
        fit_clips(load_spec("baseline").spec.recipe, 16_000_000)


def test_fit_writes_an_overlay_that_fits(pgolf: Pgolf, tmp_path: Path) -> None:
    ended = pgolf("fit", "quickstart", "--bytes", "400000", "--json")
    assert ended.code == 0, ended.err
    found = ended.json
    overlay = yaml.safe_load((tmp_path / "quickstart.fit.yaml").read_text())
    assert overlay == {"recipe": {"quantizer": {"clip": {"k": found["k"]}}}}
    preflight = pgolf("preflight", "quickstart", "--with", "quickstart.fit.yaml", "--json").json["artifact"]
    assert preflight["model_bytes"] == found["model_bytes"]
    assert 0.99 * 400_000 < preflight["total_bytes"]["high"] <= 400_000
    small = pgolf("fit", "quickstart", "--bytes", "20000")
    assert (small.code, "train_gpt.py alone takes" in small.err) == (2, True)


def train_with_limit(limit: int, like: RunDirectory, folder: Path) -> RunDirectory:
    """Train the same run again with another limit."""
    run = RunDirectory(folder / like.root.parent.name / like.root.name)
    run.root.mkdir(parents=True)
    shutil.copy(like.files.spec, run.files.spec)
    write_json(run.files.run, like.read_run() | {"limit_bytes": limit})
    subprocess.run([sys.executable, "-P", "-m", "trainer", str(run.root)], check=True)
    return run


def test_a_run_over_the_limit_is_repacked_and_reports_the_cost(micro_run: RunDirectory, tmp_path: Path) -> None:
    before = micro_run.read_result()
    limit = before["artifact"]["total_bytes"] - 700
    run = train_with_limit(limit, micro_run, tmp_path)
    result = run.read_result()
    artifact, metrics = result["artifact"], {metric["stage"]: metric for metric in result["metrics"]}
    assert limit - 500 < artifact["total_bytes"] <= limit
    assert artifact["model_bytes"] == run.files.model.stat().st_size
    assert artifact["repacked"]["bytes_before"] == before["artifact"]["total_bytes"]
    assert artifact["repacked"]["clip_times"] > 1
    assert metrics["reference"]["quantizer"] == "over_limit"
    assert metrics["reference"]["val_loss"] == before["headline"]["val_loss"]  # the score without repacking
    assert metrics["roundtrip"]["val_loss"] != metrics["reference"]["val_loss"]
    assert result["headline"]["val_loss"] == metrics["roundtrip"]["val_loss"]
    (group,) = group_runs([run])
    cost = metrics["roundtrip"]["val_bpb"] - metrics["reference"]["val_bpb"]
    (message,) = [finding.message for finding in group.rows[0].problems() if finding.rule == "repacked"]
    assert f"cost {cost:+.6f} bpb" in message


@pytest.mark.slow
@pytest.mark.parametrize("limit", [20_000, 28_000])
def test_a_run_that_no_grid_can_fit_is_left_unchanged_and_logged(
    micro_run: RunDirectory, tmp_path: Path, limit: int
) -> None:
    run = train_with_limit(limit, micro_run, tmp_path)
    result = run.read_result()
    assert "repacked" not in result["artifact"]
    assert result["headline"]["val_loss"] == micro_run.read_result()["headline"]["val_loss"]
    assert "more than wider clips can save" in run.files.log.read_text()
