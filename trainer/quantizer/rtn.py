"""Round to nearest."""

import torch
from torch import Tensor

from trainer.quantizer.clip import clip_rows
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import Rtn
from trainer.runtime.failure import TrainingFailed


class RoundToNearest:
    """A symmetric grid a row, chosen from that row alone.

    The step is rounded to float16 first and the codes are taken on that very grid, so that what is written is what was
    measured. There is no hidden floor under the step: see `Rtn.scale_floor`.
    """

    def __init__(self, recipe: Rtn) -> None:
        self.recipe = recipe

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix:
        """Codes and steps of a matrix.

        Raises: TrainingFailed when a row cannot be put on a grid (not finite, or constant but not zero).
        """
        if not torch.isfinite(w_RC).all():
            raise TrainingFailed(f"{name} holds values that are not finite; it cannot be quantized")
        levels = 2 ** (value_for(self.recipe.bits, name) - 1) - 1
        steps_R = (clip_rows(self.recipe.clip, name, w_RC.float()) / levels).clamp_min(self.recipe.scale_floor).half()
        if not torch.isfinite(steps_R).all():
            raise TrainingFailed(f"{name} has a row of {w_RC.size(1)} weights whose step is not a finite float16")
        empty_R = steps_R == 0
        if (w_RC[empty_R] != 0).any():
            raise TrainingFailed(f"{name} has a row whose step is zero though its weights are not")
        safe_R = torch.where(empty_R, 1.0, steps_R.float())
        codes_RC = (w_RC.float() / safe_R[:, None]).round().clamp(-levels, levels).to(torch.int8)
        return QuantizedMatrix(codes_RC, steps_R)
