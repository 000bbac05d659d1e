"""Graphs of the model, made by torch.compile.

A training step's forward and backward pass is one graph, made before the clock of training runs. A run may come to
several: rounding of weights begins, a recurrent range begins to recur. All of them are made here, on tokens that mean
nothing, so that no step of the run waits for a compiler. Scoring makes graphs of the shapes that keep coming.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.data.batches import MicroBatch
from trainer.evaluation.scoring import PASS_TOKENS
from trainer.model.gpt import GptModel
from trainer.quantizer.training import TrainingLoss
from trainer.recipe.compute import Compute
from trainer.recipe.schedule import Warmdown
from trainer.runtime.failure import RunFailure

BACKEND = "inductor"
# Forward passes of one shape after which the next ones are worth a graph, and for how many shapes that is done: torch
# keeps eight graphs, and adaptation that freezes tensors makes two of each.
PASSES_BEFORE_A_GRAPH, MOST_SHAPES = 8, 3


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
        raise refused(error) from error
    for parameter in model.parameters():
        parameter.grad = None


class ScoringGraphs:
    """A model's logits without gradients, by a graph for each of the few shapes that most windows have. The rest, a
    text's beginning and end, is not worth a compiler's time. Where there is no graph to be had the model goes on
    without, and says so: a training that is paid for is not lost to a compiler.
    """

    def __init__(self, model: GptModel, say: Callable[[str], None]) -> None:
        self.model, self.say = model, say
        self.compiled: Callable[..., Any] = torch.compile(model, fullgraph=True, dynamic=False, backend=BACKEND)
        self.passes: Counter[tuple[int, ...]] = Counter()
        self.common: list[tuple[int, ...]] = []
        self.most_shapes = MOST_SHAPES

    def __call__(self, tokens_BT: Tensor, last: int) -> Tensor:
        """Logits of the `last` tokens. Shapes: (B, T) -> (B, last, V), float32."""
        shape = (*tokens_BT.shape, last)
        if self.is_common(shape, tokens_BT.device):
            try:
                logits_BTV: Tensor = self.compiled(tokens_BT, last)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.common, self.most_shapes = [], 0
                self.say(f"{refused(error)}; scoring goes on without")
            else:
                return logits_BTV
        plain_BTV: Tensor = self.model(tokens_BT, last)
        return plain_BTV

    def is_common(self, shape: tuple[int, ...], device: torch.device) -> bool:
        """Whether passes of a shape are full ones, and have come so often that more will."""
        self.passes[shape] += 1
        is_full = shape[0] * shape[1] >= PASS_TOKENS[device.type]
        if is_full and self.passes[shape] == PASSES_BEFORE_A_GRAPH and len(self.common) < self.most_shapes:
            self.model.settle(shape[1])
            self.common.append(shape)
        return shape in self.common


def refused(error: RuntimeError) -> RunFailure:
    """What a run ends with when there is no graph to be had."""
    reason = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
    return RunFailure(f"torch.compile failed: {reason}; `recipe.compute.compile: never` does without it")
