"""Maps hyperparameters of training scripts to recipe keys.

Source: the scripts of openai/parameter-golf, whose names other scripts use as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Convert = Callable[[float | str, Mapping[str, Any]], Any]
"""Converts a script's value, given the flat recipe, to the recipe's value; raises ValueError if there is none."""


def number(value: float | str, _: Mapping[str, Any]) -> float:
    return float(value)


def whole(value: float | str, _: Mapping[str, Any]) -> int:
    if float(value) != int(float(value)):
        raise ValueError(f"{value} is not a whole number")
    return int(float(value))


def whole_or_none(value: float | str, recipe: Mapping[str, Any]) -> int | None:
    """Convert a whole number of which 0 means none."""
    return whole(value, recipe) or None


def ratio_of_hidden(value: float | str, recipe: Mapping[str, Any]) -> float:
    """Convert the MLP's hidden width to a multiple of the model's width."""
    return float(value) / int(recipe["recipe.model.width"])


def last_layers(value: float | str, recipe: Mapping[str, Any]) -> list[str]:
    """Convert a number of last layers to their names in a flat model."""
    layers, count = recipe.get("recipe.model.topology.layers"), whole(value, recipe)
    if layers is None:
        raise ValueError("only a flat model's last layers can be named by their number")
    return ["*"] if count >= layers else [f"flat.{index}" for index in range(layers - count, layers)]


def tied(value: float | str, _: Mapping[str, Any]) -> str:
    """Convert a flag for tied embeddings, the only kind that there is."""
    if value == 0.0:
        raise ValueError("no embedding component has a separate output head")
    return "tied"


def codec(value: float | str, _: Mapping[str, Any]) -> str:
    """Convert a compressor's name."""
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
    Mapped(("XSA_LAST_N",), "recipe.model.attention.exclusive", last_layers),
    Mapped(("LOGIT_SOFTCAP",), "recipe.model.softcap"),
    Mapped(("TIE_EMBEDDINGS",), "recipe.model.embedding.kind", tied),
    Mapped(("TIED_EMBED_INIT_STD",), "recipe.model.embedding.deviation"),
    Mapped(("BIGRAM_VOCAB_SIZE", "BIGRAM_BUCKETS"), "recipe.model.embedding.bigram.buckets", whole),
    Mapped(("BIGRAM_DIM",), "recipe.model.embedding.bigram.width", whole),
    Mapped(("VE_DIM",), "recipe.model.embedding.value.width", whole),
    Mapped(("MATRIX_LR",), "recipe.optimizer.matrix_lr"),
    Mapped(("TIED_EMBED_LR",), "recipe.optimizer.embedding_lr"),
    Mapped(("SCALAR_LR",), "recipe.optimizer.scalar_lr"),
    Mapped(("MUON_WD",), "recipe.optimizer.weight_decay"),
    Mapped(("ADAM_WD",), "recipe.optimizer.scalar_weight_decay"),
    Mapped(("MUON_MOMENTUM",), "recipe.optimizer.momentum.end"),
    Mapped(("MUON_MOMENTUM_WARMUP_START",), "recipe.optimizer.momentum.start"),
    Mapped(("MUON_MOMENTUM_WARMUP_STEPS",), "recipe.optimizer.momentum.warmup_steps", whole),
    Mapped(("MUON_BACKEND_STEPS",), "recipe.optimizer.orthogonalization_steps", whole),
    Mapped(("BETA1",), "recipe.optimizer.beta1"),
    Mapped(("BETA2",), "recipe.optimizer.beta2"),
    Mapped(("ADAM_EPS",), "recipe.optimizer.epsilon"),
    Mapped(("GRAD_CLIP_NORM",), "recipe.optimizer.clip_norm"),
    Mapped(("TRAIN_BATCH_TOKENS",), "recipe.schedule.batch_tokens", whole),
    Mapped(("TRAIN_SEQ_LEN",), "recipe.schedule.sequence_tokens", whole),
    Mapped(("EMA_DECAY",), "recipe.averaging.decay"),
    Mapped(("SWA_EVERY",), "recipe.averaging.every_steps", whole),
    Mapped(("MATRIX_BITS",), "recipe.quantizer.bits.default", whole),
    Mapped(("EMBED_BITS",), "recipe.quantizer.bits.embedding", whole),
    Mapped(("MATRIX_CLIP_SIGMAS",), "recipe.quantizer.clip.k.default"),
    Mapped(("EMBED_CLIP_SIGMAS",), "recipe.quantizer.clip.k.embedding"),
    Mapped(("COMPRESSOR",), "recipe.codec.kind", codec),
    Mapped(("EVAL_STRIDE",), "recipe.evaluation.stride", whole),
    Mapped(("EVAL_SEQ_LEN",), "recipe.evaluation.window", whole),
    Mapped(("TTT_CHUNK_TOKENS",), "recipe.evaluation.chunk_tokens", whole),
    Mapped(("TTT_LR",), "recipe.evaluation.optimizer.lr"),
    Mapped(("TTT_MOMENTUM",), "recipe.evaluation.optimizer.momentum"),
    Mapped(("TTT_EPOCHS",), "recipe.evaluation.epochs", whole),
    Mapped(("TTT_BATCH_SEQS",), "recipe.evaluation.batch_sequences", whole),
)
# Variables that the user has to decide on, with the reason.
BY_HAND = {
    "ITERATIONS": "recipe.budget is still the base's; a log shows how many steps fit into the time",
    "MAX_WALLCLOCK_SECONDS": "recipe.budget is still the base's; seconds are a different budget on each machine",
    "WARMDOWN_ITERS": "recipe.schedule.fraction is still the base's; it is the share of all steps",
}
# Variables without a recipe key, with what takes their place in pgolf.
ELSEWHERE = {
    "SEED": "seeds",
    "DATA_PATH": "recipe.data.folder",
    "TOKENIZER_PATH": "the data folder's tokenizer.model",
    "RUN_ID": "the run directory's name",
    "WARMUP_STEPS": "not needed: these steps only compile and do not train",
    "VAL_LOSS_EVERY": "not needed: validation text is scored once, at the end",
    "TRAIN_LOG_EVERY": "not needed: every step is in metrics.jsonl",
    "VAL_BATCH_SIZE": "not needed: it does not change the score",
    "HEAD_LR": "not used with a tied embedding",
    "EMBED_LR": "not used with a tied embedding; TIED_EMBED_LR is",
}
