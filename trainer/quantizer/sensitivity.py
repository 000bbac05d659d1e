"""Sensitivity of rows: what rounding errors of each row cost, by the Fisher information.

Let E be the error of the weights of a model. Its predictions of a sequence then diverge by about <F E, E> / 2 nats. F
is the covariance of the gradient of the sequence's loss, with targets drawn from the model's own predictions. So the
cost of a row is half the mean square of the product of its gradient and its error.

Two things matter. The gradient is that of the whole sequence: the effects of a weight on all tokens, and in all loops
that share it, add up before they are squared. And errors are shaped like those of the quantizer: the feedback of GPTQ
keeps them away from the directions in which inputs are strong. With each of the quickstart's 24 matrices rounded alone,
the sum over its rows is 0.91 to 1.39 of the measured divergence. From squared gradients of single outputs in place of
whole sequences it is 0.38 to 2.25.
Source: Kunstner et al., arXiv 1905.12558 (drawn targets).
"""

from collections.abc import Callable, Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.model.gpt import GptModel

# Number of random errors over which the cost of a row is averaged.
DRAWS = 4
# Each row of a table counts as looked up twice more than in the text.
UNSEEN_LOOKUPS = 2.0
# Seed of the random errors and of the drawn targets.
DRAW_SEED = 0


def draw_errors(shape: tuple[int, int], feedback_CC: Tensor | None, generator: torch.Generator) -> Tensor:
    """Return errors of rounding a matrix in steps of 1: uniform, or with the feedback of GPTQ between columns.

    Shapes: (R, C), (C, C) -> (DRAWS, R, C), float32.
    """
    uniform_NRC = torch.rand(DRAWS, *shape, generator=generator) - 0.5
    return uniform_NRC if feedback_CC is None else uniform_NRC @ feedback_CC.float().cpu()


def is_table(name: str) -> bool:
    """Return whether the rows of a matrix are looked up, each by some of the tokens only."""
    return name.startswith("embedding.") and not name.endswith(".projection")


def with_unseen_rows(cost_R: Tensor, tokens: int) -> Tensor:
    """Return the costs of a table's rows as if each had been looked up some times more.

    Otherwise a row that the calibration text happens not to use would cost nothing, and all its weights would be
    rounded to zero.
    """
    return cost_R + UNSEEN_LOOKUPS * cost_R.sum() / max(1, tokens)


def collect_row_costs(
    model: GptModel, feedbacks: Mapping[str, Tensor | None], sequences: Iterable[Tensor], check: Callable[[], None]
) -> dict[str, Tensor]:
    """Return what errors of each row cost, in nats a token for a step of 1. `check` is called before each sequence.

    `feedbacks` names the matrices, and has what GPTQ makes of their errors, or None. Shapes: (C, C); sequences (1, T);
    results (R,), float64.
    """
    if not feedbacks:
        return {}
    generator = torch.Generator().manual_seed(DRAW_SEED)
    parameters = {name: parameter for name, parameter in model.named_parameters() if name in feedbacks}
    errors = {
        name: draw_errors((w_RC.size(0), w_RC.size(1)), feedbacks[name], generator).to(w_RC.device)
        for name, w_RC in parameters.items()
    }
    costs = {name: torch.zeros(len(w_RC), dtype=torch.float64) for name, w_RC in parameters.items()}
    tokens = 0
    for tokens_1T in sequences:
        check()
        logits_TV = model(tokens_1T)[0]
        shares_TV = torch.softmax(logits_TV.detach(), dim=-1).cpu()
        drawn_T = torch.multinomial(shares_TV, 1, generator=generator)[:, 0].to(logits_TV.device)
        loss = F.cross_entropy(logits_TV, drawn_T, reduction="sum")
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient_RC in zip(parameters, gradients, strict=True):
            if gradient_RC is not None:
                products_NR = (errors[name] * gradient_RC.float()).sum(dim=-1)  # three times as fast as an einsum
                costs[name] += products_NR.double().square().mean(0).cpu()
        tokens += tokens_1T.size(1)
    costs = {name: cost_R / (2 * max(1, tokens)) for name, cost_R in costs.items()}
    return {name: with_unseen_rows(cost_R, tokens) if is_table(name) else cost_R for name, cost_R in costs.items()}
