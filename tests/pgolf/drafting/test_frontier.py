"""Drafts of scripts with the names, the values and the log lines of the records from #1493 to #2135.

The scripts are written here; the records' own text is not in this repository.
"""

from pathlib import Path
from typing import Any

import pytest

from pgolf.drafting.draft import Draft, draft_of
from pgolf.drafting.mappings import MAPPINGS
from pgolf.drafting.pace import Pace
from pgolf.drafting.writing import recipe_draft
from pgolf.scripts.program import ScriptProgram
from pgolf.specs.experiment import recipe_json
from pgolf.specs.flat import flatten
from pgolf.specs.loading import load_spec
from tests.conftest import SHARED_DATA
from trainer.dialects.logged import LoggedRun

RECORDS = SHARED_DATA.parent / "records"

SHARED: dict[str, Any] = {
    "VOCAB_SIZE": 8192, "MODEL_DIM": 512, "NUM_LAYERS": 11, "NUM_HEADS": 8, "NUM_KV_HEADS": 4, "MLP_MULT": 4.0,
    "TIE_EMBEDDINGS": 1, "TIED_EMBED_INIT_STD": 0.005, "TIED_EMBED_LR": 0.03, "SCALAR_LR": 0.02, "LN_SCALE": 1,
    "LOGIT_SOFTCAP": 30.0, "ROPE_BASE": 10000.0, "ROPE_DIMS": 16, "ROPE_TRAIN_SEQ_LEN": 2048, "XSA_LAST_N": 11,
    "SKIP_GATES_ENABLED": 1, "NUM_LOOPS": 2, "LOOP_START": 3, "LOOP_END": 5, "ENABLE_LOOPING_AT": 0.35,
    "MUON_WD": 0.095, "EMBED_WD": 0.085, "ADAM_WD": 0.02, "MUON_BACKEND_STEPS": 5, "MUON_ROW_NORMALIZE": 1,
    "MUON_MOMENTUM_WARMUP_START": 0.92, "MUON_MOMENTUM_WARMUP_STEPS": 1500, "GRAD_CLIP_NORM": 0.3, "BETA1": 0.9,
    "TRAIN_BATCH_TOKENS": 786432, "EMA_DECAY": 0.9965, "MATRIX_BITS": 6, "MATRIX_CLIP_SIGMAS": 12.85,
    "ITERATIONS": 20000, "MAX_WALLCLOCK_SECONDS": 600.0, "GPTQ_RESERVE_SECONDS": 4.0, "WARMUP_STEPS": 20,
    "TTT_ENABLED": 1, "SEED": 1337,
}  # fmt: skip
OF_1493 = SHARED | {
    "PARALLEL_RESIDUAL_START": 7, "QK_GAIN_INIT": 5.25, "MUON_MOMENTUM": 0.99, "MATRIX_LR": 0.022, "BETA2": 0.95,
    "WARMDOWN_FRAC": 0.72, "MIN_LR": 0.0, "EMBED_BITS": 8, "EMBED_CLIP_SIGMAS": 20.0, "COMPRESSOR": "brotli",
    "GPTQ_CALIBRATION_BATCHES": 64, "TRAIN_SEQ_LEN": 2048, "EVAL_SEQ_LEN": 2048, "EVAL_STRIDE": 64,
    "SLIDING_WINDOW_ENABLED": 1, "TTT_CHUNK_TOKENS": 32768, "TTT_LR": 0.005, "TTT_EPOCHS": 3, "TTT_MOMENTUM": 0.9,
    "EMBEDDING_DIM": 512, "MUON_BETA2": 0.95, "ETLB_ENABLED": 0, "ETLB_LR": 0.05,
}  # fmt: skip
DOCUMENTS = SHARED | {
    "PARALLEL_START_LAYER": 8, "PARALLEL_FINAL_LANE": "mean", "MUON_MOMENTUM": 0.97, "MATRIX_LR": 0.026, "BETA2": 0.99,
    "WARMDOWN_FRAC": 0.85, "MIN_LR": 0.1, "EMBED_BITS": 7, "ATTN_CLIP_SIGMAS": 13.0, "USE_POLAR_EXPRESS": 1,
    "MLP_CLIP_SIGMAS": 11.5, "EMBED_CLIP_SIGMAS": 14.0, "COMPRESSOR": "pergroup", "CASEOPS_ENABLED": 1,
    "SPARSE_ATTN_GATE_ENABLED": 1, "SPARSE_ATTN_GATE_SCALE": 0.5, "GATE_WINDOW": 12, "SMEAR_GATE_ENABLED": 1,
    "GATED_ATTN_ENABLED": 0, "GATED_ATTN_INIT_STD": 0.01, "GATED_ATTN_QUANT_GATE": 1,
    "ATTN_OUT_GATE_ENABLED": 0, "ROPE_YARN": 0,
    "LQER_ENABLED": 1, "LQER_RANK": 4, "LQER_TOP_K": 3, "LQER_FACTOR_BITS": 4, "LQER_ASYM_ENABLED": 1,
    "TRAIN_SEQ_LEN": 2048, "TTT_CHUNK_SIZE": 48, "TTT_LORA_RANK": 80, "TTT_LORA_ALPHA": 144, "TTT_LORA_LR": 0.0001,
    "TTT_BETA1": 0.0, "TTT_BETA2": 0.99, "TTT_GRAD_STEPS": 1, "TTT_OPTIMIZER": "adam", "TTT_BATCH_SIZE": 64,
    "TTT_K_LORA": 1, "TTT_O_LORA": 1, "TTT_MLP_LORA": 1, "PHASED_TTT_NUM_PHASES": 3, "GLOBAL_TTT_LR": 0.001,
    "PHASED_TTT_ENABLED": 1, "PHASED_TTT_PREFIX_DOCS": 2500, "GLOBAL_TTT_MOMENTUM": 0.9, "GLOBAL_TTT_GRAD_CLIP": 1.0,
    "GLOBAL_TTT_CHUNK_TOKENS": 32768, "GLOBAL_TTT_EPOCHS": 1, "GLOBAL_TTT_RESPECT_DOC_BOUNDARIES": 1,
    "EVAL_STRIDE": 64, "SLIDING_WINDOW_ENABLED": 0, "VAL_DOC_FRACTION": 1.0,
}  # fmt: skip
OF_1855 = DOCUMENTS | {
    "QK_GAIN_INIT": 5.0, "GPTQ_CALIBRATION_BATCHES": 16, "TTT_EVAL_SEQ_LEN": 2048, "TTT_WEIGHT_DECAY": 0.5,
    "SMEAR_GATE_BOS_FIX": 1,
}  # fmt: skip
OF_2135 = DOCUMENTS | {
    "QK_GAIN_INIT": 5.25, "GPTQ_CALIBRATION_BATCHES": 32, "TTT_EVAL_SEQ_LEN": 3072, "EVAL_INCLUDE_TAIL": 1,
    "TTT_WEIGHT_DECAY": 2.0, "PHASED_TTT_NUM_PHASES": 1, "TTT_K_LORA": 0, "TTT_LOCAL_LR_MULT": 0.8,
    "SMEAR_GATE_BOS_FIX": 0, "ASYM_LOGIT_RESCALE": 1, "NGRAM_TILT_ENABLED": 1, "NGRAM_ORDER": 16,
}  # fmt: skip

# The model, with the tensors of the scripts from #1530 on: one bank for each kind of matrix.
MODEL = """
class Block(nn.Module):
    def __init__(self, h, gated):
        super().__init__()
        self.attn = nn.Module()
        self.q_gain = nn.Parameter(torch.ones(h.num_heads))
        self.attn_scale = nn.Parameter(torch.ones(h.model_dim))
        self.mlp_scale = nn.Parameter(torch.ones(h.model_dim))
        self.resid_mix = nn.Parameter(torch.ones(2, h.model_dim))
        if gated:
            self.attn_gate_w = nn.Parameter(torch.zeros(h.num_heads, 12))


class GPT(nn.Module):
    def __init__(self, h):
        super().__init__()
        width, hidden = h.model_dim, int(h.mlp_mult * h.model_dim)
        kv = h.num_kv_heads * (width // h.num_heads)
        self.tok_emb = nn.Embedding(h.vocab_size, width)
        self.qo_bank = nn.Parameter(torch.empty(2 * h.num_layers, width, width))
        self.kv_bank = nn.Parameter(torch.empty(2 * h.num_layers, kv, width))
        self.mlp_up_bank = nn.Parameter(torch.empty(h.num_layers, hidden, width))
        self.mlp_down_bank = nn.Parameter(torch.empty(h.num_layers, width, hidden))
        self.blocks = nn.ModuleList([Block(h, {gated}) for _ in range(h.num_layers)])
        self.skip_weights = nn.Parameter(torch.ones(8, width))
        self.skip_gates = nn.Parameter(torch.zeros(8, width))
"""
LANES = """\
        self.parallel_post_lambdas = nn.Parameter(torch.ones(h.num_layers, 2, 2))
        self.parallel_resid_lambdas = nn.Parameter(torch.ones(h.num_layers, 2))
"""
SMEAR = """\
        self.smear_gate = nn.Linear(12, 1, bias=False)
        self.smear_lambda = nn.Parameter(torch.zeros(1))
"""
CAPS = """\
        self.softcap_pos = nn.Parameter(torch.tensor(30.0))
        self.softcap_neg = nn.Parameter(torch.tensor(30.0))
"""
# Methods that the scripts' functions name: exclusive attention, averages, GPTQ, low-rank residuals.
FUNCTIONS = """
def leaky_relu_squared(x): ...
def exclusive_self_attention_xsa(x): ...
def ema_update(model): ...
def gptq_quantize(w): ...
def muon_step(g): ...
def ttt_lora_adapt(model): ...
def sliding_window_eval(model): ...
def loop_layers(x): ...
def smear_tokens(x): ...
def gated_attention(x): ...
def lqer_low_rank_residual(w): ...
"""
SYSTEMS: dict[str, tuple[dict[str, Any], str, int]] = {
    "pr1493": (OF_1493, MODEL.replace("{gated}", "False"), 35_944_536),
    "pr1855": (OF_1855, MODEL.replace("{gated}", "True") + LANES + SMEAR, 35_945_671),
    "pr2135": (OF_2135, MODEL.replace("{gated}", "True") + LANES + SMEAR + CAPS, 35_945_673),
}
# Of 4,950 steps 2,170 are done in 35 % of the time, in which no layer recurs.
LOG = """\
Hyperparameters:
{dump}
model_params:{parameters}
500/20000 train_loss: 3.3445 train_time: 0.8m tok/s: 8196000
1000/20000 train_loss: 3.1974 train_time: 1.6m tok/s: 8196000
1500/20000 train_loss: 3.1045 train_time: 2.4m tok/s: 8196000
2170/20000 train_loss: 3.0699 train_time: 3.5m tok/s: 8196000
3000/20000 train_loss: 2.9475 train_time: 5.3m tok/s: 7400000
4000/20000 train_loss: 2.9091 train_time: 7.6m tok/s: 6900000
4950/20000 val_loss: 2.8129 val_bpb: 1.0889
stopping_early: wallclock_cap train_time: 600000ms step: 4950/20000
quantized val_loss:2.84004242 val_bpb:1.09946892 eval_time:25390ms
"""


def program_of(variables: dict[str, Any], model: str) -> ScriptProgram:
    """Return a script whose settings are read as the records read them."""
    reads = "".join(
        f"    {name.lower()} = {type(value).__name__}(os.environ.get({name!r}, {value!r}))\n"
        for name, value in variables.items()
    )
    text = f"import os\nimport torch\nfrom torch import nn\n\n\nclass Hyperparameters:\n{reads}\n{model}{FUNCTIONS}"
    return ScriptProgram({"train_gpt.py": f"{text}\nGPT(Hyperparameters())\n".encode()})


def log_of(folder: Path, variables: dict[str, Any], parameters: int) -> Path:
    """Write a log with the dump of a script's settings."""
    dump = "\n".join(f"  {name.lower()}: {value}" for name, value in sorted(variables.items()))
    log = folder / "train_seed42.log"
    log.write_text(LOG.format(dump=dump, parameters=parameters))
    return log


def drafted(name: str, folder: Path | None) -> Draft:
    variables, model, parameters = SYSTEMS[name]
    log = None if folder is None else log_of(folder, variables, parameters)
    return draft_of(program_of(variables, model), log, {})


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_record_is_drafted_to_its_parameters_and_changes_nothing_of_its_spec(name: str, tmp_path: Path) -> None:
    draft = drafted(name, tmp_path)
    assert draft.base == name
    assert (draft.parameters, draft.script_parameters, draft.logged_parameters) == (SYSTEMS[name][2],) * 3
    # What remains are shares and steps of this log, which no record has.
    assert set(draft.overrides) <= {
        "recipe.budget.train", "recipe.schedule.fraction", "recipe.model.topology.recurrence.from_progress"
    }  # fmt: skip
    assert draft.overrides["recipe.budget.train"][0] == 4950 * 786_432
    assert "the draft and the log both have" in draft.verdict


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_variable_of_a_record_is_set_or_named(name: str, tmp_path: Path) -> None:
    draft = drafted(name, tmp_path)
    left = {value.name for value, _ in draft.unmapped}
    assert left <= {
        "ETLB_ENABLED", "ETLB_LR", "MUON_BETA2", "LQER_ASYM_ENABLED",
        "NGRAM_TILT_ENABLED", "NGRAM_ORDER", "ROPE_TRAIN_SEQ_LEN"
    }  # fmt: skip
    assert all("no recipe key is known" not in reason for _, reason in draft.unmapped)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_draft_of_a_record_is_a_valid_spec(name: str, tmp_path: Path) -> None:
    file = tmp_path / "draft.yaml"
    file.write_text(recipe_draft(drafted(name, tmp_path), "train_gpt.py", str(file), "draft"))
    recipe, shipped = load_spec(str(file)).spec.recipe, load_spec(name).spec.recipe
    assert (recipe.model.attention, recipe.evaluation) == (shipped.model.attention, shipped.evaluation)
    assert (recipe.quantizer, recipe.optimizer) == (shipped.quantizer, shipped.optimizer)
    assert "ENABLE_LOOPING_AT=0.35, train_seed42.log" in file.read_text()


def everything_named(draft: Draft) -> set[str]:
    """Return the variables that a draft sets, lists, or rests on."""
    sources = {source.name for _, source in draft.overrides.values()}
    return sources | draft.decided | {value.name for value, _ in (*draft.unmapped, *draft.elsewhere)}


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_variable_of_a_record_is_passed_over(name: str, tmp_path: Path) -> None:
    """A mapped variable may also have the base's value."""
    draft, mapped = drafted(name, tmp_path), {each for mapping in MAPPINGS for each in mapping.names}
    assert set(SYSTEMS[name][0]) - mapped <= everything_named(draft)


ABLATIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("pr1855", {"MIN_LR": 0.0}, {"schedule.kind": "warmdown", "schedule.floor": 0.0}),
    ("pr1855", {"MIN_LR": 0.05}, {"schedule.clamp": 0.05}),
    ("pr1493", {"MIN_LR": 0.1}, {"schedule.kind": "clamped_warmdown", "schedule.clamp": 0.1}),
    ("pr1855", {"GPTQ_ENABLED": 0}, {"quantizer.kind": "rtn", "quantizer.bits.embedding": 7, "quantizer.gates": True}),
    ("pr1855", {"CASEOPS_ENABLED": 0}, {"data.transform": None}),
    ("pr1855", {"LQER_ENABLED": 0}, {"quantizer.residual": None}),
    ("pr1855", {"TTT_ENABLED": 0, "SLIDING_WINDOW_ENABLED": 0}, {"evaluation.kind": "chunked"}),
    ("pr1493", {"TTT_ENABLED": 0}, {"evaluation.kind": "sliding", "evaluation.stride": 64}),
    ("pr1855", {"GATED_ATTN_QUANT_GATE": 0}, {"quantizer.gates": False, "model.attention.gate.kind": "sparse"}),
    ("pr1855", {"SPARSE_ATTN_GATE_ENABLED": 0}, {"model.attention.gate.kind": "none", "quantizer.gates": False}),
    ("pr1855", {"PARALLEL_START_LAYER": 0}, {"model.topology.parallel": "none", "optimizer.frozen": []}),
    ("pr1855", {"PARALLEL_START_LAYER": ""}, {"model.topology.parallel": "none"}),
    ("pr1855", {"TTT_MASK": "no_qv"},
     {"evaluation.learn": ["flat.*.attention.[ko]*", "flat.*.mlp", "embedding.tokens"]}),
    ("pr1855", {"TTT_MLP_LORA": 0}, {"evaluation.learn": ["flat.*.attention.[qkvo]*", "embedding.tokens"]}),
    ("pr1855", {"SMEAR_GATE_BOS_FIX": 0}, {"model.embedding.smear.document_token": None}),
    ("pr1493", {"NUM_LOOPS": 0}, {"model.topology.recurrence": None}),
    ("pr2135", {"ASYM_LOGIT_RESCALE": 0}, {"model.published_unused_softcaps": True}),  # its model has the tensors
    ("pr1855", {"TTT_LOCAL_LR_MULT": 0.75}, {"evaluation.lr": 7.5e-5}),
    ("pr1855", {"TTT_BATCH_SIZE": 24}, {"evaluation.batch_documents": 24}),
    ("pr1855", {"TTT_WARM_START_A": 0}, {"evaluation.keep_first": False}),
    ("pr1855", {"PHASED_TTT_PREFIX_DOCS": 2000}, {"evaluation.phases.after_documents": [666, 1333, 2000]}),
    ("pr1855", {"PHASED_TTT_NUM_PHASES": 1}, {"evaluation.phases.after_documents": [2500]}),
    ("pr1855", {"PHASED_TTT_ENABLED": 0}, {"evaluation.phases": None}),
    ("pr1855", {"GLOBAL_TTT_LR": 0.002, "GLOBAL_TTT_GRAD_CLIP": 0.5},
     {"evaluation.phases.lr": 0.002, "evaluation.phases.clip_norm": 0.5}),
    ("pr1855", {"WD_TAPER_START_FRAC": 0.7, "WD_TAPER_FINAL_MULT": 0.5}, {"optimizer.weight_decay_taper.end": 0.5}),
    ("pr1855", {"TRAIN_SEQ_SCHEDULE": "1024@0.5,2048@1.0", "TRAIN_SEQ_SCHEDULE_MODE": "steps"},
     {"schedule.loader.longest": [{"until": 0.5, "tokens": 1024}, {"until": 1.0, "tokens": 2048}]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changed", "expected"), ABLATIONS, ids=[f"{name} {' '.join(changed)}" for name, changed, _ in ABLATIONS]
)
def test_an_ablation_of_a_record_is_drafted(
    name: str, changed: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    variables, model, parameters = SYSTEMS[name]
    log = log_of(tmp_path, variables | changed, parameters)
    draft, file = draft_of(program_of(variables | changed, model), log, {}), tmp_path / "draft.yaml"
    file.write_text(recipe_draft(draft, "train_gpt.py", str(file), "draft"))
    found = flatten({"recipe": recipe_json(load_spec(str(file)).spec.recipe)})
    assert {key: found.get(f"recipe.{key}") for key in expected} == expected
    assert set(changed) <= everything_named(draft) | {"TTT_LOCAL_LR_MULT"}


@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("pr1855", {"SWA_ENABLED": 1}, "the draft averages by EMA"),
        ("pr1855", {"WD_TAPER_FINAL_MULT": 0.5}, "it decides on a component"),
        ("pr1493", {"TRAIN_SEQ_SCHEDULE": "1024@0.5,2048@1"}, "it decides on a component"),
        ("pr1855", {"TRAIN_SEQ_SCHEDULE": "1024@0.1.2,2048@1"}, "expected TOKENS@SHARE"),
        ("pr1855", {"TTT_MASK": "only_q"}, "a mask other than no_"),
        ("pr1855", {"TTT_LOCAL_LR_MULT": "x"}, "not in the recipe: a setting of a test-time"),
        ("pr1855", {"ATTN_OUT_GATE_ENABLED": 1, "ATTN_OUT_GATE_SRC": "q"}, "not in the recipe: a gate reads"),
        ("pr1855", {"MAX_WALLCLOCK_SECONDS": 1200.0}, "the log ends after 600 of 1,196 s"),
    ],
)
def test_what_a_draft_cannot_follow_is_named(name: str, changed: dict[str, Any], reason: str, tmp_path: Path) -> None:
    variables, model, parameters = SYSTEMS[name]
    log = log_of(tmp_path, variables | changed, parameters)
    draft = draft_of(program_of(variables | changed, model), log, {})
    named = "ENABLE_LOOPING_AT" if "MAX_WALLCLOCK_SECONDS" in changed else list(changed)[-1]
    assert reason in {value.name: text for value, text in draft.unmapped}[named]


def test_without_a_log_shares_of_seconds_are_left_to_the_user() -> None:
    draft = drafted("pr1855", None)
    reasons = {value.name: reason for value, reason in draft.unmapped}
    assert draft.parameters == 35_945_671
    for name, share in (("ENABLE_LOOPING_AT", "0.35"), ("WARMDOWN_FRAC", "0.15")):
        assert reasons[name].startswith(f"{share} of the seconds, and recipe.budget counts tokens: a log with")
    assert "recipe.schedule.fraction" not in draft.overrides


def test_a_pace_gives_steps_by_hand() -> None:
    """100 steps in 10 s, then 300 in 60 s: half of the 70 s are over after 100 + (35 - 10) / 60 * 300 of 400 steps."""
    times = [(25, 2.5), (50, 5.0), (75, 7.5), (100, 10.0), (250, 40.0)]
    pace = Pace.of_run(LoggedRun("a.log", 1, step=400, train_seconds=70.0, times=times))
    assert pace is not None
    assert pace.share_of_steps(0.5) == pytest.approx((100 + 25 / 30 * 150) / 400, abs=1e-4)
    assert [pace.share_of_steps(share) for share in (0.0, 1.0)] == [0.0, 1.0]
    assert Pace.of_run(LoggedRun("a.log", 1, step=400, train_seconds=70.0, times=times[:3])) is None


SHARES = [
    ("1493-sp8192-3layer-recur", "pr1493", {"ENABLE_LOOPING_AT": 0.35, "WARMDOWN_FRAC": 0.72}, 2017 / 4557),
    ("1529-improved-parresid", "pr1529", {"ENABLE_LOOPING_AT": 0.35, "WARMDOWN_FRAC": 0.667}, 2062 / 4655),
    ("1729-caseops-taper", "pr1729", {"ENABLE_LOOPING_AT": 0.35, "WARMDOWN_FRAC": 0.75}, 2163 / 4921),
    ("2014-caseops-progressive3k", "pr2014", {"ENABLE_LOOPING_AT": 0.35, "WARMDOWN_FRAC": 0.85}, 2183 / 4884),
]  # fmt: skip


@pytest.mark.skipif(not RECORDS.exists(), reason=f"public records are not at {RECORDS}")
@pytest.mark.parametrize(("folder", "name", "shares", "looped"), SHARES)
def test_shares_of_shipped_specs_are_those_of_the_logs(
    folder: str, name: str, shares: dict[str, float], looped: float
) -> None:
    """Logs give minutes with one decimal; the line `layer_loop:enabled` gives the step itself."""
    log = next(path for path in sorted((RECORDS / folder).glob("*.log")) if "seed42" not in path.name)
    variables = OF_1493 | shares | ({"MIN_LR": 0.1} if name == "pr2014" else {})
    draft = draft_of(program_of(variables, ""), log, {})
    recipe = load_spec(name).spec.recipe
    (loop, _), (fraction, _) = (
        draft.overrides[key] for key in ("recipe.model.topology.recurrence.from_progress", "recipe.schedule.fraction")
    )
    assert recipe.model.topology.recurrence is not None  # type: ignore[union-attr]
    shipped = recipe.model.topology.recurrence.from_progress  # type: ignore[union-attr]
    assert loop == pytest.approx(looped, abs=0.011)
    assert shipped == pytest.approx(looped, abs=0.011)
    assert recipe.schedule.fraction == pytest.approx(fraction, abs=0.011)
