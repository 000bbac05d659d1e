"""GPTQ error feedback through the inverse Hessian itself, as in published scripts."""

from torch import Tensor


def published_inverse(factor_NCC: Tensor) -> Tensor:
    """Return H^-1 from its upper Cholesky factor U with H^-1 = U^T U; its rows take the place of those of U.

    H^-1 distributes an error over all columns, although those already rounded can no longer change.
    Source: #1535.
    """
    return factor_NCC.mT @ factor_NCC
