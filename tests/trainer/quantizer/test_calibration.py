"""Hessians, calibration text, and the effect of the column order on a trained model."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import trainer.runtime.device
from pgolf.rundir import RunDirectory
from tests.trainer.quantizer.test_gptq import damage
from tests.trainer.quantizer.test_gptq import recipe as recipe_of_gptq
from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.data.manifest import read_split
from trainer.data.published_first_sequences import first_sequences
from trainer.data.sampling import random_sequences
from trainer.data.shards import TokenStream
from trainer.model.gpt import GptModel
from trainer.model.norm import rms_norm
from trainer.quantizer.calibration import calibrate, generate_sequences
from trainer.quantizer.feedback import compensated_names, feedbacks_of
from trainer.quantizer.gptq import GptqQuantizer
from trainer.quantizer.hessians import collect_hessians
from trainer.quantizer.quantizer import quantize_model
from trainer.recipe.compute import Compute
from trainer.recipe.files import DataFiles
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import GeneratedText, Gptq
from trainer.recipe.recipe import Recipe
from trainer.runtime.checkpoint import read_checkpoint
from trainer.runtime.job import read_job

CPU = torch.device("cpu")
LOOPED = "{kind: looped, flat_before: 1, looped: 1, loops: 2, flat_after: 1, blend: 0.5}"


def gptq(**changes: object) -> Gptq:
    return recipe_of_gptq(bits={"default": 5}, float_up_to=0, **changes)


def nothing() -> None: ...


def test_a_hessian_is_the_second_moment_of_the_inputs_of_its_matrix() -> None:
    model = awake_model(small_recipe())
    text = [random_tokens(1, 24, seed=seed) for seed in range(3)]
    with torch.no_grad():
        found = collect_hessians(model, ["flat.0.attention.query", "embedding.tokens"], text, nothing)
        block = model.get_submodule("flat.0")
        entering, leaving = [], []
        for tokens in text:
            first = model.embedding(tokens, None)
            mixed = block.input_mix[0] * first + block.input_mix[1] * first  # type: ignore[index]
            entering.append(rms_norm(mixed)[0])
            leaving.append(rms_norm(model.features(tokens, None))[0])
    for name, inputs in (("flat.0.attention.query", entering), ("embedding.tokens", leaving)):
        x_NC = torch.cat(inputs).double()
        torch.testing.assert_close(found[name].double(), x_NC.T @ x_NC, atol=1e-3, rtol=1e-4)


def test_second_moments_keep_their_precision_where_products_are_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the forward pass runs under autocast; sums of bfloat16 products are not positive definite."""
    monkeypatch.setattr(trainer.runtime.device, "cpu_has_bfloat16", lambda: True)
    model = awake_model(small_recipe(compute__precision="bfloat16"))
    text = [random_tokens(1, 24, seed=seed) for seed in range(8)]
    found = collect_hessians(model, ["flat.0.attention.query"], text, nothing)["flat.0.attention.query"]
    assert found.dtype == torch.float32
    model.compute = Compute(precision="float32")
    exact = collect_hessians(model, ["flat.0.attention.query"], text, nothing)["flat.0.attention.query"]
    assert (found - exact).norm() < 0.02 * exact.norm()
    assert torch.linalg.eigvalsh(found.double()).min() > -1e-3 * found.diagonal().mean()


def test_every_matrix_has_a_feedback_and_the_head_only_on_request() -> None:
    recipe = small_recipe(model__embedding="{bigram: {buckets: 64, width: 8}, value: {width: 8, last_executions: 1}}")
    model = awake_model(recipe)
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    matrices = {tensor.name for tensor in tensors if tensor.group in ("attention", "mlp", "projection")}
    text = [random_tokens(1, 16)]
    assert set(calibrate(gptq(), tensors, model, lambda _: text, nothing).feedbacks) == matrices
    with_head = calibrate(gptq(tables="head_inputs"), tensors, model, lambda _: text, nothing)
    assert set(with_head.feedbacks) == matrices | {"embedding.tokens"}


def test_loops_are_calibrated_with_rounded_flat_blocks_and_the_model_is_unchanged() -> None:
    recipe = small_recipe(model__topology=LOOPED)
    model = awake_model(recipe)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    text = [random_tokens(1, 32)]
    once = calibrate(gptq(), tensors, model, lambda _: text, nothing)
    twice = calibrate(gptq(loop_aware=True), tensors, model, lambda _: text, nothing)
    for name, feedback in once.feedbacks.items():
        is_equal = torch.equal(feedback.factor_CC, twice.feedbacks[name].factor_CC)
        assert is_equal == name.startswith("flat."), name
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    # the second pass, by hand
    rounded = quantize_model(gptq(), tensors, before, once).dequantize()
    flat = {name: rounded[name] for name in once.feedbacks if name.startswith("flat.")}
    model.load_state_dict(before | flat)
    by_hand = feedbacks_of(gptq(), collect_hessians(model, ["looped.0.mlp.up"], text, nothing))
    torch.testing.assert_close(twice.feedbacks["looped.0.mlp.up"].factor_CC, by_hand["looped.0.mlp.up"].factor_CC)


@pytest.fixture
def trained(long_run: RunDirectory) -> tuple[Recipe, GptModel, TokenStream]:
    """Return the recipe, a briefly trained model, and its training text."""
    job = read_job(long_run.root)
    model = GptModel(job.recipe.model, job.recipe.vocabulary_size)
    model.load_state_dict(read_checkpoint(job.files.prequant))
    data = DataFiles(Path(long_run.read_run()["data_folder"]))
    return job.recipe, model, TokenStream(read_split(data, "train", job.recipe.vocabulary_size).shards)


def total_damage(order: str, model: GptModel, hessians: Mapping[str, Tensor]) -> float:
    recipe = gptq(order=order)
    named = {name: parameter.detach() for name, parameter in model.named_parameters() if name in hessians}
    found = GptqQuantizer(recipe, feedbacks_of(recipe, hessians)).quantize_all(named)
    return sum(damage(named[name], found[name], hessian.double()) for name, hessian in hessians.items())


def test_descending_order_loses_a_tenth_less_on_a_trained_model(
    trained: tuple[Recipe, GptModel, TokenStream],
) -> None:
    recipe, model, stream = trained
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    text = list(random_sequences(stream, 32, 64, 0, CPU))
    hessians = collect_hessians(model, compensated_names(gptq(), tensors), text, nothing)
    assert total_damage("descending", model, hessians) < 0.9 * total_damage("natural", model, hessians)
    assert total_damage("natural", model, hessians) < total_damage("ascending", model, hessians)


def test_sequences_come_from_the_training_text_by_seed(trained: tuple[Recipe, GptModel, TokenStream]) -> None:
    _, _, stream = trained
    first, again, other = (torch.cat(list(random_sequences(stream, 4, 16, seed, CPU))) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    everything = stream.read(0, len(stream)).tolist()
    for row in first.tolist():
        assert any(everything[start : start + 16] == row for start in range(len(everything)))
    front = torch.cat(list(first_sequences(stream, 2, 16, CPU)))
    assert front.flatten().tolist() == everything[:32]


def test_a_model_generates_its_own_calibration_text() -> None:
    model = awake_model(small_recipe())
    recipe = GeneratedText(kind="generated", sequences=3, temperature=0.5)
    text, again = (torch.cat(generate_sequences(recipe, model, 1, 12, seed, nothing)) for seed in (7, 7))
    assert torch.equal(text, again)
    assert text.shape == (3, 12)
    assert set(text[:, 0].tolist()) == {1}
    assert len({tuple(row) for row in text.tolist()}) == 3
    cold = GeneratedText(kind="generated", sequences=1, temperature=1e-6)
    (greedy,) = generate_sequences(cold, model, 1, 6, 0, nothing)
    with torch.no_grad():
        for position in range(1, 6):
            assert greedy[0, position] == model(greedy[:, :position], last=1).argmax()
