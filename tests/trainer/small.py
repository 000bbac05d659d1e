"""A small recipe and model for the trainer's tests."""

from typing import Any

import torch

from pgolf.specs.loading import load_spec
from trainer.model.gpt import GptModel
from trainer.model.segments import Segments
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.recipe import Recipe

VOCABULARY = 384
CPU = torch.device("cpu")


def small_recipe(**changes: Any) -> Recipe:
    """Return quickstart at micro with four layers, and dotted keys (`a__b=1` for `recipe.a.b`) changed."""
    assignments = [f"recipe.{key.replace('__', '.')}={value}" for key, value in changes.items()]
    return load_spec("quickstart", ["micro"], ["recipe.model.topology.layers=4", *assignments]).spec.recipe


def small_muon(**changes: Any) -> MuonAdamW:
    """Return the optimizer of a small recipe."""
    optimizer = small_recipe(**changes).optimizer
    assert isinstance(optimizer, MuonAdamW)
    return optimizer


def awake_model(recipe: Recipe, seed: int = 0) -> GptModel:
    """Return a model in which every branch counts: no projection is zero, no gain is one."""
    torch.manual_seed(seed)
    model = GptModel(recipe.model, recipe.vocabulary_size, recipe.compute)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def random_tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return random tokens of the small vocabulary."""
    return torch.randint(0, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def segments_of(documents_BT: torch.Tensor) -> Segments:
    """Return the segments of tokens whose documents are numbered."""
    starts_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    starts_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    bounds = [*starts_BT.flatten().nonzero().flatten().tolist(), starts_BT.numel()]
    bounds_N = torch.tensor(bounds, dtype=torch.int32, device=documents_BT.device)
    return Segments(bounds_N, documents_BT.size(-1), tuple(bounds_N.diff().tolist()))
