"""The work of a forward pass per token, counted from the execution plan."""

from collections import Counter
from dataclasses import dataclass

from trainer.recipe.inventory import MATRIX_GROUPS, inventory
from trainer.recipe.model import Gpt
from trainer.recipe.plan import execution_plan

# A training step costs a forward pass and a backward pass with twice as many products.
PASSES_PER_STEP = 3
FLOPS_PER_WEIGHT = 2


@dataclass(frozen=True, slots=True)
class TokenWork:
    """The work of one token in a forward pass. Units: floating-point operations; numbers read or written."""

    matmul_flops: float
    """Products with weights, including the head."""
    attention_flops: float
    """Products of queries with keys and of attention weights with values, over half a sequence on average."""
    stream_values: float
    """Numbers passed between products: streams, hidden units and logits, each counted once."""

    @property
    def flops(self) -> float:
        """All floating-point operations."""
        return self.matmul_flops + self.attention_flops


def token_work(model: Gpt, vocabulary_size: int, sequence_tokens: float, progress: float = 1.0) -> TokenWork:
    """Return the work of a token in a sequence at `progress`, the spent share of the budget."""
    plan = execution_plan(model, progress)
    visits = Counter(execution.block for execution in plan)
    weights = sum(
        tensor.size * visits.get(".".join(tensor.name.split(".")[:2]), 1)
        for tensor in inventory(model, vocabulary_size)
        if tensor.group in MATRIX_GROUPS
    )
    hidden = sum(model.hidden_width(execution.block) for execution in plan)
    return TokenWork(
        matmul_flops=FLOPS_PER_WEIGHT * (weights + vocabulary_size * model.width),
        attention_flops=2 * FLOPS_PER_WEIGHT * len(plan) * model.width * sequence_tokens / 2,
        stream_values=len(plan) * (2 * model.width + 2 * model.kv_width) + hidden + vocabulary_size,
    )
