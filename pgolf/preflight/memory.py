"""Memory and disk that a run needs."""

from trainer.recipe.averaging import AveragingRecipe, Candidates, NoAveraging
from trainer.recipe.inventory import MATRIX_GROUPS, inventory, parameter_groups
from trainer.recipe.plan import execution_plan
from trainer.recipe.recipe import Recipe

FLOAT_BYTES = 4
KEPT_CHECKPOINTS = 3  # two, and the one being written
# Activations kept for the backward pass: floats a token and layer, in widths, beside the MLP's and the attention's own.
STREAM_WIDTHS = 14
LOGIT_COPIES = 4
# What compiled scripts in bfloat16 keep of them: 16 public runs of 10 to 42 GB kept 0.30 to 0.36.
COMPILED_SHARE = 0.325
INTERPRETER_BYTES = 400_000_000


def state_bytes(recipe: Recipe) -> int:
    """Bytes of weights, optimizer state and average: a checkpoint."""
    groups = parameter_groups(inventory(recipe.model, recipe.vocabulary_size))
    matrices = sum(groups.get(group, 0) for group in MATRIX_GROUPS)
    others = sum(groups.values()) - matrices
    copies = average_copies(recipe.averaging)
    return FLOAT_BYTES * ((2 + copies) * matrices + (3 + copies) * others)


def average_copies(averaging: AveragingRecipe) -> int:
    """How many averages of the weights are kept."""
    match averaging:
        case NoAveraging():
            return 0
        case Candidates():
            return (averaging.ema_decay is not None) + (averaging.swa_every_steps is not None)
        case _:
            return 1


def activation_bytes(recipe: Recipe) -> int:
    """Bytes kept for the backward pass of one micro-batch, in float32."""
    tokens = recipe.schedule.micro_batch_tokens or recipe.schedule.batch_tokens
    model = recipe.model
    stream = STREAM_WIDTHS * model.width + 4 * (model.width + 2 * model.kv_width)
    executions = sum(stream + 3 * model.hidden_width(execution.block) for execution in execution_plan(model))
    return FLOAT_BYTES * tokens * (executions + LOGIT_COPIES * recipe.vocabulary_size)


def training_memory_bytes(recipe: Recipe) -> int:
    """Peak bytes of training: state, gradients, activations and the interpreter with torch."""
    gradients = FLOAT_BYTES * sum(tensor.size for tensor in inventory(recipe.model, recipe.vocabulary_size))
    return state_bytes(recipe) + gradients + activation_bytes(recipe) + INTERPRETER_BYTES


def compiled_memory_bytes(recipe: Recipe) -> int:
    """Peak bytes of a GPU on which training is compiled and in bfloat16, as that of public scripts was."""
    return state_bytes(recipe) + int(COMPILED_SHARE * activation_bytes(recipe))


def memory_bytes(recipe: Recipe, gpu: str | None) -> int:
    """Peak bytes of one process's training: of a GPU's memory, or of this machine's. A GPU that does not compute as
    public scripts did is taken to need what is counted for float32.
    """
    compute = recipe.compute
    is_as_public = compute.compile != "never" and "float32" not in (compute.precision, compute.stream)
    return compiled_memory_bytes(recipe) if gpu is not None and is_as_public else training_memory_bytes(recipe)


def disk_bytes(recipe: Recipe, validation_tokens: int) -> int:
    """Bytes that a run directory grows to."""
    weights = FLOAT_BYTES * sum(tensor.size for tensor in inventory(recipe.model, recipe.vocabulary_size))
    ledger = 6 * validation_tokens
    return KEPT_CHECKPOINTS * state_bytes(recipe) + 2 * weights + ledger
