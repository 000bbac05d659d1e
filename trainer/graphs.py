"""One graph for the forward and the backward pass of a training step, made before the clock of training runs.

A run may come to several: rounding of weights begins, a recurrent range begins to recur. All of them are made here, on
tokens that mean nothing, so that no step of the run waits for a compiler.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from trainer.data.batches import MicroBatch
from trainer.model.gpt import GptModel
from trainer.quantizer.training import TrainingLoss
from trainer.recipe.compute import Compute
from trainer.recipe.schedule import Warmdown
from trainer.runtime.failure import RunFailure

BACKEND = "inductor"


def is_compiled(compute: Compute, device: torch.device) -> bool:
    """Whether a recipe wants graphs on a device."""
    return compute.compile == "always" or (compute.compile == "on_gpu" and device.type == "cuda")


def make_graphs(
    model: GptModel, loss: TrainingLoss, schedule: Warmdown, mean_loss: Callable[[MicroBatch], Tensor]
) -> None:
    """Nothing; the loss is compiled for all that a run can come to. Weights are as before, gradients gone.

    Raises: RunFailure when torch.compile fails, naming the key that turns it off.
    """
    model.settle(schedule.sequence_tokens)
    loss.module.compile(fullgraph=True, dynamic=False, backend=BACKEND)
    shape = schedule.micro_tokens // schedule.sequence_tokens, schedule.sequence_tokens + 1
    tokens_BT = torch.zeros(shape, dtype=torch.int64, device=model.embedding.tokens.device)
    micro = MicroBatch(tokens_BT[:, :-1], tokens_BT[:, 1:])
    try:
        for progress in (0.0, 1.0):
            model.follow_progress(progress)
            for multiplier in (1.0, 0.0):
                loss.begin_step(multiplier)
                mean_loss(micro).backward()  # type: ignore[no-untyped-call]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
        raise RunFailure(f"torch.compile failed: {reason}; `recipe.compute.compile: never` does without it") from error
    for parameter in model.parameters():
        parameter.grad = None
