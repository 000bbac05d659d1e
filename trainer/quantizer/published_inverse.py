"""Error feedback through the inverse Hessian itself, as in a published script."""

from torch import Tensor


def published_inverse(factor_NCC: Tensor) -> Tensor:
    """H^-1, from its upper Cholesky factor U with H^-1 = U^T U; its rows then stand where GPTQ wants those of U.

    An error is spread by H^-1 over all columns, though those before the present one can move no more.
    Source: #1535.
    """
    return factor_NCC.mT @ factor_NCC
