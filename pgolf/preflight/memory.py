"""Memory and disk space that a run needs."""

from trainer.recipe.averaging import AveragingRecipe, Candidates, NoAveraging
from trainer.recipe.inventory import MATRIX_GROUPS, inventory, parameter_groups
from trainer.recipe.plan import execution_plan
from trainer.recipe.recipe import Recipe

FLOAT_BYTES = 4
KEPT_CHECKPOINTS = 3  # two, and the one being written
# Floats per token and layer that are kept for the backward pass, in model widths, besides those of MLP and attention.
STREAM_WIDTHS = 14
LOGIT_COPIES = 4
# Share of them that compiled bfloat16 scripts keep: 0.30 to 0.36 in 16 public runs of 10 to 42 GB.
COMPILED_SHARE = 0.325
INTERPRETER_BYTES = 400_000_000


def state_bytes(recipe: Recipe) -> int:
    """Return the bytes of a checkpoint: weights, optimizer state and averages."""
    groups = parameter_groups(inventory(recipe.model, recipe.vocabulary_size))
    matrices = sum(groups.get(group, 0) for group in MATRIX_GROUPS)
    others = sum(groups.values()) - matrices
    copies = average_copies(recipe.averaging)
    return FLOAT_BYTES * ((2 + copies) * matrices + (3 + copies) * others)


def average_copies(averaging: AveragingRecipe) -> int:
    """Return how many averages of the weights are kept."""
    match averaging:
        case NoAveraging():
            return 0
        case Candidates():
            return (averaging.ema_decay is not None) + (averaging.swa_every_steps is not None)
        case _:
            return 1


def activation_bytes(recipe: Recipe) -> int:
    """Return the bytes kept for the backward pass of one micro-batch, in float32."""
    tokens = recipe.schedule.micro_batch_tokens or recipe.schedule.batch_tokens
    model = recipe.model
    stream = STREAM_WIDTHS * model.width + 4 * (model.width + 2 * model.kv_width)
    executions = sum(stream + 3 * model.hidden_width(execution.block) for execution in execution_plan(model))
    return FLOAT_BYTES * tokens * (executions + LOGIT_COPIES * recipe.vocabulary_size)


def training_memory_bytes(recipe: Recipe) -> int:
    """Return the peak bytes of training: state, gradients, activations and the interpreter with torch."""
    gradients = FLOAT_BYTES * sum(tensor.size for tensor in inventory(recipe.model, recipe.vocabulary_size))
    return state_bytes(recipe) + gradients + activation_bytes(recipe) + INTERPRETER_BYTES


def compiled_memory_bytes(recipe: Recipe) -> int:
    """Return the peak bytes of a GPU with compiled bfloat16 training, as in public scripts."""
    return state_bytes(recipe) + int(COMPILED_SHARE * activation_bytes(recipe))


def memory_bytes(recipe: Recipe, gpu: str | None) -> int:
    """Return the peak bytes of one training process, on a GPU or in this machine's memory.

    Training on a GPU that is not compiled, or not in bfloat16, is counted like float32.
    """
    compute = recipe.compute
    is_like_public_runs = compute.compile != "never" and "float32" not in (compute.precision, compute.stream)
    return compiled_memory_bytes(recipe) if gpu is not None and is_like_public_runs else training_memory_bytes(recipe)


def disk_bytes(recipe: Recipe, validation_tokens: int) -> int:
    """Return the bytes to which a run directory grows."""
    weights = FLOAT_BYTES * sum(tensor.size for tensor in inventory(recipe.model, recipe.vocabulary_size))
    ledger = 6 * validation_tokens
    return KEPT_CHECKPOINTS * state_bytes(recipe) + 2 * weights + ledger
