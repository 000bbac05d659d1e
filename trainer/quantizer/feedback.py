"""Error feedback: how GPTQ spreads the rounding error of a column over the columns after it.

Rounding weights w to q changes the output of a layer on inputs x by (w - q) x; the square of that, summed over
calibration text, is (w - q) H (w - q)^T with H = sum of x x^T, the Hessian. Columns are rounded one after another;
after each, the remaining columns are adjusted to undo as much of the error as possible, which takes the inverse of H
over those columns. The rows of the upper Cholesky factor of H^-1 hold what is needed of these inverses for every step.
Source: Frantar et al., arXiv 2210.17323.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.recipe.inventory import MATRIX_GROUPS, Inventory
from trainer.recipe.quantizer import Gptq, is_quantized
from trainer.runtime.failure import TrainingFailed

# Values that are processed at a time: many, because a column is little work, yet few enough for the memory.
STACK_VALUES = 1 << 24


@dataclass(frozen=True, slots=True)
class Feedback:
    """How the errors of one matrix are compensated."""

    order_C: Tensor
    """The columns in the order in which they are rounded."""
    factor_CC: Tensor
    """Upper Cholesky factor U of the inverse Hessian U^T U of these columns; float32.

    The square of 1 / U_jj is the variance of the j-th input that remains given the inputs of those after it.
    """

    @property
    def unit_CC(self) -> Tensor:
        """Row j: what an error of 1 in the j-th column takes from those after it. Its diagonal is 1."""
        return self.factor_CC / self.factor_CC.diagonal()[:, None]


def feedbacks_of(recipe: Gptq, hessians: Mapping[str, Tensor]) -> dict[str, Feedback]:
    """Return the feedback of each matrix, from the Hessian of its inputs. Shapes: (C, C) each.

    Raises:
        TrainingFailed: a Hessian is not finite, or not positive definite.
    """
    found: dict[str, Feedback] = {}
    for names in stacks_by_shape(hessians):
        hessian_NCC = torch.stack([hessians[name] for name in names]).double()
        order_NC = column_order(hessian_NCC.diagonal(dim1=-2, dim2=-1), recipe.order)
        damped_NCC = damp(hessian_NCC, recipe.damping)
        ordered_NCC = damped_NCC.take_along_dim(order_NC[:, :, None], dim=1).take_along_dim(order_NC[:, None], dim=2)
        factor_NCC = inverse_factor(names, ordered_NCC)
        if recipe.published_inverse:
            from trainer.quantizer.published_inverse import published_inverse

            factor_NCC = published_inverse(factor_NCC)
        found |= {name: Feedback(*pair) for name, *pair in zip(names, order_NC, factor_NCC.float(), strict=True)}
    return found


def compensated_names(recipe: Gptq, tensors: Inventory) -> list[str]:
    """Return the names of the matrices that GPTQ compensates; the others are rounded to nearest."""
    head = "head" if any(tensor.name == "head" for tensor in tensors) else "embedding.tokens"
    return [
        tensor.name
        for tensor in tensors
        if is_quantized(recipe, tensor)
        and (tensor.group in MATRIX_GROUPS or (recipe.tables == "head_inputs" and tensor.name == head))
    ]


def stacks_by_shape(tensors: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Yield names of tensors of equal shape, which are processed together."""
    by_shape: dict[torch.Size, list[str]] = defaultdict(list)
    for name, tensor in tensors.items():
        by_shape[tensor.shape].append(name)
    for shape, names in by_shape.items():
        most = max(1, STACK_VALUES // shape.numel())
        for start in range(0, len(names), most):
            yield names[start : start + most]


def inverse_factor(names: Sequence[str], hessian_NCC: Tensor) -> Tensor:
    """Return the upper Cholesky factor U of H^-1 = U^T U.

    Row j, divided by its diagonal, is how the error of column j adjusts the columns after it. With the order of columns
    reversed, H = R R^T for an upper triangular R, so U = R^-1.

    Raises:
        TrainingFailed: a Hessian is not finite, or not positive definite.
    """
    root_NCC, trouble_N = torch.linalg.cholesky_ex(hessian_NCC.flip(-2, -1))
    if trouble_N.any():
        number = int(trouble_N.nonzero()[0])
        is_finite = bool(hessian_NCC[number].isfinite().all())
        how = "positive definite; raise quantizer.damping" if is_finite else "finite; some activation overflows"
        raise TrainingFailed(f"the second moments of the inputs of {names[number]} are not {how}")
    identity_CC = torch.eye(hessian_NCC.size(-1), dtype=hessian_NCC.dtype, device=hessian_NCC.device)
    factor_NCC: Tensor = torch.linalg.solve_triangular(root_NCC.flip(-2, -1), identity_CC, upper=True)
    return factor_NCC


def damp(hessian_NCC: Tensor, damping: float) -> Tensor:
    """Return each Hessian with a share of its mean diagonal added, so that it is invertible; if zero, the identity."""
    mean_N1 = hessian_NCC.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None]
    added_N1 = torch.where(mean_N1 == 0, 1.0, damping * mean_N1)
    return hessian_NCC + torch.diag_embed(added_N1.expand(hessian_NCC.shape[:-1]))


def column_order(energy_NC: Tensor, order: str) -> Tensor:
    """Return the order in which columns are rounded. Shapes: (N, C) -> (N, C)."""
    if order == "natural":
        return torch.arange(energy_NC.size(-1), device=energy_NC.device).expand(energy_NC.shape)
    return energy_NC.argsort(dim=-1, descending=order == "descending", stable=True)
