"""Quantization-aware training (QAT): forward passes with rounded weights, updates of the float weights.

The rounded weights are arguments of the forward pass. The model has no flag that a compiler could treat as a constant;
because of such a flag, "late QAT" never happened in several published runs. When rounding begins, a probe checks on
real data that the loss changes and that every rounded matrix gets a gradient.
Source: straight-through estimator, arXiv 1308.3432.
"""

from math import tanh

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainer.model.gpt import GptModel
from trainer.model.segments import Segments
from trainer.quantizer.grid import RowGrid, checked_row_grid, row_grid
from trainer.quantizer.pruning import prune_smallest
from trainer.recipe.inventory import MATRIX_GROUPS, Inventory
from trainer.recipe.quantizer import PublishedTrainingGrid, QuantizerRecipe, StraightThrough, is_quantized
from trainer.runtime.failure import TrainingFailed

# In a new model all branches end in matrices of zeros, so rounding changes nothing; by the fourth step it must.
PROBES = 4


class RoundedLoss:
    """The loss of the rounded weights once the learning rate is low enough, and of the float weights before.

    Weights are rounded once per step, because they do not change between its forward passes.
    """

    def __init__(
        self, recipe: QuantizerRecipe, training: StraightThrough, tensors: Inventory, model: GptModel, module: nn.Module
    ) -> None:
        self.recipe, self.training, self.model, self.module = recipe, training, model, module
        groups = (*MATRIX_GROUPS, "embedding") if training.tables else MATRIX_GROUPS
        parameters = dict(model.named_parameters())  # without the prefix `model.` that the names of the module have
        names = [tensor.name for tensor in tensors if is_quantized(recipe, tensor) and tensor.group in groups]
        if not names:
            raise TrainingFailed(
                "no matrix is large enough to be quantized, so none can be rounded in training; lower float_up_to"
            )
        self.parameters = {name: parameters[name] for name in names}
        self.offsets: dict[str, Tensor] = {}
        self.probes_left = PROBES

    def begin_step(self, multiplier: float) -> bool:
        """Round the weights for this step if its learning rate is low enough; return whether to call `probe`."""
        if multiplier > self.training.below_lr:
            self.offsets = {}
            return False
        softness = self.training.softness * multiplier / (self.training.below_lr or 1.0)
        with torch.no_grad():
            self.offsets = {
                name: self.round_matrix(name, parameter, softness) - parameter
                for name, parameter in self.parameters.items()
            }
        return self.probes_left > 0

    def round_matrix(self, name: str, w_RC: Tensor, softness: float) -> Tensor:
        """Return a matrix rounded as the export rounds it, or by the published grid."""
        published = self.training.published_grid
        match published:
            case PublishedTrainingGrid():
                from trainer.quantizer.published_training_grid import published_training_grid

                return round_to_grid(w_RC, published_training_grid(published, name, w_RC), softness)
        pruned_RC = prune_smallest(w_RC, self.recipe.pruned)
        return round_to_grid(pruned_RC, row_grid(self.recipe, name, pruned_RC), softness)

    def mean_loss(self, x_BT: Tensor, y_BT: Tensor, segments: Segments | None) -> Tensor:
        """Return the mean nats of all targets."""
        weights = {f"model.{name}": self.parameters[name] + offset for name, offset in self.offsets.items()}
        loss: Tensor = functional_call(self.module, weights, (x_BT, y_BT, segments))
        return loss

    def probe(self, x_BT: Tensor, y_BT: Tensor, segments: Segments | None) -> str:
        """Check the effect of rounding on a batch and return a message for the log. Changes no gradients or weights.

        Raises:
            TrainingFailed: rounding does not change the loss, a rounded matrix gets no gradient, or a row has no grid.
        """
        for name, parameter in self.parameters.items():
            checked_row_grid(self.recipe, name, parameter.detach())
        with torch.no_grad():
            plain = self.model.mean_loss(x_BT, y_BT, segments).item()
        loss = self.mean_loss(x_BT, y_BT, segments)
        gradients = torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True)
        for name, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is None:
                raise TrainingFailed(f"{name} is rounded in training but is not part of the loss")
        still = [n for n, g in zip(self.parameters, gradients, strict=True) if g is not None and not g.any()]
        if self.probes_left > 1 and (still or loss.item() == plain):
            self.probes_left -= 1
            return "rounding does not yet affect the loss and all gradients of a batch; trying again"
        if loss.item() == plain:
            raise TrainingFailed(f"rounding {len(gradients)} matrices does not change the loss of a batch, {plain}")
        if still:
            raise TrainingFailed(f"{still[0]} is rounded in training but its gradient is zero")
        self.probes_left = 0
        losses = f"{plain:.6f} to {loss.item():.6f}"
        return f"rounding of {len(gradients)} matrices begins: the loss of a batch goes from {losses}"


def round_to_grid(w_RC: Tensor, grid: RowGrid, softness: float) -> Tensor:
    """Return each weight rounded to the grid of its row, or with softness, moved towards the nearest grid point."""
    if not softness:
        return grid.codes(w_RC) * grid.divisors_R1
    codes_RC = soft_round(w_RC / grid.divisors_R1, 1.0 / softness).clamp(-grid.levels, grid.levels)
    return codes_RC * grid.divisors_R1


def soft_round(u: Tensor, sharpness: float) -> Tensor:
    """Return floor(u) + 1/2 + tanh(a (frac(u) - 1/2)) / (2 tanh(a / 2)) for sharpness a.

    It tends to u for a -> 0 and to round(u) for a -> infinity. Source: arXiv 2006.09952.
    """
    fraction = u - u.floor()
    return u.floor() + 0.5 + torch.tanh(sharpness * (fraction - 0.5)) / (2 * tanh(sharpness / 2))
