"""A quantized matrix."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """Integer codes and the step of each row; the matrix is their product."""

    codes_RC: Tensor
    """int8."""
    steps_R: Tensor
    """float16, as stored."""

    def dequantize(self) -> Tensor:
        """The matrix that the codes stand for, float32. Shapes: (R, C)."""
        return self.codes_RC.float() * self.steps_R.float()[:, None]
