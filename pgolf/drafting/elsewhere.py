"""Variables of scripts whose values need no recipe key: pgolf has something in their place, or does the same anyway."""

from collections.abc import Callable

from pgolf.drafting.evidence import Evidence
from pgolf.drafting.values import Hyperparameter

# Variables that the user has to decide on, with the reason.
BY_HAND = {
    "ITERATIONS": "recipe.budget is still the base's; a log with the times of steps shows how many fit into the time",
    "MAX_WALLCLOCK_SECONDS": "recipe.budget is still the base's; seconds are a different budget on each machine",
    "WARMDOWN_ITERS": "recipe.schedule.fraction is still the base's; it is the share of all steps",
    "GPTQ_RESERVE_SECONDS": "recipe.budget.reserve_seconds, with budget.clock: seconds",
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
    "VAL_BATCH_TOKENS": "not needed: it does not change the score",
    "VAL_BATCH_SIZE": "not needed: it does not change the score",
    "HEAD_LR": "not used with a tied embedding",
    "EMBED_LR": "not used with a tied embedding; TIED_EMBED_LR is",
    "RANK": "set by the launcher",
    "LOCAL_RANK": "set by the launcher",
    "WORLD_SIZE": "set by the launcher",
    "MASTER_ADDR": "set by the launcher",
    "MASTER_PORT": "set by the launcher",
    "GRAD_ACCUM_STEPS": "recipe.schedule.micro_batch_tokens",
    "DATA_DIR": "recipe.data.folder",
    "DATASETS_DIR": "recipe.data.folder",
    "MODEL_PATH": "the run directory",
    "QUANTIZED_MODEL_PATH": "the run directory",
    "LOGFILE": "the run directory's log",
    "SKIP_POST_TRAIN_EVAL": "not needed: only the packed model is scored",
    "FUSED_CE_ENABLED": "not needed: the loss is the same function",
    "COMPILE_SHAPE_WARMUP": "not needed: these steps only compile and do not train",
    "COMPILE_SHAPE_WARMUP_ITERS": "not needed: these steps only compile and do not train",
    "COMPILE_SHAPE_WARMUP_LOOP_MODES": "not needed: these steps only compile and do not train",
    "ARTIFACT_DIR": "the run directory",
    "DEFAULT_DATASETS_DIR": "recipe.data.folder",
    "TRAIN_FILES": "recipe.data.folder",
    "VAL_FILES": "recipe.data.folder",
    "VAL_BYTES_FILES": "the sidecars in the data's manifest",
    "TTT_EVAL_BATCHES": "not needed: all documents are scored",
    "COMPILE_SHAPE_WARMUP_CU_BUCKETS": "not needed: these steps only compile and do not train",
}
# Values at which a script does what every recipe does, with what that is.
AS_IN_RECIPES = {
    "PARALLEL_FINAL_LANE": ("mean", "the output of two lanes is their mean"),
    "PARALLEL_RESIDUAL": ("1", "recipe.model.topology.parallel"),
    "PARALLEL_START_LAYER_IS_PHYSICAL": ("1", "recipe.model.topology.parallel_from counts layers"),
    "PARALLEL_FREEZE_LANE0": ("0", "both lanes train"),
    "PARALLEL_SKIP_LANE0_ONLY": ("1", "skips after the first layer of two lanes enter the first"),
    "PARALLEL_MLP_READ_MIX": ("0", "the MLP reads the second lane"),
    "ROPE_YARN": ("0", "rotary frequencies are not scaled by YaRN"),
    "LQER_SCOPE": ("all", "residuals go to the tensors with the largest errors"),
    "LQER_GAIN_SELECT": ("0", "residuals go to the tensors with the largest errors"),
    "SPARSE_ATTN_GATE_INIT_STD": ("0", "gates begin at zero"),
    "GLOBAL_TTT_EPOCHS": ("1", "a phase reads its documents once"),
    "GLOBAL_TTT_WARMUP_CHUNKS": ("0", "the learning rate of a phase begins at its peak"),
    "GLOBAL_TTT_RESPECT_DOC_BOUNDARIES": ("1", "a document of a phase sees itself alone"),
    "TTT_GRAD_STEPS": ("1", "adapters take one step on each chunk"),
    "VAL_DOC_FRACTION": ("1", "the whole validation text is scored"),
    "TTT_ONLY": ("0", "a run trains before it adapts"),
}
# Optimizers of adaptation, by the kind of evaluation.
ADAPTING = {"score_first_ttt": ("sgd",), "document_lora": ("adam", "adamw")}
# What says how long training goes on.
TIMES = ("ITERATIONS", "MAX_WALLCLOCK_SECONDS", "GPTQ_RESERVE_SECONDS")


def place_of(value: Hyperparameter, script: Evidence) -> str | None:
    """Return what takes the place of a variable, or why none is needed; None if it has a key, or is missing."""
    if value.name in ELSEWHERE:
        return ELSEWHERE[value.name]
    if value.name in AS_IN_RECIPES:
        text, meaning = AS_IN_RECIPES[value.name]
        return f"as in every recipe: {meaning}" if is_value(value, text) else None
    return next((found for rule in RULES if (found := rule(value, script)) is not None), None)


def is_value(value: Hyperparameter, text: str) -> bool:
    """Return whether a variable has a value, given as a number or a word."""
    other = Hyperparameter("", text, "")
    return value.number == other.number if other.number is not None else value.text.strip("'\"") == text


def time_place(value: Hyperparameter, script: Evidence) -> str | None:
    """Return that the log's steps are the budget."""
    if value.name not in TIMES or script.pace is None or script.recipe["recipe.budget.clock"] == "seconds":
        return None
    return f"recipe.budget, the log's {script.pace.last_step:,} steps"


def warmdown_place(value: Hyperparameter, script: Evidence) -> str | None:
    is_unused = value.name == "WARMDOWN_ITERS" and value.is_off and script.variable("WARMDOWN_FRAC") is not None
    return "not used by the script: WARMDOWN_FRAC is" if is_unused else None


def floor_place(value: Hyperparameter, script: Evidence) -> str | None:
    clamp = script.recipe.get("recipe.schedule.clamp")
    return "recipe.schedule.clamp" if value.name == "MIN_LR" and value.value == clamp else None


def width_place(value: Hyperparameter, script: Evidence) -> str | None:
    width = script.variable("MODEL_DIM")
    is_width = value.name in ("EMBEDDING_DIM", "EMBED_DIM") and width is not None and value.value == width.value
    return "recipe.model.width: the table is not factored" if is_width else None


def optimizer_place(value: Hyperparameter, script: Evidence) -> str | None:
    kind = script.recipe["recipe.evaluation.kind"]
    is_same = value.name == "TTT_OPTIMIZER" and value.text.strip("'\"") in ADAPTING.get(kind, ())
    return f"as in recipe.evaluation.kind {kind}" if is_same else None


def stride_place(value: Hyperparameter, script: Evidence) -> str | None:
    """Return that a stride belongs to an evaluation that the script does not make."""
    sliding = script.variable("SLIDING_WINDOW_ENABLED")
    adapts = script.recipe["recipe.evaluation.kind"] == "document_lora"
    if value.name != "EVAL_STRIDE" or not adapts or (sliding is not None and not sliding.is_off):
        return None
    return "not used by adaptation to documents; a stride below the window needs `recipe.evaluation.references`"


def gate_place(value: Hyperparameter, script: Evidence) -> str | None:
    """Return that a setting belongs to gates that are off."""
    names = {"GATED_ATTN_INIT_STD": "GATED_ATTN_ENABLED", "SPARSE_ATTN_GATE_SCALE": "SPARSE_ATTN_GATE_ENABLED"}
    flag = script.variable(names.get(value.name, ""))
    return f"not used by the script: {flag.name}={flag.text}" if flag is not None and flag.is_off else None


RULES: tuple[Callable[[Hyperparameter, Evidence], str | None], ...] = (
    time_place, warmdown_place, floor_place, width_place, optimizer_place, stride_place, gate_place,
)  # fmt: skip
