"""Predicted time and its basis."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgolf.preflight.duration import (
    DurationEstimate,
    assume_speed,
    document_passes,
    estimate_duration,
    evaluation_seconds,
    learning_steps,
    passes_per_token,
    planned_tokens,
)
from pgolf.preflight.throughput import LEARNING_SLOWDOWN, LEARNING_STEP_SECONDS
from pgolf.specs.loading import load_spec
from tests.pgolf.report.builders import result_of, write_run
from trainer.recipe.evaluation import DocumentLora
from trainer.recipe.recipe import Recipe

SPEC = "a" * 64


# Fixed values for the numbers below, so that they do not depend on how quickstart is tuned.
PINNED = ("recipe.budget.train=600", "recipe.schedule.batch_tokens=2048")


def recipe_of(*assignments: str) -> Recipe:
    return load_spec("quickstart", [], [*PINNED, *assignments]).spec.recipe


def duration(runs: Path, recipe: Recipe | None = None, **changes: Any) -> DurationEstimate:
    settings: dict[str, Any] = {
        "gpu": None,
        "processes": 1,
        "cores": 2,
        "validation_tokens": 50_000,
        "step_seconds": None,
    }
    return estimate_duration(recipe or recipe_of(), runs_dir=runs, **({"spec_sha256": SPEC} | settings | changes))


def test_finished_runs_of_the_spec_are_the_preferred_basis(tmp_path: Path) -> None:
    for seed, seconds in ((1, 10.0), (2, 30.0), (3, 20.0)):
        clock = {"train_seconds": seconds, "evaluate_seconds": seconds / 10}
        write_run(tmp_path / "exp-aaaaaaaa" / f"seed-{seed}", result_of(seed, 1.2, clock=clock))
    other = result_of(4, 1.2, spec_sha256="b" * 64, clock={"train_seconds": 9e9, "evaluate_seconds": 9e9})
    write_run(tmp_path / "exp-bbbbbbbb" / "seed-4", other)
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-5", None)
    resumed = result_of(6, 1.2, resumed_from_step=5, clock={"train_seconds": 9e9, "evaluate_seconds": 9e9})
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-6", resumed)
    found = duration(tmp_path)
    assert (found.train_seconds, found.evaluate_seconds) == (20.0, 2.0)
    assert found.basis == "3 finished runs of this spec"
    measured = duration(tmp_path, step_seconds=0.5)
    assert measured.train_seconds == 300.0
    assert measured.basis == "measured 500 ms per step"
    assert "public runs" in duration(tmp_path, gpu="H100:1").basis


def test_a_half_written_result_does_not_stop_preflight(tmp_path: Path) -> None:
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", None).files.result.write_text('{"cl')
    assert duration(tmp_path, step_seconds=0.5).train_seconds == 300


def test_measured_steps_override_assumptions(tmp_path: Path) -> None:
    found = duration(tmp_path, step_seconds=0.05)
    assert found.train_seconds == pytest.approx(600 * 0.05)
    assert "measured 50 ms" in found.basis


def test_the_assumed_time_follows_from_the_operations_of_a_step_and_is_labelled(tmp_path: Path) -> None:
    shape = "{attention: {heads: 4, kv_heads: 2}, mlp: {ratio: 4}}"
    found = duration(tmp_path, recipe_of(f"recipe.model={shape}"))
    width, vocabulary, layers, length = 128, 1024, 4, 256
    matrices = layers * (2 * width * width + 2 * width * width // 2 + 2 * 4 * width * width)
    seen = (
        layers * 2 * width * length / 2
    )  # on average a token attends to half of its sequence, for scores and for values
    flops = 2 * (vocabulary * width + matrices) + 2 * seen
    assert found.train_seconds == pytest.approx(600 * 2048 * 3 * flops / (2 * 4e10))
    assert found.steps == 600
    assert "not measured" in found.basis


def test_a_budget_in_seconds_is_the_training_time(tmp_path: Path) -> None:
    recipe = recipe_of("recipe.budget.clock=seconds", "recipe.schedule.clock=seconds", "recipe.budget.train=77")
    found = duration(tmp_path, recipe, step_seconds=0.5)
    assert (found.train_seconds, found.steps) == (77, 154)
    assert planned_tokens(recipe) is None


def test_scoring_time_is_unknown_without_validation_data(tmp_path: Path) -> None:
    assert duration(tmp_path, validation_tokens=None).evaluate_seconds is None


def test_a_sliding_window_runs_each_token_window_divided_by_stride_times(tmp_path: Path) -> None:
    sliding, chunked = recipe_of(), recipe_of("recipe.evaluation={kind: chunked, window: 512}")
    assert (passes_per_token(sliding, 8), passes_per_token(chunked, 8)) == ((2.0, 0.0), (1.0, 0.0))
    both = [duration(tmp_path, recipe).evaluate_seconds for recipe in (sliding, chunked)]
    assert both[0] == pytest.approx(2 * (both[1] or 0))


def test_adaptation_is_shared_by_as_many_processes_as_it_has_sequences(tmp_path: Path) -> None:
    adapting = recipe_of(
        "recipe.evaluation={kind: score_first_ttt, window: 512, stride: 256, chunk_tokens: 2048, epochs: 3, "
        "optimizer: {kind: sgd, lr: 0.1}, batch_sequences: 2}"
    )
    assert passes_per_token(adapting, 1) == passes_per_token(adapting, 2) == (2, 3 * 3)
    assert passes_per_token(adapting, 8) == (2, 3 * 3 * 4)  # six of the eight are idle
    assert learning_steps(adapting, 3 * 2048 + 2) == 3 * 3 * 2  # the fourth chunk is the last
    sliding = recipe_of("recipe.evaluation={kind: sliding, window: 512, stride: 256}")
    assert learning_steps(sliding, 3 * 2048 + 2) == 0
    with_steps, without = (
        duration(tmp_path, recipe, gpu="H100:8", processes=8, validation_tokens=3 * 2048 + 2).evaluate_seconds or 0
        for recipe in (adapting, sliding)
    )
    learning = LEARNING_SLOWDOWN * 3 * 3 * 4
    assert with_steps == pytest.approx(18 * LEARNING_STEP_SECONDS + without * (2 + learning) / 2)


def test_tokens_that_pass_for_a_target_of_documents_are_those_of_drawn_lengths() -> None:
    """Documents of exponential length, each scored in chunks of 48 of which the last reaches beyond its end."""
    recipe = recipe_of("recipe.evaluation={kind: document_lora, window: 512, chunk_tokens: 48}").evaluation
    assert isinstance(recipe, DocumentLora)
    lengths = np.random.default_rng(4).exponential(900, size=20_000)
    passed = sum(min(512, end) for length in lengths for end in range(48, int(length) + 48, 48))
    assert document_passes(recipe) == pytest.approx(passed / lengths.sum(), rel=0.02)


def test_processes_share_the_documents() -> None:
    lora = recipe_of("recipe.evaluation={kind: document_lora, window: 512, chunk_tokens: 256}")
    assert passes_per_token(lora, 1) == passes_per_token(lora, 8)


@pytest.mark.parametrize(("name", "logged"), [("pr1729", 488.8), ("pr2014", 493.5)])
def test_adaptation_takes_as_long_as_in_the_logs(name: str, logged: float) -> None:
    """total_eval_time of #1729, seed 1337, and of #2014, seed 0, on 8xH100."""
    recipe = load_spec(name).spec.recipe
    assumed = assume_speed(recipe, "H100:8", 2)
    assert evaluation_seconds(recipe, 47_853_344, 8, assumed) == pytest.approx(logged, rel=0.15)


@pytest.mark.parametrize(
    ("budget", "tokens"), [("steps, train: 10", 20_480), ("steps, train: 9.5", 20_480), ("tokens, train: 2049", 4096)]
)
def test_planned_tokens_are_whole_batches(budget: str, tokens: int) -> None:
    clock = budget.partition(",")[0]
    recipe = recipe_of(f"recipe.budget={{clock: {budget}}}", f"recipe.schedule.clock={clock}")
    assert planned_tokens(recipe) == tokens
