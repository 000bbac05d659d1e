"""Attention against loops over heads and positions in float64."""

import math

import torch

from tests.trainer.small import small_recipe
from trainer.model.block_inputs import BlockInputs, ForwardContext
from trainer.model.grouped_query import GroupedQueryAttention
from trainer.model.library_attention import library_attention
from trainer.model.rope import Rotary
from trainer.recipe.attention import GroupedQuery
from trainer.recipe.execution_rope import ExecutionRope
from trainer.recipe.plan import execution_plan


def normed(x: torch.Tensor) -> torch.Tensor:
    return x / x.square().mean().add(torch.finfo(torch.float64).eps).sqrt()


def attention_by_loops(module: GroupedQueryAttention, x_TD: torch.Tensor, rotary: Rotary) -> torch.Tensor:
    """What one sequence gives, one head and one position at a time."""
    weights = {name: parameter.detach().double() for name, parameter in module.named_parameters()}
    heads, kv_heads, width = module.heads, module.kv_heads, x_TD.size(1)
    size = width // heads
    rows = []
    for t in range(len(x_TD)):
        outputs = []
        for head in range(heads):
            shared = head // (heads // kv_heads)
            q = rotated(normed(weights["query"][head * size : (head + 1) * size] @ x_TD[t]), t, rotary)
            q = q * weights["q_gain"][head]
            key, value = (weights[name][shared * size : (shared + 1) * size] for name in ("key", "value"))
            scores = torch.stack(
                [q @ rotated(normed(key @ x_TD[s]), s, rotary) / math.sqrt(size) for s in range(t + 1)]
            )
            share = torch.softmax(scores, dim=0)
            outputs.append(sum(share[s] * (value @ x_TD[s]) for s in range(t + 1)))
        rows.append(weights["output"] @ torch.cat(outputs))  # type: ignore[arg-type]
    return torch.stack(rows)


def rotated(vector: torch.Tensor, position: int, rotary: Rotary) -> torch.Tensor:
    return rotary.rotate(vector.expand(1, 1, position + 1, len(vector)), position + 1)[0, 0, position]


def test_it_is_grouped_query_attention() -> None:
    model = small_recipe(model__attention="{heads: 4, kv_heads: 2, rope: {dims: 4}}").model
    torch.manual_seed(1)
    assert isinstance(model.attention, GroupedQuery)
    module = GroupedQueryAttention(model, model.attention)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    rotary = Rotary(ExecutionRope(dims=4, period_dims=4, base=10_000.0))
    x_BTD = torch.randn(1, 5, model.width)
    scale_D = torch.randn(model.width)
    inputs = BlockInputs(ForwardContext(x_BTD, library_attention), execution_plan(model)[0], rotary)
    expected = scale_D.double() * attention_by_loops(module, x_BTD[0].double(), rotary)
    torch.testing.assert_close(module(x_BTD, scale_D, inputs)[0][0].double(), expected, atol=1e-5, rtol=1e-4)
