"""Graphs of the model, compiled by torch.compile.

The forward and backward pass of a training step is one graph, compiled before the training clock starts. A run may need
several: weights are rounded from some step on, a recurrent range recurs from some progress on. All are compiled here,
on dummy tokens, so that no step waits for the compiler. Scoring compiles graphs for frequent shapes only.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainer.data.batches import MicroBatch
from trainer.evaluation.window_scorer import PASS_TOKENS, backpropagate
from trainer.model.gpt import GptModel
from trainer.quantizer.training import TrainingLoss
from trainer.recipe.compute import Compute
from trainer.recipe.loader import DocumentPacking, DocumentRows
from trainer.recipe.schedule import Warmdown
from trainer.runtime.failure import RunFailure

BACKEND = "inductor"
# A shape is compiled after this many passes, and at most this many shapes are: torch keeps eight graphs, and adaptation
# that freezes tensors needs two for each shape.
PASSES_BEFORE_COMPILE, MAX_COMPILED_SHAPES = 8, 3


def is_compiled(compute: Compute, device: torch.device) -> bool:
    """Return whether a recipe compiles graphs on a device."""
    return compute.compile == "always" or (compute.compile == "on_gpu" and device.type == "cuda")


def compile_loss(
    model: GptModel, loss: TrainingLoss, schedule: Warmdown, mean_loss: Callable[[MicroBatch], Tensor]
) -> None:
    """Compile the loss for all plans and roundings of a run. Weights do not change; gradients are cleared.

    Raises:
        RunFailure: torch.compile fails; names the key that turns it off.
    """
    model.precompute(schedule.window_tokens)
    loss.module.compile(fullgraph=True, dynamic=False, backend=BACKEND)
    try:
        for micro in dummy_batches(schedule, model.device):
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


def dummy_batches(schedule: Warmdown, device: torch.device) -> Iterator[MicroBatch]:
    """Yield a batch of each shape that a training step has: one, or one for each padded number of segments."""
    shape = schedule.micro_tokens // schedule.window_tokens, schedule.window_tokens + 1
    tokens_BT = torch.zeros(shape, dtype=torch.int64, device=device)
    batch = MicroBatch(tokens_BT[:, :-1], tokens_BT[:, 1:])
    if isinstance(schedule.loader, DocumentPacking | DocumentRows):
        from trainer.data.segment_shapes import batches_of_segments

        yield from batches_of_segments(batch, schedule.loader)
    else:
        yield batch


class FrequentShapes:
    """The few shapes that come often enough to be worth compiling.

    If the compiler fails, the model logs that and runs without graphs: a compiler must not cost a training run that is
    already paid for.
    """

    def __init__(self, model: GptModel, log: Callable[[str], None], limit: int) -> None:
        self.model, self.log, self.limit = model, log, limit
        self.passes: Counter[tuple[int, ...]] = Counter()
        self.frequent: list[tuple[int, ...]] = []

    def count(self, shape: tuple[int, ...]) -> bool:
        """Count a pass of a shape, which begins with (B, T), and return whether it is a frequent one."""
        self.passes[shape] += 1
        if self.passes[shape] == PASSES_BEFORE_COMPILE and len(self.frequent) < self.limit:
            self.model.precompute(shape[1])
            self.frequent.append(shape)
        return shape in self.frequent

    def run(self, compiled_pass: Callable[[], Tensor], what: str) -> Tensor | None:
        """Return the result of a compiled pass, or None, now and from now on, if the compiler fails."""
        try:
            return compiled_pass()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.frequent, self.limit = [], 0
            self.log(f"{compile_failure(error)}; {what} continues without it")
            return None


def compile_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs one graph for each shape of its inputs."""
    compiled: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False, backend=BACKEND)
    return compiled


class ScoringGraphs:
    """A model's logits without gradients, by a graph for each shape of full batches.

    The batches at the beginning and the end of a text are not compiled.
    """

    def __init__(self, model: GptModel, log: Callable[[str], None]) -> None:
        self.model, self.shapes = model, FrequentShapes(model, log, MAX_COMPILED_SHAPES)
        self.compiled = compile_graph(model)

    def __call__(self, tokens_BT: Tensor, last: int) -> Tensor:
        """Return the logits of the `last` tokens. Shapes: (B, T) -> (B, last, V), float32."""
        is_full = tokens_BT.numel() >= PASS_TOKENS[tokens_BT.device.type]
        logits_BTV: Tensor | None = None
        if is_full and self.shapes.count((*tokens_BT.shape, last)):
            logits_BTV = self.shapes.run(lambda: self.compiled(tokens_BT, last), "scoring")
        return self.model(tokens_BT, last) if logits_BTV is None else logits_BTV


class LearningGraphs:
    """The gradients of a model that adapts, by a graph for the shape of most steps."""

    def __init__(self, model: GptModel, log: Callable[[str], None]) -> None:
        self.model, self.shapes = model, FrequentShapes(model, log, 1)
        self.compiled = compile_graph(model.mean_loss)

    def __call__(self, tokens_BT: Tensor, targets_BT: Tensor, share: float) -> Tensor:
        """Backpropagate `share` of the mean loss, and return it."""
        step = (tokens_BT, targets_BT, share)
        if self.shapes.count(tuple(tokens_BT.shape)):
            loss = self.shapes.run(lambda: backpropagate(self.compiled, *step), "adaptation")
            if loss is not None:
                return loss
            self.model.zero_grad()  # the compiled pass may have failed halfway
        return backpropagate(self.model.mean_loss, *step)


def compile_failure(error: RuntimeError) -> RunFailure:
    """Return the failure of a run that cannot be compiled."""
    reason = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
    return RunFailure(f"torch.compile failed: {reason}; `recipe.compute.compile: never` turns it off")
