"""The components that a script decides on, counted by hand."""

from typing import Any

import pytest

from pgolf.drafting.draft import Draft, draft_of, flat_recipe
from pgolf.drafting.not_in_recipe import reason_missing
from pgolf.drafting.parts import part_of_script
from pgolf.drafting.values import Hyperparameter
from pgolf.scripts.program import ScriptProgram

FRONTIER = {
    "VOCAB_SIZE": 8192, "MODEL_DIM": 512, "NUM_LAYERS": 11, "NUM_HEADS": 8, "NUM_KV_HEADS": 4, "MLP_MULT": 4.0,
    "XSA_LAST_N": 11, "ROPE_DIMS": 16, "SKIP_GATES_ENABLED": 1, "NUM_LOOPS": 2, "LOOP_START": 3, "LOOP_END": 5,
    "ENABLE_LOOPING_AT": 0.35, "LN_SCALE": 1, "MATRIX_LR": 0.022, "TRAIN_BATCH_TOKENS": 786432, "TRAIN_SEQ_LEN": 2048,
}  # fmt: skip
MODEL = """
class Block(nn.Module):
    def __init__(self, dim):
        self.attn_scale = nn.Parameter(torch.ones(dim))
        self.mlp_scale = nn.Parameter(torch.ones(dim))
        self.resid_mix = nn.Parameter(torch.stack((torch.ones(dim), torch.zeros(dim))))
class GPT(nn.Module):
    def __init__(self, h):
        self.tok_emb = nn.Embedding(h.vocab_size, h.model_dim)
        self.blocks = nn.ModuleList([Block(h.model_dim) for _ in range(h.num_layers)])
        self.skip_weights = nn.Parameter(torch.ones(8, h.model_dim))
        self.skip_gates = nn.Parameter(torch.zeros(8, h.model_dim))
"""
# A frontier block: q and out, k and v, the MLP's two matrices, gains of q, two scales, two mixes.
BLOCK = 2 * 512 * 512 + 2 * 512 * 256 + 2 * 512 * 2048 + 8 + 4 * 512
TABLE, SKIPS = 8192 * 512, 2 * 8 * 512


def drafted(*, code: str = "", **variables: Any) -> Draft:
    """Return the draft of a frontier script with these variables besides, and with this code in its model."""
    reads = [f"os.environ.get({name!r}, {value!r})" for name, value in (FRONTIER | variables).items()]
    text = "\n".join(["import os", *reads]) + MODEL + "".join(f"        {line}\n" for line in code.splitlines())
    return draft_of(ScriptProgram({"train_gpt.py": text.encode()}), None, {})


def test_the_frontier_model_is_drafted_exactly() -> None:
    """35,944,536 parameters, as the logs of #1493 print."""
    assert drafted(PARALLEL_RESIDUAL_START=7).parameters == 35_944_536 == TABLE + 11 * BLOCK + SKIPS


@pytest.mark.parametrize(
    ("variables", "more"),
    [
        ({"SPARSE_ATTN_GATE_ENABLED": 1, "GATED_ATTN_ENABLED": 0}, 11 * 8 * 12),
        ({"SPARSE_ATTN_GATE_ENABLED": 1, "GATE_WINDOW": 24}, 11 * 8 * 24),
        ({"SPARSE_ATTN_GATE_ENABLED": 0, "GATED_ATTN_ENABLED": 1}, 11 * 8 * 512),
        ({"SMEAR_GATE_ENABLED": 1}, 13),
        ({"SMEAR_GATE": 1}, 512),
        ({"BIGRAM_VOCAB_SIZE": 2048, "BIGRAM_DIM": 64}, 2048 * 64 + 64 * 512 + 1),
        ({"BIGRAM_VOCAB_SIZE": 0, "BIGRAM_DIM": 64}, 0),
        ({"VE_ENABLED": 1, "VE_DIM": 128, "VE_LAYERS": "8,9,10"}, 8192 * 128 + 128 * 256 + 1 + 3),
        ({"VE_ENABLED": 0, "VE_DIM": 128, "VE_LAYERS": "9,10"}, 0),
        ({"TIE_EMBEDDINGS": 0}, TABLE),
        ({"SKIP_GATES_ENABLED": 0}, -8 * 512),
        ({"NUM_LOOPS": 0}, -2 * 3 * 512),
    ],
)
def test_a_switch_changes_the_count_by_its_tensors(variables: dict[str, Any], more: int) -> None:
    assert drafted(**variables).parameters == TABLE + 11 * BLOCK + SKIPS + more


def test_two_learned_lanes_and_one_start_layer_are_told_apart_by_the_model() -> None:
    lanes = "self.parallel_post_lambdas = nn.Parameter(torch.ones(h.num_layers, 2, 2))"
    assert drafted(code=lanes, PARALLEL_START_LAYER=8).overrides["recipe.model.topology.parallel"][0] == "lanes"
    overrides = drafted(PARALLEL_START_LAYER=8).overrides
    assert "recipe.model.topology.parallel" not in overrides  # `sum`, as in #1493, on which the draft builds
    assert overrides["recipe.model.topology.parallel_from"][0] == 8


@pytest.mark.parametrize(
    "code",
    [
        "smear_gate = nn.Parameter(torch.zeros(h.model_dim))\nself.register_parameter('smear', smear_gate)",
        "self.gates = nn.ParameterDict({'smear': nn.Parameter(torch.zeros(h.model_dim))})",
    ],
)
def test_a_tensor_without_an_assignment_to_self_chooses_its_component(code: str) -> None:
    assert drafted(code=code).parameters == TABLE + 11 * BLOCK + SKIPS + 512


def test_an_uncertain_model_switches_no_component_off() -> None:
    off = {name for name, (_, source) in drafted().overrides.items() if source.place == "in the model's code"}
    unsure = drafted(code="self.more = nn.LSTM(2, 3)").overrides.values()
    assert off != set()
    assert [
        source.name for _, source in unsure if source.name in ("no lanes", "no value residual", "no SmearGate")
    ] == []


def test_a_part_that_no_recipe_has_is_named_with_its_size_and_line() -> None:
    code = "self.lane_merge = nn.Parameter(torch.tensor(0.5))\nself.route = nn.Linear(h.model_dim, 3, bias=False)"
    draft = drafted(code=code, PARALLEL_RESIDUAL_START=7)
    found = {part.name: (part.draft, part.script) for part in draft.differing}
    assert found["lanes"] == (0, 1)
    assert found["route.weight"] == (0, 3 * 512)
    assert "lanes: 0 in the draft, 1 in the script (train_gpt.py:" in draft.explanation(0)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("GPT.blocks.0.mlp_up.weight", "MLP matrices"), ("GPT.blocks.0.mlp.fc.weight", "MLP matrices"),
        ("GPT.blocks.3.attn.c_k.weight", "attention matrices"), ("GPT.qo_bank", "attention matrices"),
        ("GPT.blocks.3.attn.attn_gate.weight", "attention gates"), ("GPT.blocks.3.mlp_scale", "block scales"),
        ("GPT.ve_shared.embed.weight", "value embedding"), ("GPT.ve_layer_scales.0", "value embedding"),
        ("GPT.blocks.1.attn.vr_lambda", "value residuals"), ("GPT.smear.gate", "SmearGate"),
        ("GPT.bigram.proj.weight", "bigram table"), ("GPT.mtp_heads.0.weight", "multi-token prediction heads"),
        ("GPT.blocks.2.router.weight", "blocks.router.weight"), ("GPT.lane_merge", "lanes"),
    ],
)  # fmt: skip
def test_tensors_of_published_scripts_are_named_as_parts(path: str, part: str) -> None:
    assert part_of_script(path) == part


def test_a_layer_pattern_of_the_base_does_not_keep_its_number_of_layers() -> None:
    """The closest spec has exclusive self-attention in layers 7 to 10, and the script has ten layers and none."""
    variables = {"MODEL_DIM": 512, "NUM_LAYERS": 10, "MLP_MULT": 3.0, "BIGRAM_VOCAB_SIZE": 1536, "BIGRAM_DIM": 128,
                 "EVAL_STRIDE": 64}  # fmt: skip
    reads = "".join(f"os.environ.get({name!r}, {value!r})\n" for name, value in variables.items())
    draft = draft_of(ScriptProgram({"train_gpt.py": f"import os\n{reads}{MODEL}".encode()}), None, {})
    assert draft.base == "pr549_leaky_ttt"
    assert draft.overrides["recipe.model.topology.layers"][0] == 10
    assert draft.overrides["recipe.model.attention.exclusive"][0] == []


def test_a_component_of_another_kind_keeps_the_values_that_the_script_gives() -> None:
    """#549, the closest spec, rounds to nearest with a searched clip."""
    older = {"MODEL_DIM": 512, "NUM_LAYERS": 11, "MLP_MULT": 3.0, "BIGRAM_VOCAB_SIZE": 1536, "BIGRAM_DIM": 128}
    variables = older | {"EVAL_STRIDE": 64, "MATRIX_CLIP_SIGMAS": 12.85, "GPTQ_CALIBRATION_BATCHES": 16}
    reads = "".join(f"os.environ.get({name!r}, {value!r})\n" for name, value in variables.items())
    draft = draft_of(ScriptProgram({"train_gpt.py": f"import os\n{reads}{MODEL}".encode()}), None, {})
    assert draft.base == "pr549_leaky_ttt"
    given = {key: value for key, (value, _) in draft.overrides.items()}
    assert (given["recipe.model.mlp.kind"], given["recipe.model.mlp.ratio"]) == ("relu_squared", 3.0)
    assert (given["recipe.quantizer.clip.kind"], given["recipe.quantizer.clip.k"]) == ("deviations", {"default": 12.85})
    assert "recipe.quantizer.clip.percentile" not in given


def test_every_variable_is_a_value_a_choice_or_named() -> None:
    draft = drafted(ATTN_CLIP_SIGMAS=13.0, NGRAM_BASE_BETA=2.0, NGRAM_TILT_ENABLED=0, LQER_RANK=4, MIN_LR=0.1, ODD=1)
    reasons = {value.name: reason for value, reason in draft.unmapped}
    assert reasons["NGRAM_BASE_BETA"].startswith("not in the recipe: n-gram statistics")
    assert reasons["NGRAM_BASE_BETA"].endswith("(off: NGRAM_TILT_ENABLED=0)")
    assert "MIN_LR" not in reasons
    assert flat_recipe(draft.base, draft.overrides)["recipe.schedule.clamp"] == 0.1
    assert reasons["ODD"] == "no recipe key is known for this variable"


def test_a_component_is_off_by_its_own_flag_and_not_by_that_of_a_relative() -> None:
    names = ("TTT_SHORT_LORA_ENABLED", "TTT_SHORT_LORA_RANK", "TTT_SHORT_DOC_LEN")
    values = {name: Hyperparameter(name, text, "a.py:1") for name, text in zip(names, ("0", "8", "9"), strict=True)}
    assert "(off: TTT_SHORT_LORA_ENABLED=0)" in str(reason_missing(values["TTT_SHORT_LORA_RANK"], values))
    assert "off" not in str(reason_missing(values["TTT_SHORT_DOC_LEN"], values))
