"""The type of every function that computes attention."""

from collections.abc import Callable

from torch import Tensor

# Queries of the last S tokens, keys and values of all T.
# Shapes: (B, H, S, E), (B, K, T, E), (B, K, T, E) -> (B, H, S, E).
AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
