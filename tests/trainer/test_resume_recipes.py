"""Every kind of state survives a checkpoint: looped, averaged, rounded and recurrent runs go on to the same bits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from trainer.recipe.files import DataFiles, RunFiles
from trainer.resumable import ResumableTraining
from trainer.resume import resume_training
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import SINGLE_PROCESS

RECURRENT = "recipe.model.topology.recurrence={first: 1, last: 2, loops: 2, from_progress: 0.5}"
RECIPES = {
    "looped, SWA, rounded from the start, stale gradients": ("pr1579_crawler_d736", ()),
    "looped, candidates, rounded late": (
        "pr1579_crawler_d736",
        (
            "recipe.averaging={kind: candidates, ema_decay: 0.9, swa_every_steps: 2, swa_below_lr: 0.5, sequences: 4}",
            "recipe.quantizer.training={kind: straight_through, below_lr: 0.5}",
        ),
    ),
    "recursive, SWA": ("pr927_recursive", ()),
    "instructions, frozen tensors": ("pr1535_crawler_loop_aware", ()),
    "EMA from the initial weights": ("pr576_int5_gptq", ()),
    "several rates, softly rounded": (
        "pr861_int5_qat_unet",
        ("recipe.quantizer.training={kind: straight_through, below_lr: 0.5, softness: 1.0}",),
    ),
    "recurrent from the middle on": ("pr549_leaky_ttt", (RECURRENT,)),
    "value residual": ("pr569_value_residual", ()),
    "row-normalized, Polar Express": (
        "pr549_leaky_ttt",
        ("recipe.optimizer.row_normalized=true", "recipe.optimizer.coefficients=polar_express"),
    ),
}
STEPS = 12


def training(micro_run: RunDirectory, root: Path, name: str, changes: tuple[str, ...]) -> ResumableTraining:
    recipe = load_spec(name, ["micro"], changes).spec.recipe
    run = micro_run.read_run() | {"environment": None}
    root.mkdir(exist_ok=True)
    data = DataFiles(Path(run["data_folder"]))
    job = TrainingJob(files=RunFiles(root), recipe=recipe, data=data, seed=5, run=run)
    return ResumableTraining(job, SINGLE_PROCESS, SilentJournal(), PhaseClock())


def everything(made: ResumableTraining) -> dict[str, Tensor]:
    """Return all weights and all candidates."""
    found = {name: parameter.detach().clone() for name, parameter in made.parameters.items()}
    for kind, weights in made.average.candidates().items():
        found |= {f"{kind} {name}": weight.clone() for name, weight in weights.items()}
    return found


SLOW = pytest.mark.slow


@pytest.mark.parametrize("stop_at", [pytest.param(1, marks=SLOW), 5, pytest.param(11, marks=SLOW)])
@pytest.mark.parametrize("kind", RECIPES)
def test_a_run_that_was_cut_goes_on_to_the_same_bits(
    micro_run: RunDirectory, tmp_path: Path, kind: str, stop_at: int
) -> None:
    name, changes = RECIPES[kind]
    steady = training(micro_run, tmp_path / "steady", name, changes)
    steady.run()
    cut = training(micro_run, tmp_path / "cut", name, changes)
    for _ in range(stop_at):
        cut.train_step(cut.recipe.schedule.multiplier(cut.progress))
    cut.write_checkpoint()
    cut.data.batches.close()
    again = training(micro_run, tmp_path / "cut", name, changes)
    resume_training(again)
    assert again.step == stop_at
    again.run()
    expected, found = everything(steady), everything(again)
    assert expected.keys() == found.keys()
    assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []
    assert steady.step == STEPS
