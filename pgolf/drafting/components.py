"""Chooses the components of a draft by the variables and the model code of a script.

A variable decides first. Where a script has none, its code does: a script whose model has no bigram table is drafted
without one, whatever the closest shipped spec has. A script without model code decides nothing.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from pgolf.drafting.values import Hyperparameter

Recipe = Mapping[str, Any]
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
    "TTT_EVAL_SEQ_LEN",
)  # fmt: skip
USUAL_WIDTH, USUAL_SCALE, USUAL_WINDOW, USUAL_DECAY = 128, 0.1, 12, 0.997


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a script says about its components."""

    values: Mapping[str, Hyperparameter]
    """Its variables."""
    learned: Mapping[str, str]
    """Names of its model's tensors and of their classes in lower case, with their places; empty without model code."""
    is_complete: bool
    """Whether all of its model's tensors are known."""
    methods: Set[str]
    """Methods that its code names."""
    recipe: Recipe
    """The draft so far, by dotted key."""

    def variable(self, *names: str) -> Hyperparameter | None:
        """Return the first of these variables that the script reads."""
        return next((self.values[name] for name in names if name in self.values), None)

    def number(self, *names: str, default: int) -> int:
        """Return the first of these variables as a whole number."""
        found = self.variable(*names)
        return int(found.value) if found is not None and isinstance(found.value, float) else default

    def tensor(self, *words: str) -> Hyperparameter | None:
        """Return the first tensor whose name contains one of these words."""
        names = (name for word in words for name in self.learned if word in name)
        return next((Hyperparameter(name, "", self.learned[name]) for name in names), None)

    def absent(self, part: str, *words: str) -> Hyperparameter | None:
        """Return that the model's code has no tensor with these words; None if it has, or if that is not known."""
        if not self.learned or not self.is_complete or self.tensor(*words) is not None:
            return None
        return Hyperparameter(f"no {part}", "", "in the model's code")

    def unnamed(self, *methods: str) -> Hyperparameter | None:
        """Return that the code names none of these methods; None if it does, or there is no model's code."""
        if not self.learned or self.methods & set(methods):
            return None
        return Hyperparameter(f"no {' or '.join(methods)}", "", "in the model's code")


@dataclass(frozen=True, slots=True)
class Choice:
    """A component for the draft: assignments to recipe keys, and what they follow from."""

    assigned: dict[str, Any]
    source: Hyperparameter


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
        return Choice({f"{key}.kind": "gated", f"{key}.inputs": inputs}, flag)
    return Choice({f"{key}.kind": "channel"}, found) if found is not None else None


def attention_gate(script: Evidence) -> Choice | None:
    key = f"{ATTENTION}.gate.kind"
    kinds = {"SPARSE_ATTN_GATE_ENABLED": "sparse", "GATED_ATTN_ENABLED": "dense"}
    flags = [script.values[name] for name in kinds if name in script.values]
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
    if start is None or not isinstance(start.value, float):
        return Choice({key: "none"}, off) if (off := script.absent("lanes", "parallel", "lane")) is not None else None
    if start.value <= 0 or start.value >= script.number("NUM_LAYERS", default=0):
        return Choice({key: "none"}, start)
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
        chosen = {key: "ema", f"{AVERAGING}.decay": value, f"{AVERAGING}.from_initial": True}
        return Choice(chosen, ema) if kind not in ("ema", "candidates") else None
    if swa is not None and not swa.is_off:
        return Choice({key: "swa"}, swa) if kind != "candidates" else None
    off = script.unnamed("EMA", "SWA") or (ema if ema is not None and ema.is_off else None)
    return Choice({key: "none"}, off) if off is not None else None


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


def calibration(script: Evidence) -> Choice | None:
    """Choose GPTQ; scripts that name its batches have act-order and quantize the table by the inputs of the head."""
    batches, flag = script.variable("GPTQ_CALIBRATION_BATCHES"), script.variable("GPTQ_ENABLED")
    if batches is None or (flag is not None and flag.is_off):
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


def evaluation(script: Evidence) -> Choice | None:
    """Choose the protocol: adapters by document, adaptation by chunk, or windows."""
    flag, rank, chunk = (script.variable(name) for name in ("TTT_ENABLED", "TTT_LORA_RANK", "TTT_CHUNK_TOKENS"))
    stride = script.variable("EVAL_STRIDE")
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
    if stride is not None and 0 < script.number("EVAL_STRIDE", default=0) < window:
        return Choice({f"{EVALUATION}.kind": "sliding", **windows}, stride)
    return None


# Rules that the model's shape must not wait for: the layers of another component may not be there.
EARLY_RULES: tuple[Rule, ...] = (exclusive,)
RULES: tuple[Rule, ...] = (
    activation, bigram, value_embedding, smear, attention_gate, value_residual, recurrence, skips, input_mix, parallel,
    head, averaging, calibration, clip, residual, evaluation,
)  # fmt: skip
