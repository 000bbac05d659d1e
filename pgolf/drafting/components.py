"""Chooses the components of a draft by the variables and the model code of a script.

A variable decides first. Where a script has none, its code does: a script whose model has no bigram table is drafted
without one, whatever the closest shipped spec has. A script without model code decides nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.drafting.evidence import Evidence
from pgolf.drafting.values import Hyperparameter

DATA, SCHEDULE, OPTIMIZER = "recipe.data", "recipe.schedule", "recipe.optimizer"
TOPOLOGY, ATTENTION, EMBEDDING = "recipe.model.topology", "recipe.model.attention", "recipe.model.embedding"
QUANTIZER, EVALUATION, AVERAGING = "recipe.quantizer", "recipe.evaluation", "recipe.averaging"
BUCKETS = ("BIGRAM_VOCAB_SIZE", "BIGRAM_BUCKETS", "BIGRAM_HASH_BUCKETS", "BIGRAM_HASH_SIZE")
SMEARS = ("SMEAR_GATE_ENABLED", "SMEAR_GATE", "SMEAR_ENABLED", "SMEARGATE", "USE_SMEAR", "USE_SMEARGATE")
# Variables that only choose a component, and have no key of their own.
CHOICES = (
    "BIGRAM_ENABLED", "USE_BIGRAM", "USE_BIGRAM_HASH", "VE_ENABLED", "VALUE_EMBED_ENABLED", "VE_LAYERS",
    *SMEARS, "SMEAR_GATE_WINDOW",
    "SPARSE_ATTN_GATE_ENABLED", "GATED_ATTN_ENABLED", "NUM_LOOPS", "LOOP_START", "LOOP_END", "SKIP_GATES_ENABLED",
    "PARALLEL_START_LAYER", "PARALLEL_RESIDUAL_START", "TIE_EMBEDDINGS", "TIED_EMBEDDINGS", "EMA_ENABLED",
    "USE_EMA", "SWA_ENABLED", "USE_SWA",
    "ATTN_CLIP_SIGMAS", "MLP_CLIP_SIGMAS", "GPTQ_ENABLED", "LQER_ENABLED", "TTT_ENABLED", "SLIDING_WINDOW_ENABLED",
    "TTT_EVAL_SEQ_LEN", "SMEAR_GATE_BOS_FIX", "ATTN_OUT_GATE_ENABLED", "ATTN_OUT_GATE_SRC", "CASEOPS_ENABLED",
    "WD_TAPER_START_FRAC", "WD_TAPER_FINAL_MULT", "TRAIN_SEQ_SCHEDULE", "TRAIN_SEQ_SCHEDULE_MODE",
    "TTT_MASK", "TTT_Q_LORA", "TTT_K_LORA", "TTT_V_LORA", "TTT_O_LORA", "TTT_MLP_LORA", "TTT_LOCAL_LR_MULT",
    "PHASED_TTT_ENABLED", "PHASED_TTT_NUM_PHASES", "PHASED_TTT_PREFIX_DOCS",
    "ASYM_LOGIT_RESCALE", "ASYMMETRIC_LOGIT_RESCALE", "GATED_ATTN_QUANT_GATE",
)  # fmt: skip
CASEOPS = "caseops"
CASEOPS_FOLDER = "fineweb10B_sp{pieces}_lossless_caps_caseops_v1_reserved"
PLAIN_FOLDER = "fineweb10B_sp{pieces}"
# One length of TRAIN_SEQ_SCHEDULE, such as 2048@0.700.
STAGE = re.compile(r"(\d+)@(\d*\.?\d+)")
USUAL_WIDTH, USUAL_SCALE, USUAL_WINDOW, USUAL_DECAY = 128, 0.1, 12, 0.997


@dataclass(frozen=True, slots=True)
class Choice:
    """A component for the draft: assignments to recipe keys, and what they follow from."""

    assigned: dict[str, Any]
    source: Hyperparameter
    refusal: str | None = None
    """Why the draft cannot say what the script does; None if it can."""
    left: tuple[tuple[Hyperparameter, str], ...] = ()
    """Variables of the component that the draft does not follow, with the reason."""


Rule = Callable[[Evidence], Choice | None]


def bigram(script: Evidence) -> Choice | None:
    key = f"{EMBEDDING}.bigram"
    flag, buckets = script.variable("BIGRAM_ENABLED", "USE_BIGRAM", "USE_BIGRAM_HASH"), script.variable(*BUCKETS)
    off = next((each for each in (flag, buckets) if each is not None and each.is_off), None)
    if off is None and buckets is None:
        off = script.absent("bigram table", "bigram")
    if off is not None:
        return Choice({key: None}, off)
    if buckets is None or f"{key}.buckets" in script.recipe or not isinstance(buckets.value, float):
        return None
    width = script.number("BIGRAM_DIM", "BIGRAM_EMBED_DIM", default=USUAL_WIDTH)
    return Choice({f"{key}.buckets": int(buckets.value), f"{key}.width": width, f"{key}.scale": 0.05}, buckets)


def value_embedding(script: Evidence) -> Choice | None:
    key = f"{EMBEDDING}.value"
    flag, layers = script.variable("VE_ENABLED", "VALUE_EMBED_ENABLED"), script.variable("VE_LAYERS")
    named = flag or layers or script.variable("VE_DIM")
    off = script.absent("value embedding", "valueembed", "ve_") if named is None else None
    if flag is not None and flag.is_off:
        off = flag
    if off is not None:
        return Choice({key: None}, off)
    if named is None:
        return None
    count = len([each for each in layers.text.strip("'\"").split(",") if each.strip()]) if layers is not None else 0
    if f"{key}.width" in script.recipe:
        return Choice({f"{key}.last_executions": count}, layers) if layers is not None and count else None
    width = script.number("VE_DIM", default=USUAL_WIDTH)
    return Choice({f"{key}.width": width, f"{key}.last_executions": count or 2, f"{key}.scale": USUAL_SCALE}, named)


def smear(script: Evidence) -> Choice | None:
    key = f"{EMBEDDING}.smear"
    flag = script.variable(*SMEARS)
    found = flag or script.tensor("smear")
    off = script.absent("SmearGate", "smear") if found is None else None
    if flag is not None and flag.is_off:
        off = flag
    if off is not None:
        return Choice({f"{key}.kind": "none"}, off)
    if flag is not None and flag.name == "SMEAR_GATE_ENABLED":
        inputs = script.number("GATE_WINDOW", "SMEAR_GATE_WINDOW", default=USUAL_WINDOW)
        chosen: dict[str, Any] = {f"{key}.kind": "gated", f"{key}.inputs": inputs}
        if (mask := script.variable("SMEAR_GATE_BOS_FIX")) is not None:
            chosen[f"{key}.document_token"] = None if mask.is_off else 1
        return Choice(chosen, flag)
    return Choice({f"{key}.kind": "channel"}, found) if found is not None else None


def attention_gate(script: Evidence) -> Choice | None:
    key = f"{ATTENTION}.gate.kind"
    output = script.variable("ATTN_OUT_GATE_ENABLED")
    if output is not None and not output.is_off:
        inputs = script.number("GATE_WINDOW", default=USUAL_WINDOW)
        gate = {"kind": "sparse", "inputs": inputs, "scale": 1.0, "gain": 2.0}
        chosen = {f"{ATTENTION}.gate.{name}": value for name, value in gate.items()}
        source = script.variable("ATTN_OUT_GATE_SRC")
        is_other = source is not None and source.text.strip("'\"") not in ("", "proj")
        left = ((source, "not in the recipe: a gate reads the input of attention"),) if is_other and source else ()
        return Choice(chosen, output, left=left)
    script.variable("ATTN_OUT_GATE_SRC")
    kinds = {"SPARSE_ATTN_GATE_ENABLED": "sparse", "GATED_ATTN_ENABLED": "dense"}
    flags = [flag for name in kinds if (flag := script.variable(name)) is not None]
    for flag in flags:
        if not flag.is_off:
            return Choice({key: kinds[flag.name]}, flag)
    off = next(iter(flags), None) or script.absent("attention gate", "attn_gate")
    return Choice({key: "none"}, off) if off is not None else None


def value_residual(script: Evidence) -> Choice | None:
    off = script.absent("value residual", "vr_", "value_resid", "v_resid", "v_lamb", "v1_")
    return Choice({f"{ATTENTION}.value_residual": False}, off) if off is not None else None


def recurrence(script: Evidence) -> Choice | None:
    key = f"{TOPOLOGY}.recurrence"
    loops, first, last = (script.variable(name) for name in ("NUM_LOOPS", "LOOP_START", "LOOP_END"))
    if f"{TOPOLOGY}.layers" not in script.recipe or loops is None or first is None or last is None:
        return None
    if loops.is_off:
        return Choice({key: None}, loops)
    numbers = [script.number(each.name, default=-1) for each in (first, last, loops)]
    executions = numbers[2] + 1  # NUM_LOOPS counts the repetitions
    return Choice({f"{key}.first": numbers[0], f"{key}.last": numbers[1], f"{key}.loops": executions}, loops)


def skips(script: Evidence) -> Choice | None:
    key = f"{TOPOLOGY}.skips"
    flag = script.variable("SKIP_GATES_ENABLED")
    if off := script.absent("skip weights", "skip_weight"):
        return Choice({key: "none"}, off)
    if flag is not None:
        return Choice({key: "unet" if flag.is_off else "gated_unet"}, flag)
    found = script.tensor("skip_gate") or script.tensor("skip_weight")
    return Choice({key: "gated_unet" if "skip_gate" in found.name else "unet"}, found) if found is not None else None


def input_mix(script: Evidence) -> Choice | None:
    found, off = script.tensor("resid_mix"), script.absent("input mix", "resid_mix", "x0_lambda")
    source = found or off
    return Choice({f"{TOPOLOGY}.input_mix": found is not None}, source) if source is not None else None


def parallel(script: Evidence) -> Choice | None:
    """Lanes have two tensors in the published scripts; one start layer without them means that outputs are added."""
    key = f"{TOPOLOGY}.parallel"
    start = script.variable("PARALLEL_START_LAYER", "PARALLEL_RESIDUAL_START")
    off = script.absent("lanes", "parallel", "lane") if start is None else start if start.is_off else None
    if start is not None and isinstance(start.value, float):
        is_none = start.value <= 0 or start.value >= script.number("NUM_LAYERS", default=0)
        off = start if is_none else None
    if off is not None:
        quirks = ("skips_into_first_lane", "published_unused_lanes")
        frozen = [name for name in script.recipe[f"{OPTIMIZER}.frozen"] if ".lanes" not in name]
        without = {f"{TOPOLOGY}.{quirk}": False for quirk in quirks} | {f"{OPTIMIZER}.frozen": frozen}
        return Choice({key: "none"} | without, off)
    if start is None or not isinstance(start.value, float):
        return None
    lanes = script.tensor("parallel_post_lambda", "parallel_resid_lambda") is not None
    if not script.learned:
        lanes = start.name == "PARALLEL_START_LAYER"
    return Choice({key: "lanes" if lanes else "sum", f"{key}_from": int(start.value)}, start)


def head(script: Evidence) -> Choice | None:
    flag = script.variable("TIE_EMBEDDINGS", "TIED_EMBEDDINGS")
    return Choice({f"{EMBEDDING}.kind": "untied" if flag.is_off else "tied"}, flag) if flag is not None else None


def exclusive(script: Evidence) -> Choice | None:
    """Choose no exclusive self-attention; which layers have it, XSA_LAST_N says."""
    off = script.unnamed("exclusive self-attention") if "XSA_LAST_N" not in script.values else None
    return Choice({f"{ATTENTION}.exclusive": []}, off) if off is not None else None


def activation(script: Evidence) -> Choice | None:
    kinds = {"swiglu": "swiglu", "leaky relu": "leaky_relu_squared"}
    named = next((method for method in kinds if method in script.methods), None)
    off = script.unnamed(*kinds)
    if not script.learned or (named is None and off is None):
        return None
    source = off or Hyperparameter(str(named), "", "named in the code")
    kind = kinds[named] if named is not None else "relu_squared"
    ratio = script.recipe["recipe.model.mlp.ratio"]
    return Choice({"recipe.model.mlp.kind": kind, "recipe.model.mlp.ratio": ratio}, source)


def averaging(script: Evidence) -> Choice | None:
    """Choose EMA before SWA where a script has both."""
    key, kind = f"{AVERAGING}.kind", script.recipe[f"{AVERAGING}.kind"]
    ema, swa = script.variable("EMA_ENABLED", "USE_EMA"), script.variable("SWA_ENABLED", "USE_SWA")
    ema = ema or script.variable("EMA_DECAY")
    if ema is not None and not ema.is_off:
        decay = script.variable("EMA_DECAY")
        value = decay.value if decay is not None else USUAL_DECAY
        usual = {key: "ema", f"{AVERAGING}.decay": value, f"{AVERAGING}.from_initial": True}
        chosen = usual if kind not in ("ema", "candidates") else {}
        is_both = swa is not None and not swa.is_off and kind != "candidates"
        left = (
            ((swa, "the draft averages by EMA; `averaging: {kind: candidates}` compares both"),)
            if is_both and swa
            else ()
        )
        return Choice(chosen, ema, left=left)
    if swa is not None and not swa.is_off:
        return Choice({key: "swa"} if kind != "candidates" else {}, swa)
    off = script.unnamed("EMA", "SWA") or (ema if ema is not None and ema.is_off else None)
    return Choice({key: "none"}, off) if off is not None else None


def below(key: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values below a dotted key, by the rest of their keys."""
    return {each.removeprefix(f"{key}."): value for each, value in recipe.items() if each.startswith(f"{key}.")}


def clip(script: Evidence) -> Choice | None:
    sigmas = {
        "default": script.variable("MATRIX_CLIP_SIGMAS"),
        "embedding": script.variable("EMBED_CLIP_SIGMAS"),
        "flat.*.attention": script.variable("ATTN_CLIP_SIGMAS"),
        "flat.*.mlp": script.variable("MLP_CLIP_SIGMAS"),
    }
    default = sigmas["default"]
    if default is None:
        return None
    k = {pattern: each.value for pattern, each in sigmas.items() if each is not None}
    return Choice({f"{QUANTIZER}.clip.kind": "deviations", f"{QUANTIZER}.clip.k": k}, default)


def gates(script: Evidence) -> Choice | None:
    """Choose 8 bits for gates of attention."""
    flag = script.variable("GATED_ATTN_QUANT_GATE")
    has_gates = script.recipe.get(f"{ATTENTION}.gate.kind", "none") != "none"
    return Choice({f"{QUANTIZER}.gates": has_gates and not flag.is_off}, flag) if flag is not None else None


def calibration(script: Evidence) -> Choice | None:
    """Choose GPTQ; scripts that name its batches have act-order and quantize the table by the inputs of the head."""
    batches, flag = script.variable("GPTQ_CALIBRATION_BATCHES"), script.variable("GPTQ_ENABLED")
    if flag is not None and flag.is_off:
        shared = tuple(f"{QUANTIZER}.{key}" for key in ("clip.kind", "clip.percentile", "residual.", "gates", "float_"))
        kept = {key: value for key, value in script.recipe.items() if key.startswith(shared)}
        patterns = {key: below(key, script.recipe) for key in (f"{QUANTIZER}.bits", f"{QUANTIZER}.clip.k")}
        kept |= {key: values for key, values in patterns.items() if values}
        return Choice({f"{QUANTIZER}.kind": "rtn"} | kept, flag)  # the kind first: it drops what stood before
    if batches is None:
        return None
    own = {f"{QUANTIZER}.calibration.published_first": False, f"{QUANTIZER}.tables": "head_inputs"}
    if script.recipe[f"{QUANTIZER}.kind"] == "gptq":
        return Choice(own, batches)
    grid = {
        f"{QUANTIZER}.kind": "gptq",
        f"{QUANTIZER}.bits.default": script.number("MATRIX_BITS", default=6),
        f"{QUANTIZER}.bits.embedding": script.number("EMBED_BITS", default=8),
        f"{QUANTIZER}.clip.kind": "percentile",
        f"{QUANTIZER}.clip.percentile": 100.0,
        f"{QUANTIZER}.calibration.kind": "training",
    }
    return Choice(grid | own, batches)


def residual(script: Evidence) -> Choice | None:
    flag, key = script.variable("LQER_ENABLED"), f"{QUANTIZER}.residual"
    if flag is None:
        return None
    if flag.is_off:
        return Choice({key: None}, flag)
    rank, top = script.number("LQER_RANK", default=4), script.number("LQER_TOP_K", default=3)
    return Choice({f"{key}.rank": rank, f"{key}.tensors": top}, flag)


def text(script: Evidence) -> Choice | None:
    """Choose text with case operators, or without, by a flag or the name of the data's folder."""
    flag = script.variable("CASEOPS_ENABLED")
    folders = [each for name in ("DATASETS_DIR", "DATA_PATH", "TOKENIZER_PATH") if (each := script.variable(name))]
    named = next((each for each in folders if CASEOPS in each.text.lower()), None)
    source = flag or named or next(iter(folders), None)
    if source is None or f"{DATA}.folder" not in script.recipe:
        return None
    is_on = not flag.is_off if flag is not None else named is not None
    if is_on == (script.recipe[f"{DATA}.transform"] == CASEOPS):
        return Choice({}, source)
    name = (CASEOPS_FOLDER if is_on else PLAIN_FOLDER).format(pieces=script.recipe[f"{DATA}.vocabulary_size"])
    chosen = {f"{DATA}.transform": CASEOPS if is_on else None}
    return Choice(chosen | {f"{DATA}.folder": str(Path(script.recipe[f"{DATA}.folder"]).with_name(name))}, source)


def unused_softcaps(script: Evidence) -> Choice | None:
    """Choose the two caps that published training leaves as they start, by their flag or in the model's code."""
    key, frozen = "recipe.model.published_unused_softcaps", f"{OPTIMIZER}.frozen"
    flag = script.variable(*(name for name in script.values if re.match(r"ASYM\w*LOGIT", name)))
    found = flag if flag is not None and not flag.is_off else script.tensor("softcap")
    off = script.absent("second softcap", "softcap") if flag is None or flag.is_off else None
    source = found or off
    if source is None:
        return None
    others = [name for name in script.recipe[frozen] if name != "softcaps"]
    return Choice({key: found is not None, frozen: others + ["softcaps"] * (found is not None)}, source)


def clamped(script: Evidence) -> Choice | None:
    """Choose the schedule that is held at a smallest multiplier."""
    least = script.variable("MIN_LR")
    if least is None or not isinstance(least.value, float):
        return None
    is_clamped = script.recipe[f"{SCHEDULE}.kind"] == "clamped_warmdown"
    kept = {key: value for key, value in script.recipe.items() if key.startswith(f"{SCHEDULE}.")}
    if least.is_off:
        kept.pop(f"{SCHEDULE}.clamp", None)
        return Choice(kept | {f"{SCHEDULE}.kind": "warmdown"}, least) if is_clamped else None
    if is_clamped:
        return Choice({f"{SCHEDULE}.clamp": least.value}, least)
    return Choice(kept | {f"{SCHEDULE}.kind": "clamped_warmdown", f"{SCHEDULE}.clamp": least.value}, least)


def taper(script: Evidence) -> Choice | None:
    key = f"{OPTIMIZER}.weight_decay_taper"
    start, end = script.variable("WD_TAPER_START_FRAC"), script.variable("WD_TAPER_FINAL_MULT")
    if start is None or end is None or not isinstance(start.value, float) or not isinstance(end.value, float):
        return None
    if end.value == 1.0 or start.value >= 1.0:
        return Choice({key: None}, end)
    try:
        return Choice({f"{key}.start": script.share_of_budget(start.value), f"{key}.end": end.value}, start)
    except ValueError as error:
        return Choice({}, start, str(error))


def lengths(script: Evidence) -> Choice | None:
    """Choose the lengths after which documents are cut in rows of documents."""
    key = f"{SCHEDULE}.loader.longest"
    if script.recipe[f"{SCHEDULE}.loader.kind"] != "document_rows":
        return None
    planned, length = script.variable("TRAIN_SEQ_SCHEDULE"), script.variable("TRAIN_SEQ_LEN")
    text = "" if planned is None else planned.text.strip("'\"")
    stages = [found.groups() for part in filter(None, text.split(",")) if (found := STAGE.fullmatch(part.strip()))]
    if planned is not None and len(stages) < len(list(filter(None, text.split(",")))):
        return Choice({}, planned, "expected TOKENS@SHARE, separated by commas")
    if planned is not None and stages:
        mode = script.variable("TRAIN_SEQ_SCHEDULE_MODE")
        is_share_of_seconds = mode is None or mode.text.strip("'\"") == "wallclock"
        try:
            ends = [script.share_of_budget(float(end)) if is_share_of_seconds else float(end) for _, end in stages]
        except ValueError as error:
            return Choice({}, planned, str(error))
        shares = [{"until": end, "tokens": int(tokens)} for (tokens, _), end in zip(stages, ends, strict=True)]
        return Choice({key: shares}, planned)
    script.variable("TRAIN_SEQ_SCHEDULE_MODE")
    if length is None or not isinstance(length.value, float):
        return None
    return Choice({key: int(length.value)}, length)


def budget(script: Evidence) -> Choice | None:
    """Choose the steps of the log as the budget, which are the same on every machine."""
    clock, pace = script.recipe["recipe.budget.clock"], script.pace
    if pace is None or clock == "seconds":
        return None
    step_tokens = script.recipe[f"{SCHEDULE}.batch_tokens"] if clock == "tokens" else 1
    return Choice({"recipe.budget.train": pace.last_step * step_tokens}, Hyperparameter("steps", "", pace.log))


def adapted(script: Evidence) -> Choice | None:
    """Choose the matrices that have adapters."""
    flags = {letter: script.variable(f"TTT_{letter.upper()}_LORA") for letter in "qkvo"}
    mask, mlp = script.variable("TTT_MASK"), script.variable("TTT_MLP_LORA")
    source = next((each for each in (mask, *flags.values(), mlp) if each is not None), None)
    if source is None or script.recipe[f"{EVALUATION}.kind"] != "document_lora":
        return None
    word = "" if mask is None else mask.text.strip("'\"")
    if mask is not None and word not in ("", "none", "all") and not re.fullmatch(r"no_[qkvo]+", word):
        return Choice({}, mask, "a mask other than no_ and some of q, k, v and o")
    masked = word.removeprefix("no_") if word.startswith("no_") else ""
    off = [letter for letter, flag in flags.items() if letter in masked or (flag is not None and flag.is_off)]
    letters = "".join(letter for letter in flags if letter not in off)
    has_mlp = mlp is None or not mlp.is_off
    if not off and has_mlp:
        return Choice({f"{EVALUATION}.learn": ["*"]}, source)
    learn = [f"flat.*.attention.[{letters}]*"] * bool(letters) + ["flat.*.mlp"] * has_mlp + ["embedding.tokens"]
    return Choice({f"{EVALUATION}.learn": learn}, source)


def phases(script: Evidence) -> Choice | None:
    """Choose after how many scored documents the whole model trains: equal parts of the first ones."""
    key = f"{EVALUATION}.phases"
    flag, count = script.variable("PHASED_TTT_ENABLED"), script.variable("PHASED_TTT_NUM_PHASES")
    documents = script.variable("PHASED_TTT_PREFIX_DOCS")
    if script.recipe[f"{EVALUATION}.kind"] != "document_lora":
        return None
    if (off := next((each for each in (flag, count, documents) if each is not None and each.is_off), None)) is not None:
        return Choice({key: None}, off)
    if count is None or documents is None:
        return None
    numbers = [each.value for each in (count, documents)]
    if not all(isinstance(each, float) and each.is_integer() for each in numbers):
        return Choice({}, count, "expected whole numbers of phases and of documents")
    parts, total = (int(each) for each in numbers)
    return Choice({f"{key}.after_documents": [total * part // parts for part in range(1, parts + 1)]}, count)


def evaluation(script: Evidence) -> Choice | None:
    """Choose the protocol: adapters by document, adaptation by chunk, or windows."""
    flag, rank, chunk = (script.variable(name) for name in ("TTT_ENABLED", "TTT_LORA_RANK", "TTT_CHUNK_TOKENS"))
    stride, sliding = script.variable("EVAL_STRIDE"), script.variable("SLIDING_WINDOW_ENABLED")
    window = script.number("TTT_EVAL_SEQ_LEN", "EVAL_SEQ_LEN", "TRAIN_SEQ_LEN", default=1024)
    is_on = flag is not None and not flag.is_off
    if is_on and rank is not None and not rank.is_off:
        return Choice({f"{EVALUATION}.kind": "document_lora", f"{EVALUATION}.window": window}, rank)
    windows = {f"{EVALUATION}.window": window, f"{EVALUATION}.stride": script.number("EVAL_STRIDE", default=64)}
    if is_on and chunk is not None:
        rate = script.variable("TTT_LR")
        lr = rate.value if rate is not None else 0.005
        kind, optimizer = {f"{EVALUATION}.kind": "score_first_ttt"}, f"{EVALUATION}.optimizer"
        return Choice({**kind, **windows, f"{optimizer}.kind": "sgd", f"{optimizer}.lr": lr}, chunk)
    if sliding is not None and sliding.is_off:
        return Choice({f"{EVALUATION}.kind": "chunked", f"{EVALUATION}.window": window}, sliding)
    if stride is not None and 0 < script.number("EVAL_STRIDE", default=0) < window:
        return Choice({f"{EVALUATION}.kind": "sliding", **windows}, stride)
    return None


# Rules that the model's shape must not wait for: the layers of another component may not be there.
EARLY_RULES: tuple[Rule, ...] = (exclusive,)
RULES: tuple[Rule, ...] = (
    activation, bigram, value_embedding, smear, attention_gate, value_residual, recurrence, skips, input_mix, parallel,
    head, averaging, calibration, gates, clip, residual, evaluation, text, unused_softcaps, clamped, taper, lengths,
    budget, adapted, phases,
)  # fmt: skip
