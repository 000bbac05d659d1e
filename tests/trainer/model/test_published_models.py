"""The published models against a second writing of their formulas in float64."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch

from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from tests.trainer.model.published_reference import (
    crawler_logits,
    gated_unet_logits,
    instructed_loops_logits,
    value_residual_logits,
)
from tests.trainer.model.records_reference import added_logits, laned_logits
from tests.trainer.model.reference import Array
from tests.trainer.small import awake_model, random_tokens

LENGTH = 40  # longer than the 32 tokens beyond which bases are stretched at micro
Logits = Callable[[dict[str, Array], list[int]], Array]
MODELS: dict[str, Logits] = {
    "pr1579_crawler_d736": lambda w, tokens: crawler_logits(w, tokens, heads=2, kv_heads=1),
    "pr1817_crawler_d832": lambda w, tokens: crawler_logits(w, tokens, heads=2, kv_heads=1),
    "pr861_int5_qat_unet": lambda w, tokens: gated_unet_logits(w, tokens, heads=2, layers=11, dims=8, last=4),
    "pr569_value_residual": lambda w, tokens: value_residual_logits(
        w, tokens, heads=2, kv_heads=1, layers=3, dims=8, trained=32
    ),
    "pr1535_crawler_loop_aware": lambda w, tokens: instructed_loops_logits(
        w, tokens, heads=2, kv_heads=1, dims=8, trained=32
    ),
    "pr1493": lambda w, tokens: added_logits(w, tokens, trained=64),
    "pr1855": laned_logits,
    "frontier": laned_logits,
}


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_the_published_one_written_a_second_time(name: str) -> None:
    recipe = load_spec(name, ["micro"]).spec.recipe
    model = awake_model(recipe).double()
    weights = {key: parameter.detach().numpy() for key, parameter in model.named_parameters()}
    tokens = random_tokens(80 if name == "pr1493" else LENGTH, seed=2)
    tokens[5] = 1  # a document begins
    with torch.no_grad():
        found = model(tokens[None])[0].numpy()
    expected = MODELS[name](weights, tokens.tolist())
    assert np.abs(expected).max() > 2
    np.testing.assert_allclose(found, expected, atol=3e-4)


FIRST_WEIGHTS = """
import hashlib, torch
print(hash("pgolf"))
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from trainer.model.gpt import GptModel
for name in sorted(shipped_specs()):
    recipe = load_spec(name, ["micro"]).spec.recipe
    torch.manual_seed(1)
    model = GptModel(recipe.model, recipe.data.vocabulary_size)
    print(name, hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""


def test_first_weights_follow_from_the_seed_and_not_from_the_hashes_of_strings() -> None:
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", FIRST_WEIGHTS]
    there = subprocess.run(command, capture_output=True, check=True, env=environment, text=True).stdout
    here = StringIO()
    with redirect_stdout(here):  # with this process's own hashes of strings
        exec(FIRST_WEIGHTS, {})
    assert hash("pgolf") != int(there.splitlines()[0])
    assert here.getvalue().splitlines()[1:] == there.splitlines()[1:]
    assert there.count("\n") == 1 + len(shipped_specs())
