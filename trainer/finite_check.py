"""The check that losses and weights are finite numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.runtime.checkpoint import CheckpointFolder
from trainer.runtime.failure import TrainingFailed


class FiniteCheck:
    """Ends a run whose losses or weights are no longer finite, before a checkpoint holds them."""

    def __init__(self, checkpoints: CheckpointFolder, device: torch.device) -> None:
        self.checkpoints = checkpoints
        # The step, from 1, of the first bad loss. It stays on the device: reading it synchronizes.
        self.bad_step = torch.zeros((), dtype=torch.int64, device=device)

    def note(self, step: int, loss: Tensor) -> None:
        """Remember the step if its loss is the first that is not finite."""
        is_first = ~loss.isfinite() & (self.bad_step == 0)
        self.bad_step = torch.where(is_first, step, self.bad_step)

    def check_losses(self) -> None:
        """End the run if a loss was not finite.

        Raises:
            TrainingFailed: a loss is not finite; names its step and the last good checkpoint.
        """
        if step := int(self.bad_step):
            raise TrainingFailed(f"the loss of step {step} is not a number; {self.last_good_checkpoint()}")

    def check(self, parameters: Mapping[str, Tensor], step: int) -> None:
        """End the run if a loss was not finite, or a weight is not: the last update may have broken one.

        Raises:
            TrainingFailed: one is not finite; names the step or the tensor, and the last good checkpoint.
        """
        self.check_losses()
        norms = torch.stack(torch._foreach_norm([parameter.detach() for parameter in parameters.values()]))
        if not norms.isfinite().all():
            name = list(parameters)[int((~norms.isfinite()).nonzero()[0])]
            raise TrainingFailed(
                f"{name} is not finite after the update of step {step}, or of one shortly before; "
                f"{self.last_good_checkpoint()}"
            )

    def last_good_checkpoint(self) -> str:
        """Return a clause that names the newest checkpoint."""
        newest = next((path.name for path in self.checkpoints.newest_first()), "none")
        return f"the last good checkpoint is {newest}"
