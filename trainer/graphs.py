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
from trainer.evaluation.window_scorer import PASS_TOKENS, backpropagate
from trainer.model.gpt import GptModel
from trainer.quantizer.training import TrainingLoss
from trainer.recipe.compute import Compute
from trainer.recipe.schedule import Warmdown
from trainer.runtime.failure import RunFailure

BACKEND = "inductor"
# Forward passes of one shape after which the next ones are worth a graph, and for how many shapes that is done: torch
# keeps eight graphs, and adaptation that freezes tensors makes two of each.
PASSES_BEFORE_COMPILE, MAX_COMPILED_SHAPES = 8, 3


def is_compiled(compute: Compute, device: torch.device) -> bool:
    """Whether a recipe wants graphs on a device."""
    return compute.compile == "always" or (compute.compile == "on_gpu" and device.type == "cuda")


def compile_loss(
    model: GptModel, loss: TrainingLoss, schedule: Warmdown, mean_loss: Callable[[MicroBatch], Tensor]
) -> None:
    """Nothing; the loss is compiled for all that a run can come to. Weights are as before, gradients gone.

    Raises: RunFailure when torch.compile fails, naming the key that turns it off.
    """
    model.precompute(schedule.sequence_tokens)
    loss.module.compile(fullgraph=True, dynamic=False, backend=BACKEND)
    shape = schedule.micro_tokens // schedule.sequence_tokens, schedule.sequence_tokens + 1
    tokens_BT = torch.zeros(shape, dtype=torch.int64, device=model.device)
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
        raise compile_failure(error) from error
    for parameter in model.parameters():
        parameter.grad = None


class FrequentShapes:
    """The few shapes of a model's passes that come so often that a graph of each is worth a compiler's time. Where
    there is none to be had the model goes on without, and says so: a training that is paid for is not lost to a
    compiler.
    """

    def __init__(self, model: GptModel, log: Callable[[str], None], limit: int) -> None:
        self.model, self.log, self.limit = model, log, limit
        self.passes: Counter[tuple[int, ...]] = Counter()
        self.frequent: list[tuple[int, ...]] = []

    def count(self, shape: tuple[int, ...]) -> bool:
        """Whether passes of a shape, (B, T) first, have come so often that more will."""
        self.passes[shape] += 1
        if self.passes[shape] == PASSES_BEFORE_COMPILE and len(self.frequent) < self.limit:
            self.model.precompute(shape[1])
            self.frequent.append(shape)
        return shape in self.frequent

    def run(self, a_pass: Callable[[], Tensor], what: str) -> Tensor | None:
        """What a pass through a graph gives; None, now and from then on, when the compiler fails."""
        try:
            return a_pass()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.frequent, self.limit = [], 0
            self.log(f"{compile_failure(error)}; {what} goes on without")
            return None


class ScoringGraphs:
    """A model's logits without gradients, by a graph for each shape that most windows have. The rest, a text's
    beginning and end, has none.
    """

    def __init__(self, model: GptModel, log: Callable[[str], None]) -> None:
        self.model, self.shapes = model, FrequentShapes(model, log, MAX_COMPILED_SHAPES)
        self.compiled: Callable[..., Any] = torch.compile(model, fullgraph=True, dynamic=False, backend=BACKEND)

    def __call__(self, tokens_BT: Tensor, last: int) -> Tensor:
        """Logits of the `last` tokens. Shapes: (B, T) -> (B, last, V), float32."""
        is_full = tokens_BT.numel() >= PASS_TOKENS[tokens_BT.device.type]
        logits_BTV: Tensor | None = None
        if is_full and self.shapes.count((*tokens_BT.shape, last)):
            logits_BTV = self.shapes.run(lambda: self.compiled(tokens_BT, last), "scoring")
        return self.model(tokens_BT, last) if logits_BTV is None else logits_BTV


class LearningGraphs:
    """The gradients of a model that adapts, by a graph for the shape that most of its steps have."""

    def __init__(self, model: GptModel, log: Callable[[str], None]) -> None:
        self.model, self.shapes = model, FrequentShapes(model, log, 1)
        self.compiled: Callable[..., Any] = torch.compile(
            model.mean_loss, fullgraph=True, dynamic=False, backend=BACKEND
        )

    def __call__(self, tokens_BT: Tensor, targets_BT: Tensor, share: float) -> Tensor:
        """A share of the mean loss, of which each parameter that learns has its gradient."""
        step = (tokens_BT, targets_BT, share)
        if self.shapes.count(tuple(tokens_BT.shape)):
            loss = self.shapes.run(lambda: backpropagate(self.compiled, *step), "adaptation")
            if loss is not None:
                return loss
            self.model.zero_grad()  # it may have failed in the midst of them
        return backpropagate(self.model.mean_loss, *step)


def compile_failure(error: RuntimeError) -> RunFailure:
    """What a run ends with when there is no graph to be had."""
    reason = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
    return RunFailure(f"torch.compile failed: {reason}; `recipe.compute.compile: never` does without it")
