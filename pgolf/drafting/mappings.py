"""Maps hyperparameters of training scripts to recipe keys.

Source: the scripts of openai/parameter-golf, whose names other scripts use as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pgolf.drafting.evidence import Evidence

# Processes of the contest's machine, which published defaults assume.
PUBLISHED_PROCESSES = 8
SHARE_DECIMALS = 4

Convert = Callable[[float | str, Evidence], Any]
"""Converts a script's value, given what else it says, to the recipe's value; raises ValueError if there is none."""


def number(value: float | str, _: Evidence | None = None) -> float:
    """Convert a finite number."""
    if isinstance(value, str):
        raise ValueError(f"{value or 'an empty text'} is not a finite number")
    return value


def whole(value: float | str, _: Evidence) -> int:
    if not number(value).is_integer():
        raise ValueError(f"{value} is not a whole number")
    return int(number(value))


def whole_or_none(value: float | str, script: Evidence) -> int | None:
    """Convert a whole number of which 0 means none."""
    return whole(value, script) or None


def ratio_of_hidden(value: float | str, script: Evidence) -> float:
    """Convert the MLP's hidden width to a multiple of the model's width."""
    return number(value) / int(script.recipe["recipe.model.width"])


def last_layers(value: float | str, script: Evidence) -> list[str]:
    """Convert a number of last layers to their names in a flat model."""
    layers, count = script.recipe.get("recipe.model.topology.layers"), whole(value, script)
    if layers is None:
        raise ValueError("only a flat model's last layers can be named by their number")
    return ["*"] if count >= layers else [f"flat.{index}" for index in range(layers - count, layers)]


def flag(value: float | str, _: Evidence) -> bool:
    """Convert 0 and 1."""
    if value not in (0.0, 1.0):
        raise ValueError(f"{value} is not 0 or 1")
    return value == 1.0


def floor(value: float | str, _: Evidence) -> float:
    """Convert the smallest learning-rate multiplier where it is zero; another one needs the clamped schedule."""
    if number(value):
        raise ValueError(
            f"not in the recipe: the script clamps the learning-rate multiplier at {value}, and recipe.schedule.floor "
            "is a multiplier that is reached at the end; use `schedule: {kind: clamped_warmdown, clamp: ...}`"
        )
    return 0.0


def share(value: float | str, script: Evidence) -> float:
    """Convert a share of the budget."""
    return script.share_of_budget(number(value))


def last_share(value: float | str, script: Evidence) -> float:
    """Convert a share of the budget that lies at its end."""
    return round(1.0 - script.share_of_budget(1.0 - number(value)), SHARE_DECIMALS)


def trained_tokens(value: float | str, script: Evidence) -> int | None:
    """Convert the length beyond which rotary frequencies are stretched, which scripts with YaRN off ignore."""
    yarn = script.variable("ROPE_YARN")
    if yarn is not None and yarn.is_off:
        raise ValueError(f"not used by the script: {yarn.name}={yarn.text}")
    return whole_or_none(value, script)


def adapter_lr(value: float | str, script: Evidence) -> float:
    """Convert the learning rate of adapters, which scripts multiply by a second number."""
    times = script.variable("TTT_LOCAL_LR_MULT")
    return float(f"{number(value) * (1.0 if times is None else number(times.value)):.6g}")


def calibration_sequences(value: float | str, script: Evidence) -> int:
    """Convert calibration batches, each a step's share of one of eight processes, to sequences."""
    tokens = int(script.recipe["recipe.schedule.batch_tokens"]) // PUBLISHED_PROCESSES
    return whole(value, script) * max(1, tokens // int(script.recipe["recipe.schedule.sequence_tokens"]))


def coefficients(value: float | str, script: Evidence) -> str:
    """Convert the flag for the polynomials of Polar Express."""
    return "polar_express" if flag(value, script) else "quintic"


def tail(value: float | str, script: Evidence) -> str:
    """Convert the flag for targets after the last full window."""
    return "score" if flag(value, script) else "drop"


def frozen_blocks(value: float | str, script: Evidence) -> list[str]:
    """Convert a number of first blocks that do not train to their names."""
    return [f"flat.{index}" for index in range(whole(value, script))]


def codec(value: float | str, _: Evidence) -> str:
    """Convert a compressor's name; lrzip, on streams by role, has its place taken by a coder of the same integers."""
    if value in ("pergroup", "lrzip"):
        return "column_range"
    if value not in ("zlib", "zstd", "lzma", "brotli"):
        raise ValueError(f"there is no codec {value}")
    return str(value)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A hyperparameter's names in scripts, its recipe key, and the conversion of its value."""

    names: tuple[str, ...]
    key: str
    convert: Convert = number


MAPPINGS = (
    Mapped(("VOCAB_SIZE",), "recipe.data.vocabulary_size", whole),
    Mapped(("MODEL_DIM", "D_MODEL", "N_EMBD"), "recipe.model.width", whole),
    Mapped(("NUM_LAYERS", "N_LAYER"), "recipe.model.topology.layers", whole),
    Mapped(("NUM_HEADS", "N_HEAD"), "recipe.model.attention.heads", whole),
    Mapped(("NUM_KV_HEADS", "N_KV_HEAD"), "recipe.model.attention.kv_heads", whole),
    Mapped(("MLP_MULT",), "recipe.model.mlp.ratio"),
    Mapped(("MLP_HIDDEN",), "recipe.model.mlp.ratio", ratio_of_hidden),
    Mapped(("QK_GAIN_INIT",), "recipe.model.attention.q_gain"),
    Mapped(("ROPE_BASE",), "recipe.model.attention.rope.base"),
    Mapped(("ROPE_DIMS",), "recipe.model.attention.rope.dims", whole_or_none),
    Mapped(("ROPE_TRAIN_SEQ_LEN",), "recipe.model.attention.rope.trained_tokens", trained_tokens),
    Mapped(("VALUE_RESIDUAL", "VALUE_RESIDUAL_ENABLED"), "recipe.model.attention.value_residual", flag),
    Mapped(("LN_SCALE",), "recipe.model.topology.depth_scale", flag),
    Mapped(("GATE_WINDOW",), "recipe.model.attention.gate.inputs", whole),
    Mapped(("SPARSE_ATTN_GATE_SCALE",), "recipe.model.attention.gate.scale"),
    Mapped(("GATED_ATTN_INIT_STD",), "recipe.model.attention.gate.deviation"),
    Mapped(("ENABLE_LOOPING_AT",), "recipe.model.topology.recurrence.from_progress", share),
    Mapped(("NUM_CRAWLER_LAYERS",), "recipe.model.topology.looped", whole),
    Mapped(("CRAWLER_LOOPS",), "recipe.model.topology.loops", whole),
    Mapped(("CRAWLER_MLP_MULT",), "recipe.model.topology.mlp_ratio"),
    Mapped(("INST_DIM",), "recipe.model.topology.instructions", whole),
    Mapped(("XSA_LAST_N",), "recipe.model.attention.exclusive", last_layers),
    Mapped(("LOGIT_SOFTCAP",), "recipe.model.softcap"),
    Mapped(("TIED_EMBED_INIT_STD",), "recipe.model.embedding.deviation"),
    Mapped(
        ("BIGRAM_VOCAB_SIZE", "BIGRAM_BUCKETS", "BIGRAM_HASH_BUCKETS", "BIGRAM_HASH_SIZE"),
        "recipe.model.embedding.bigram.buckets",
        whole,
    ),
    Mapped(("BIGRAM_DIM", "BIGRAM_EMBED_DIM"), "recipe.model.embedding.bigram.width", whole),
    Mapped(("VE_DIM",), "recipe.model.embedding.value.width", whole),
    Mapped(("MATRIX_LR",), "recipe.optimizer.matrix_lr"),
    Mapped(("TIED_EMBED_LR",), "recipe.optimizer.embedding_lr"),
    Mapped(("SCALAR_LR",), "recipe.optimizer.scalar_lr"),
    Mapped(("MUON_WD",), "recipe.optimizer.weight_decay"),
    Mapped(("EMBED_WD",), "recipe.optimizer.embedding_weight_decay"),
    Mapped(("MUON_ROW_NORMALIZE",), "recipe.optimizer.row_normalized", flag),
    Mapped(("USE_POLAR_EXPRESS",), "recipe.optimizer.coefficients", coefficients),
    Mapped(("ADAM_WD",), "recipe.optimizer.scalar_weight_decay"),
    Mapped(("MUON_MOMENTUM",), "recipe.optimizer.momentum.end"),
    Mapped(("MUON_MOMENTUM_WARMUP_START",), "recipe.optimizer.momentum.start"),
    Mapped(("MUON_MOMENTUM_WARMUP_STEPS",), "recipe.optimizer.momentum.warmup_steps", whole),
    Mapped(("MUON_BACKEND_STEPS",), "recipe.optimizer.orthogonalization_steps", whole),
    Mapped(("BETA1",), "recipe.optimizer.beta1"),
    Mapped(("BETA2",), "recipe.optimizer.beta2"),
    Mapped(("ADAM_EPS",), "recipe.optimizer.epsilon"),
    Mapped(("GRAD_CLIP_PER_RANK", "GRAD_CLIP_PER_PROCESS"), "recipe.optimizer.clip_each_pass", flag),
    Mapped(("GRAD_CLIP_NORM",), "recipe.optimizer.clip_norm"),
    Mapped(("TRAIN_BATCH_TOKENS",), "recipe.schedule.batch_tokens", whole),
    Mapped(("TRAIN_SEQ_LEN",), "recipe.schedule.sequence_tokens", whole),
    Mapped(("WARMDOWN_FRAC",), "recipe.schedule.fraction", last_share),
    Mapped(("SEQ_CHANGE_WARMUP_STEPS",), "recipe.schedule.loader.rewarm_steps", whole),
    Mapped(("MIN_LR",), "recipe.schedule.floor", floor),
    Mapped(("EMA_DECAY",), "recipe.averaging.decay"),
    Mapped(("SWA_START_FRAC",), "recipe.averaging.below_lr"),
    Mapped(("SWA_EVERY",), "recipe.averaging.every_steps", whole),
    Mapped(("MATRIX_BITS",), "recipe.quantizer.bits.default", whole),
    Mapped(("EMBED_BITS",), "recipe.quantizer.bits.embedding", whole),
    Mapped(("MATRIX_CLIP_SIGMAS",), "recipe.quantizer.clip.k.default"),
    Mapped(("EMBED_CLIP_SIGMAS",), "recipe.quantizer.clip.k.embedding"),
    Mapped(("GPTQ_CALIBRATION_BATCHES",), "recipe.quantizer.calibration.sequences", calibration_sequences),
    Mapped(("GPTQ_BLOCKSIZE", "GPTQ_BLOCK_SIZE"), "recipe.quantizer.block", whole),
    Mapped(("GPTQ_DAMPENING", "GPTQ_DAMPING"), "recipe.quantizer.damping"),
    Mapped(("LQER_RANK",), "recipe.quantizer.residual.rank", whole),
    Mapped(("LQER_TOP_K",), "recipe.quantizer.residual.tensors", whole),
    Mapped(("LQER_FACTOR_BITS",), "recipe.quantizer.residual.bits", whole),
    Mapped(("COMPRESSOR",), "recipe.codec.kind", codec),
    Mapped(("EVAL_STRIDE",), "recipe.evaluation.stride", whole),
    Mapped(("EVAL_SEQ_LEN",), "recipe.evaluation.window", whole),
    Mapped(("EVAL_INCLUDE_TAIL",), "recipe.evaluation.tail", tail),
    Mapped(("TTT_CHUNK_TOKENS",), "recipe.evaluation.chunk_tokens", whole),
    Mapped(("TTT_LR",), "recipe.evaluation.optimizer.lr"),
    Mapped(("TTT_MOMENTUM",), "recipe.evaluation.optimizer.momentum"),
    Mapped(("TTT_EPOCHS",), "recipe.evaluation.epochs", whole),
    Mapped(("TTT_BATCH_SEQS",), "recipe.evaluation.batch_sequences", whole),
    Mapped(("TTT_GRAD_CLIP",), "recipe.evaluation.clip_norm"),
    Mapped(("TTT_FREEZE_BLOCKS",), "recipe.evaluation.freeze", frozen_blocks),
    Mapped(("TTT_CHUNK_SIZE",), "recipe.evaluation.chunk_tokens", whole),
    Mapped(("TTT_LORA_RANK",), "recipe.evaluation.rank", whole),
    Mapped(("TTT_LORA_ALPHA",), "recipe.evaluation.alpha"),
    Mapped(("TTT_LORA_LR",), "recipe.evaluation.lr", adapter_lr),
    Mapped(("TTT_BATCH_SIZE",), "recipe.evaluation.batch_documents", whole),
    Mapped(("TTT_WARM_START_A",), "recipe.evaluation.keep_first", flag),
    Mapped(("GLOBAL_TTT_CHUNK_TOKENS",), "recipe.evaluation.phases.chunk_tokens", whole),
    Mapped(("GLOBAL_TTT_LR",), "recipe.evaluation.phases.lr"),
    Mapped(("GLOBAL_TTT_MOMENTUM",), "recipe.evaluation.phases.momentum"),
    Mapped(("GLOBAL_TTT_GRAD_CLIP",), "recipe.evaluation.phases.clip_norm"),
    Mapped(("TTT_BETA1",), "recipe.evaluation.beta1"),
    Mapped(("TTT_BETA2",), "recipe.evaluation.beta2"),
    Mapped(("TTT_WEIGHT_DECAY",), "recipe.evaluation.weight_decay"),
)
