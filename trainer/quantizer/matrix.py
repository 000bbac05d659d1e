"""A quantized matrix."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """Integer codes and the step of each row; the matrix is their product, plus a residual where there is one."""

    codes_RC: Tensor
    """int8."""
    steps_R: Tensor
    """float16, as stored."""
    residual: "tuple[QuantizedMatrix, QuantizedMatrix] | None" = None
    """Two thin matrices; the first one transposed times the second is added."""

    def dequantize(self) -> Tensor:
        """The matrix that the codes stand for, float32. Shapes: (R, C)."""
        w_RC = self.codes_RC.float() * self.steps_R.float()[:, None]
        if self.residual is None:
            return w_RC
        left_PR, right_PC = self.residual
        return w_RC + left_PR.dequantize().mT @ right_PC.dequantize()

    def parts(self) -> "tuple[QuantizedMatrix, ...]":
        """What is stored one after the other: itself, and the factors of its residual."""
        return (self,) if self.residual is None else (self, *self.residual)
