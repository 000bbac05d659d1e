"""The fastest attention kernel is timed once, and kept for the whole run."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer.autotune
from tests.trainer.small import CPU, small_recipe
from trainer.autotune import CANDIDATES, time_kernels, with_fastest_attention
from trainer.model.attention_function import AttentionFunction
from trainer.model.attention_kernels import make_attention_function
from trainer.model.segments import Segments
from trainer.recipe.compute import AttentionKernel
from trainer.recipe.files import DataFiles, RunFiles
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import RunJournal, SilentJournal
from trainer.runtime.world import SINGLE_PROCESS, World
from trainer.train import is_deterministic, pin_environment


def job(folder: Path, word: str = "measured") -> TrainingJob:
    recipe = small_recipe(compute__attention=word)
    return TrainingJob(files=RunFiles(folder), recipe=recipe, data=DataFiles(folder), seed=0, run={})


def refuse(refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one kernel raise as if it did not support the inputs."""

    def cannot(*_: object) -> torch.Tensor:
        raise RuntimeError("No available kernel. Aborting execution.")

    def make(word: AttentionKernel, *rest: Any) -> AttentionFunction:
        return cannot if word == refused else make_attention_function(word, *rest)

    monkeypatch.setattr(trainer.autotune, "make_attention_function", make)


def test_a_trial_ranks_all_that_can_do_it_by_their_seconds() -> None:
    seconds = time_kernels(small_recipe(), CPU)
    assert set(seconds) == set(CANDIDATES["cpu"])
    assert 0 < next(iter(seconds.values())) == min(seconds.values())


def test_kernels_are_tried_with_the_segments_of_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CANDIDATES, "cpu", ("library", "flash", "padded"))
    assert set(time_kernels(small_recipe(), CPU)) == {"library", "flash", "padded"}
    asked: list[object] = []

    def make(word: AttentionKernel, device_type: str, head_width: int, segments: Segments | None) -> AttentionFunction:
        asked.append(segments)
        return make_attention_function(word, device_type, head_width, segments)

    monkeypatch.setattr(trainer.autotune, "make_attention_function", make)
    packed = time_kernels(small_recipe(schedule__loader="{kind: document_packing}"), CPU)
    assert set(packed) == {"library", "flash", "padded"}
    assert asked
    assert all(isinstance(segments, Segments) for segments in asked)


def test_a_kernel_that_cannot_do_it_is_left_out_and_torchs_choice_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse("padded", monkeypatch)
    assert set(time_kernels(small_recipe(), CPU)) == set(CANDIDATES["cpu"]) - {"padded"}
    refuse("library", monkeypatch)
    with pytest.raises(RuntimeError, match="No available kernel"):
        time_kernels(small_recipe(), CPU)


def test_the_choice_is_printed_and_kept_and_tried_no_second_time(tmp_path: Path) -> None:
    begun = job(tmp_path)
    chosen = with_fastest_attention(begun, SINGLE_PROCESS, RunJournal(begun.files))
    assert "attention of one layer, forward and backward: " in begun.files.log.read_text()
    environment, _ = pin_environment(chosen, SINGLE_PROCESS, SilentJournal())
    assert environment["attention"] == chosen.recipe.compute.attention
    assert json.loads(begun.files.run.read_text())["environment"]["attention"] in CANDIDATES["cpu"]
    for kept in CANDIDATES["cpu"]:
        again = replace(begun, run={"environment": environment | {"attention": kept}})
        assert with_fastest_attention(again, SINGLE_PROCESS, SilentJournal()).recipe.compute.attention == kept


@dataclass(frozen=True)
class Worker(World):
    """Rank 1 of 2, to which rank 0 broadcasts the number of a kernel."""

    rank: int = 1
    size: int = 2

    def broadcast_number(self, number: int) -> int:
        return 1


def test_a_worker_tries_nothing_and_takes_what_rank_zero_broadcasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse("library", monkeypatch)  # timing it would raise
    chosen = with_fastest_attention(job(tmp_path), Worker(CPU), SilentJournal())
    assert chosen.recipe.compute.attention == CANDIDATES["cpu"][1]


def test_what_was_measured_need_not_give_the_same_bits_again(tmp_path: Path) -> None:
    assert is_deterministic(job(tmp_path, "automatic").recipe, CPU)
    assert not is_deterministic(job(tmp_path, "measured").recipe, CPU)
