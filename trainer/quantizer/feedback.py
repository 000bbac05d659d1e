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

from trainer.recipe.quantizer import Gptq
from trainer.runtime.failure import TrainingFailed

# Hessian values that are inverted at a time, which bounds the memory.
STACK_VALUES = {"cpu": 1 << 23, "cuda": 1 << 26}


@dataclass(frozen=True, slots=True)
class Feedback:
    """How the errors of one matrix are compensated."""

    order_C: Tensor
    """The columns in the order in which they are rounded."""
    matrix_CC: Tensor
    """Row j: what an error of 1 in the j-th of these columns takes from those after it. Its diagonal is 1; float32."""

    def in_place(self) -> Tensor:
        """Return the matrix F for which rounding errors Z leave the weights wrong by -Z F. Shapes: (C, C)."""
        back_C = self.order_C.argsort()
        return self.matrix_CC[back_C][:, back_C]

    @property
    def spread(self) -> float:
        """Mean variance that the errors of other columns add to a column, for errors of variance 1."""
        return float(self.matrix_CC.double().square().sum()) / len(self.order_C) - 1.0


def feedbacks_of(recipe: Gptq, hessians: Mapping[str, Tensor]) -> dict[str, Feedback]:
    """Return the feedback of each matrix, from the Hessian of its inputs. Shapes: (C, C) each.

    Raises:
        TrainingFailed: a Hessian is not finite, or not positive definite.
    """
    found: dict[str, Feedback] = {}
    for names in stacks_by_size(hessians):
        hessian_NCC = torch.stack([hessians[name] for name in names]).double()
        order_NC = column_order(hessian_NCC.diagonal(dim1=-2, dim2=-1), recipe.order)
        damped_NCC = damp(hessian_NCC, recipe.damping)
        ordered_NCC = damped_NCC.take_along_dim(order_NC[:, :, None], dim=1).take_along_dim(order_NC[:, None], dim=2)
        factor_NCC = inverse_factor(names, ordered_NCC, recipe)
        unit_NCC = (factor_NCC / factor_NCC.diagonal(dim1=-2, dim2=-1)[..., None]).float()
        found |= {name: Feedback(*pair) for name, *pair in zip(names, order_NC, unit_NCC, strict=True)}
    return {name: found[name] for name in hessians}


def stacks_by_size(hessians: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Yield names of Hessians of equal size, in stacks that suit the device."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for name, hessian_CC in hessians.items():
        by_size[len(hessian_CC)].append(name)
    for size, names in by_size.items():
        most = max(1, STACK_VALUES[hessians[names[0]].device.type] // size**2)
        for start in range(0, len(names), most):
            yield names[start : start + most]


def inverse_factor(names: Sequence[str], hessian_NCC: Tensor, recipe: Gptq) -> Tensor:
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
    if recipe.published_inverse:
        from trainer.quantizer.published_inverse import published_inverse

        return published_inverse(factor_NCC)
    return factor_NCC


def damp(hessian_NCC: Tensor, damping: float) -> Tensor:
    """Return each Hessian with a share of its mean diagonal added, so that it is invertible; if zero, the identity."""
    mean_N11 = hessian_NCC.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None]
    identity_CC = torch.eye(hessian_NCC.size(-1), dtype=hessian_NCC.dtype, device=hessian_NCC.device)
    return hessian_NCC + torch.where(mean_N11 == 0, 1.0, damping * mean_N11) * identity_CC


def column_order(energy_NC: Tensor, order: str) -> Tensor:
    """Return the order in which columns are rounded. Shapes: (N, C) -> (N, C)."""
    if order == "natural":
        return torch.arange(energy_NC.size(-1), device=energy_NC.device).expand(energy_NC.shape)
    return energy_NC.argsort(dim=-1, descending=order == "descending", stable=True)
