"""Components of later systems against their formulas, composed by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trainer.small import awake_model, random_tokens, segments_of, small_recipe
from trainer.model.block import Block
from trainer.model.block_inputs import BlockInputs, ForwardContext
from trainer.model.gpt import GptModel
from trainer.model.grouped_query import GroupedQueryAttention
from trainer.model.library_attention import library_attention
from trainer.model.norm import rms_norm
from trainer.model.smear import DocumentGate
from trainer.recipe.embedding import GatedSmear
from trainer.recipe.plan import execution_plan

TOKENS_BT = random_tokens(2, 12)


def block_and_inputs(model: GptModel, number: int) -> tuple[Block, BlockInputs, Tensor]:
    """Return a block with the inputs of its execution, and a random residual stream."""
    torch.manual_seed(number)
    x_BTD, embedded_BTD = torch.randn(2, 12, 32), torch.randn(2, 12, 32)
    execution = model.plan[number]
    block = model.get_submodule(execution.block)
    assert isinstance(block, Block)
    context = ForwardContext(embedded_BTD, library_attention)
    return block, BlockInputs(context, execution, model.rotaries[execution.rope]), x_BTD


def branches(block: Block, inputs: BlockInputs, for_attention: Tensor, for_mlp: Tensor) -> tuple[Tensor, Tensor]:
    assert block.attention_scale is not None
    assert block.mlp_scale is not None
    attended, _ = block.attention(rms_norm(for_attention), block.attention_scale, inputs)
    return attended, block.mlp(rms_norm(for_mlp), block.mlp_scale)


def test_parallel_branches_read_the_same_stream_and_are_added() -> None:
    model = awake_model(small_recipe(model__topology__parallel="sum", model__topology__parallel_from=2))
    assert [execution.parallel for execution in model.plan] == ["none", "none", "sum", "sum"]
    block, inputs, x_BTD = block_and_inputs(model, 3)
    assert block.input_mix is not None
    u_BTD = block.input_mix[0] * x_BTD + block.input_mix[1] * inputs.context.embedded_BTD
    attended, thought = branches(block, inputs, u_BTD, u_BTD)
    torch.testing.assert_close(block(x_BTD, inputs)[0], u_BTD + attended + thought)


def test_two_lanes_are_kept_and_shared_as_learned_and_their_mean_leaves() -> None:
    recipe = small_recipe(model__topology__parallel="lanes", model__topology__parallel_from=3)
    model = awake_model(recipe)
    block, inputs, a_BTD = block_and_inputs(model, 3)
    b_BTD = torch.randn(2, 12, 32)
    assert block.lanes is not None
    assert block.input_mix is not None
    mixed = block.input_mix[0] * a_BTD + block.input_mix[1] * inputs.context.embedded_BTD
    attended, thought = branches(block, inputs, mixed, b_BTD)
    kept, shares = block.lanes.kept, block.lanes.shares
    first, second, _ = block.forward_lanes(a_BTD, b_BTD, inputs)
    torch.testing.assert_close(first, kept[0] * a_BTD + shares[0, 0] * attended + shares[0, 1] * thought)
    torch.testing.assert_close(second, kept[1] * b_BTD + shares[1, 0] * attended + shares[1, 1] * thought)
    fresh = GptModel(recipe.model, recipe.vocabulary_size)
    lanes = fresh.get_submodule("flat.3.lanes")
    assert lanes.kept.tolist() == pytest.approx([1.1, 1.1])  # type: ignore[operator]
    assert lanes.shares.tolist() == [[1.0, 1.0], [1.0, 1.0]]  # type: ignore[operator]


@pytest.mark.parametrize("into_first", [False, True])
def test_the_skip_of_the_first_layer_of_lanes_enters_both_or_only_that_of_attention(into_first: bool) -> None:
    """Three layers of flat_unet: layer 0 feeds layer 2, whose lanes part after or before it is added."""
    recipe = small_recipe(
        model__topology__parallel="lanes",
        model__topology__parallel_from=3,
        model__topology__skips="unet",
        model__topology__skips_into_first_lane=into_first,
    )
    model = awake_model(recipe)
    calls: list[tuple[Tensor, Tensor]] = []
    block = model.get_submodule("flat.3")
    assert isinstance(block, Block)
    forward = block.forward_lanes

    def note(a_BTD: Tensor, b_BTD: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor, Tensor]:
        calls.append((a_BTD, b_BTD))
        return forward(a_BTD, b_BTD, inputs)

    block.forward_lanes = note  # type: ignore[method-assign]
    outputs: dict[str, Tensor] = {}
    for name in ("flat.0", "flat.2"):
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out[0]}))
    model(TOKENS_BT)
    assert model.skip_weights is not None
    skip_BTD = model.skip_weights[1] * outputs["flat.0"]
    (a_BTD, b_BTD), before_BTD = calls[0], outputs["flat.2"]
    torch.testing.assert_close(a_BTD, before_BTD + skip_BTD)
    torch.testing.assert_close(b_BTD, before_BTD if into_first else before_BTD + skip_BTD)


def test_unused_lanes_are_stored_and_change_no_output() -> None:
    lanes = {"model__topology__parallel": "lanes", "model__topology__parallel_from": 3}
    plain = awake_model(small_recipe(**lanes))
    quirk = awake_model(small_recipe(**lanes, model__topology__published_unused_lanes=True))
    quirk.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(plain(TOKENS_BT), quirk(TOKENS_BT))
    unused = {n: p.shape for n, p in quirk.named_parameters()}.items() - {
        n: p.shape for n, p in plain.named_parameters()
    }.items()
    assert {name for name, _ in unused} == {f"flat.{n}.lanes.{kind}" for n in range(3) for kind in ("kept", "shares")}
    assert sum(shape.numel() for _, shape in unused) == 3 * 6


def test_layers_recur_once_a_share_of_the_budget_is_spent() -> None:
    recurrence = "{first: 1, last: 2, loops: 3, from_progress: 0.35}"
    recipe = small_recipe(model__topology__recurrence=recurrence)
    early, late = (execution_plan(recipe.model, progress) for progress in (0.34, 0.35))
    assert [execution.block for execution in early] == ["flat.0", "flat.1", "flat.2", "flat.3"]
    assert [e.block for e in late] == ["flat.0", *["flat.1", "flat.2"] * 3, "flat.3"]
    assert [execution.loop for execution in late] == [0, 0, 0, 1, 1, 2, 2, 0]
    model = awake_model(recipe)
    with torch.no_grad():
        deep = model(TOKENS_BT)
        model.follow_progress(0.0)
        flat = model(TOKENS_BT)
        model.follow_progress(0.9)
        assert torch.equal(model(TOKENS_BT), deep)
    assert not torch.allclose(deep, flat)


def test_the_published_recurrence_splits_its_executions_into_halves() -> None:
    """#1493: layers 3 to 5 three times in eleven layers; encoder and decoder orders are those of its log."""
    recurrence = "{first: 3, last: 5, loops: 3}"
    recipe = small_recipe(model__topology__layers=11, model__topology__recurrence=recurrence)
    plan = execution_plan(recipe.model)
    encoder = [int(e.block[5:]) for e in plan if e.pushes_skip]
    decoder = [int(e.block[5:]) for e in plan if not e.pushes_skip]
    assert encoder == [0, 1, 2, 3, 4, 5, 3, 4]
    assert decoder == [5, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("gate", "scale", "gain", "channels"),
    [
        ("{kind: sparse, inputs: 6}", 0.5, 1.0, 6),
        ("{kind: sparse, scale: 1.0, gain: 2.0}", 1.0, 2.0, 12),
        ("{kind: dense}", 1.0, 1.0, 32),
    ],
)
def test_gates_scale_the_heads_by_what_the_block_reads(gate: str, scale: float, gain: float, channels: int) -> None:
    attention = "{kind: grouped_query, heads: 4, kv_heads: 2, rope: {dims: 8}, gate: %s}"
    gated = awake_model(small_recipe(model__attention=attention % gate))
    block, inputs, x_BTD = block_and_inputs(gated, 0)
    module = block.attention
    assert isinstance(module, GroupedQueryAttention)
    assert module.gate is not None
    heads_BTHE = torch.randn(2, 12, 4, 8)
    x = rms_norm(x_BTD)
    factors = gain * torch.sigmoid(scale * torch.einsum("btc,hc->bth", x[..., :channels], module.gate))
    torch.testing.assert_close(
        heads_BTHE.transpose(1, 2) * module.gate_heads(x, module.gate),
        (heads_BTHE * factors[..., None]).transpose(1, 2),
    )
    with torch.no_grad():
        open_BTD = module(x, torch.ones(32), inputs)[0]
        module.gate.fill_(0.0)
        half_BTD = module(x, torch.ones(32), inputs)[0]
        module.gate = None
        torch.testing.assert_close(half_BTD, 0.5 * gain * module(x, torch.ones(32), inputs)[0])
    assert not torch.allclose(open_BTD, half_BTD)


def test_swiglu_is_its_formula() -> None:
    model = awake_model(small_recipe(model__mlp="{kind: swiglu, ratio: 2}"))
    mlp = model.get_submodule("flat.0.mlp")
    x, scale = torch.randn(3, 32), torch.randn(32)
    gate, up, down = (dict(mlp.named_parameters())[name] for name in ("gate", "up", "down"))
    expected = scale * ((F.silu(x @ gate.T) * (x @ up.T)) @ down.T)
    torch.testing.assert_close(mlp(x, scale), expected, atol=1e-5, rtol=1e-4)


def test_an_untied_head_makes_the_logits_alone() -> None:
    model = awake_model(small_recipe(model__embedding="{kind: untied}"))
    assert model.head is not None
    with torch.no_grad():
        features = rms_norm(model.features(TOKENS_BT, None))
        expected = 30 * torch.tanh(features @ model.head.T / 30)
        torch.testing.assert_close(model(TOKENS_BT), expected, atol=1e-5, rtol=1e-4)
    fresh = GptModel(model.recipe, 384)
    assert fresh.head is not None and not fresh.head.any()


def test_each_sign_has_a_softcap_of_its_own() -> None:
    model = awake_model(small_recipe(model__asymmetric_softcap="true"))
    assert model.softcaps is not None
    with torch.no_grad():
        model.softcaps.copy_(torch.tensor([3.0, 7.0]))
        z = rms_norm(model.features(TOKENS_BT, None)) @ model.embedding.tokens.T
        expected = torch.where(z > 0, 3 * torch.tanh(z / 3), 7 * torch.tanh(z / 7))
        torch.testing.assert_close(model(TOKENS_BT), expected, atol=1e-5, rtol=1e-4)
        targets = random_tokens(2, 12, seed=5)
        by_hand = F.cross_entropy(expected.flatten(0, 1), targets.flatten())
        torch.testing.assert_close(model.mean_loss(TOKENS_BT, targets), by_hand, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("document_token", [1, None])
def test_a_gated_smear_stops_where_a_document_begins_if_this_is_known(document_token: int | None) -> None:
    smear = DocumentGate(GatedSmear(kind="gated", inputs=4, document_token=document_token))
    with torch.no_grad():
        smear.gate.normal_()
        smear.scale.fill_(0.7)
    tokens, x = torch.tensor([[5, 6, 1, 7]]), torch.randn(1, 4, 8)
    rows = []
    for t in range(4):
        row = x[0, t].clone()
        if t > 0 and tokens[0, t] != document_token:
            row = row + 0.7 * torch.sigmoid(smear.gate @ x[0, t, :4]) * x[0, t - 1]
        rows.append(rms_norm(row))
    torch.testing.assert_close(smear(x, tokens, None)[0], torch.stack(rows))


def test_a_channel_smear_does_not_cross_numbered_documents() -> None:
    model = awake_model(small_recipe(model__embedding="{kind: tied, smear: {kind: channel}}"))
    parts = torch.split(TOKENS_BT[:1], [5, 7], dim=1)
    documents = torch.tensor([[1] * 5 + [2] * 7])
    with torch.no_grad():
        packed = model(TOKENS_BT[:1], segments=segments_of(documents))
        alone = torch.cat([model(part) for part in parts], dim=1)
    torch.testing.assert_close(packed, alone, atol=2e-5, rtol=0)


@pytest.mark.parametrize("hash_form", ["multiply", "prime_sum", "xor"])
def test_hashed_pairs_do_not_cross_numbered_documents(hash_form: str) -> None:
    bigram = f"{{buckets: 64, width: 8, hash: {hash_form}, deviation: 1.0, orthogonal_projection: 1.0}}"
    model = awake_model(small_recipe(model__embedding=f"{{kind: tied, bigram: {bigram}}}"))
    parts = torch.split(TOKENS_BT[:1], [5, 7], dim=1)
    with torch.no_grad():
        packed = model(TOKENS_BT[:1], segments=segments_of(torch.tensor([[1] * 5 + [2] * 7])))
        alone = torch.cat([model(part) for part in parts], dim=1)
        together = model(TOKENS_BT[:1])
    torch.testing.assert_close(packed, alone, atol=2e-5, rtol=0)
    assert (packed[:, 5] - together[:, 5]).abs().max() > 1e-3
