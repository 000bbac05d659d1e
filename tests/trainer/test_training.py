"""The training loop, without a process around it."""

import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import trainer.runtime.clock
from pgolf.campaign.status import remaining_seconds
from pgolf.rundir import RunDirectory
from tests.trainer.small import awake_model, random_tokens, segments_of, small_recipe
from trainer.data.batches import MicroBatch
from trainer.data.documents import segments_of as segments_in
from trainer.recipe.loader import DocumentPacking
from trainer.recipe.writing import write_json
from trainer.resumable import ResumableTraining
from trainer.resume import resume_training
from trainer.runtime.clock import PhaseClock
from trainer.runtime.failure import Stopped, TrainingFailed
from trainer.runtime.job import TrainingJob, read_job
from trainer.runtime.journal import RunJournal
from trainer.runtime.world import SINGLE_PROCESS


@pytest.fixture
def job(micro_run: RunDirectory, tmp_path: Path) -> TrainingJob:
    """Return the job of the micro run in a folder of its own."""
    for name in ("spec.json", "run.json"):
        shutil.copy(micro_run.root / name, tmp_path)
    return read_job(tmp_path)


def training(job: TrainingJob, **changes: Any) -> ResumableTraining:
    recipe = small_recipe(**changes)
    return ResumableTraining(replace(job, recipe=recipe), SINGLE_PROCESS, RunJournal(job.files), PhaseClock())


def test_micro_batches_add_up_to_the_batch(job: TrainingJob) -> None:
    whole = training(job)
    parts = training(job, schedule__micro_batch_tokens=64)
    losses = [[made.train_step(1.0).item() for _ in range(3)] for made in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    for name, parameter in whole.parameters.items():
        torch.testing.assert_close(parameter, parts.parameters[name], atol=1e-4, rtol=1e-3)


def test_the_seed_decides_the_weights_and_nothing_else_does(job: TrainingJob) -> None:
    first, again, other = training(job), training(job), training(replace(job, seed=job.seed + 1))
    names = [name for name in first.parameters if "query" in name]
    assert all(torch.equal(first.parameters[name], again.parameters[name]) for name in names)
    assert not any(torch.equal(first.parameters[name], other.parameters[name]) for name in names)


def test_a_stop_before_the_first_step_can_be_resumed(job: TrainingJob) -> None:
    asked = training(job)
    asked.stop.requested = True
    with pytest.raises(Stopped):
        asked.run()
    again = training(job)
    resume_training(again)
    again.run()
    assert again.step == 12


def test_a_loss_that_is_no_number_ends_the_run_before_a_checkpoint_holds_it(job: TrainingJob) -> None:
    made = training(job)
    made.run()
    before = made.checkpoints.newest_first()
    broken = training(job, budget__train=400)
    resume_training(broken)
    with torch.no_grad():
        broken.parameters["flat.0.mlp.up"].fill_(float("nan"))
    with pytest.raises(TrainingFailed, match=r"step 13 is not a number; .* step-00000012\.ckpt"):
        broken.run()
    assert broken.checkpoints.newest_first() == before


def test_weights_that_an_update_has_broken_reach_no_checkpoint(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training(job, budget__train=400)

    def break_weights(step: int, multiplier: float) -> None:
        made.parameters["flat.1.mlp.up"].data.fill_(float("inf"))

    for _ in range(3):
        made.train_step(1.0)
    made.write_checkpoint()
    monkeypatch.setattr(made.optimizer, "step", break_weights)
    made.train_step(1.0)  # its loss is of the weights before
    with pytest.raises(TrainingFailed, match=r"flat\.1\.mlp\.up is not finite .* step 4, .* step-00000003\.ckpt"):
        made.write_checkpoint()
    again = training(job, budget__train=400)
    resume_training(again)
    assert again.step == 3
    assert all(parameter.isfinite().all() for parameter in again.parameters.values())


@pytest.mark.slow
def test_under_a_clock_of_seconds_a_hundred_steps_are_logged_and_not_all(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()  # whatever this machine has to do besides, a step takes the same time
    monkeypatch.setattr(trainer.runtime.clock, "time", SimpleNamespace(monotonic=lambda: 0.01 * next(ticks)))
    clock = {"schedule__clock": "seconds", "budget__clock": "seconds"}
    made = training(job, **clock, budget__train=4.5)
    made.run()
    assert made.step > 110
    assert 50 < len(RunDirectory(job.files.root).read_metrics()) <= 102
    state = RunDirectory(job.files.root).read_state()
    assert remaining_seconds({**state, "progress": 0.25, "elapsed_seconds": 1.0}) == 3.0


def test_under_a_clock_of_seconds_it_stops_in_time_and_has_warmed_down(job: TrainingJob) -> None:
    clock = {"schedule__clock": "seconds", "budget__clock": "seconds"}
    made = training(job, **clock, budget__train=0.5, budget__reserve_seconds=0.1)
    made.run()
    assert 0.4 <= made.clock.seconds("train") < 2.0
    rows = RunDirectory(job.files.root).read_metrics()
    assert rows[0]["lr_multiplier"] > rows[-1]["lr_multiplier"]


def test_tokens_and_steps_are_one_budget(job: TrainingJob) -> None:
    clock = {"schedule__clock": "tokens", "budget__clock": "tokens"}
    by_tokens, by_steps = training(job, **clock, budget__train=12 * 256), training(job)
    for made in (by_tokens, by_steps):
        made.run()
        shutil.rmtree(job.files.checkpoints)
    assert by_tokens.step == by_steps.step == 12
    for name, parameter in by_tokens.parameters.items():
        assert torch.equal(parameter, by_steps.parameters[name])


def test_run_json_is_all_that_says_where_the_data_is(job: TrainingJob, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(job.data.root, moved)
    write_json(job.files.run, job.run | {"data_folder": str(moved)})
    assert (
        ResumableTraining(read_job(tmp_path), SINGLE_PROCESS, RunJournal(job.files), PhaseClock())
        .train_step(1.0)
        .item()
        > 0
    )


ROWS = "kind: document_rows, row_tokens: 128"
LOADERS = [
    "{kind: sequential}", "{kind: shuffled_windows}", "{kind: coprime_stride}", "{kind: document_packing}",
    "{kind: document_rows, row_tokens: 128, longest: 40}",
    "{kind: document_rows, row_tokens: 128, longest: [{until: 0.3, tokens: 16}, {until: 1, tokens: 64}]}",
]  # fmt: skip


@pytest.mark.parametrize("loader", LOADERS)
def test_training_goes_on_to_the_same_bits_whatever_the_loader(job: TrainingJob, loader: str) -> None:
    steady = training(job, schedule__loader=loader)
    steady.run()
    shutil.rmtree(job.files.checkpoints)
    first = training(job, schedule__loader=loader)
    for _ in range(5):
        first.train_step(first.recipe.schedule.multiplier(first.progress))
    first.write_checkpoint()
    first.data.batches.close()
    second = training(job, schedule__loader=loader)
    resume_training(second)
    assert second.step == 5
    second.run()
    for name, parameter in steady.parameters.items():
        assert torch.equal(parameter, second.parameters[name]), name


def test_each_order_reads_something_else(job: TrainingJob) -> None:
    losses = {loader: training(job, schedule__loader=loader).train_step(1.0).item() for loader in LOADERS[:3]}
    assert len({*losses.values()}) == 3


def test_packed_documents_are_kept_apart_in_training(job: TrainingJob) -> None:
    x_BT, y_BT = random_tokens(2, 64), random_tokens(2, 64, seed=1)
    x_BT[x_BT == 1] = 2
    x_BT[:, [0, 20, 21, 40]] = 1
    documents_BT = torch.tensor([[1] * 20 + [2] + [3] * 19 + [4] * 24] * 2)
    losses = []
    for loader in ("{kind: document_packing}", "{kind: sequential}"):
        made = training(job, schedule__loader=loader)
        made.model.load_state_dict(awake_model(made.recipe).state_dict())
        packing = made.recipe.schedule.loader
        segments = segments_in(x_BT, 1, None, x_BT.device) if isinstance(packing, DocumentPacking) else None
        losses.append(made.mean_loss(MicroBatch(x_BT, y_BT, segments)).item())
    assert losses[0] == pytest.approx(made.model.mean_loss(x_BT, y_BT, segments_of(documents_BT)).item(), abs=1e-6)
    assert abs(losses[0] - losses[1]) > 1e-3


def test_documents_are_cut_later_as_training_goes_on_and_the_learning_rate_climbs_again(job: TrainingJob) -> None:
    """12 steps: 16 tokens until 0.3, then 64, with a third, two thirds and all of the rate after the change."""
    stages = "[{until: 0.3, tokens: 16}, {until: 1, tokens: 64}]"
    made = training(
        job, schedule__loader=f"{{kind: document_rows, row_tokens: 128, rewarm_steps: 3, longest: {stages}}}"
    )
    seen: list[tuple[int, int, float]] = []
    for step in range(8):
        made.train_step(1.0)
        length = made.data.length
        segments = next(iter(made.data.batches.next_step())).segments
        assert segments is not None
        seen.append((segments.longest, int(segments.bounds_N.diff().max()), length.lr_share(step)))
    assert seen == [(16, 16, 1.0)] * 4 + [(64, 64, pytest.approx(share)) for share in (1 / 3, 2 / 3, 1.0, 1.0)]
    assert length.changed_at == 4


def test_the_climb_scales_the_optimizer_and_nothing_else(job: TrainingJob, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = "[{until: 0.1, tokens: 16}, {until: 1, tokens: 64}]"
    made = training(
        job, schedule__loader=f"{{kind: document_rows, row_tokens: 128, rewarm_steps: 4, longest: {stages}}}"
    )
    given: dict[str, list[float]] = {"optimizer": [], "average": []}
    for name, place in ((("optimizer"), "step"), ("average", "update")):
        whole = getattr(getattr(made, name), place)

        def note(step: int, multiplier: float, name: str = name, whole: Any = whole) -> None:
            given[name].append(multiplier)
            whole(step, multiplier)

        monkeypatch.setattr(getattr(made, name), place, note)
    for _ in range(4):
        made.train_step(0.8)
    assert given == {"optimizer": pytest.approx([0.8, 0.8, 0.2, 0.4]), "average": [0.8] * 4}
