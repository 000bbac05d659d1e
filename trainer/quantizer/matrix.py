"""A quantized matrix."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """Integer codes and a step per row; the matrix is their product, plus a residual if there is one."""

    codes_RC: Tensor
    """int8, or int16 where steps follow sensitivity or codes a trellis."""
    steps_R: Tensor
    """float16, as stored."""
    residual: "tuple[QuantizedMatrix, QuantizedMatrix] | None" = None
    """Two thin matrices; the first transposed times the second is added."""

    def dequantize(self) -> Tensor:
        """Return the matrix in float32. Shapes: (R, C)."""
        w_RC = self.points()
        if self.residual is None:
            return w_RC
        left_PR, right_PC = self.residual
        return w_RC + left_PR.dequantize().mT @ right_PC.dequantize()

    def points(self) -> Tensor:
        """Return the matrix without its residual. Shapes: (R, C), float32."""
        return self.codes_RC.float() * self.steps_R.float()[:, None]

    def parts(self) -> "tuple[QuantizedMatrix, ...]":
        """Return the matrices that are stored for it: itself and the factors of its residual."""
        return (self,) if self.residual is None else (self, *self.residual)
