"""The training loop: one step after the other until the budget is spent."""

import math
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.averaging.average import make_average
from trainer.data.batches import SequentialBatches
from trainer.data.manifest import read_split
from trainer.data.shards import TokenStream
from trainer.model.gpt import GptModel
from trainer.optimizer.coverage import STEPS_TO_MOVE, MovementCheck
from trainer.optimizer.muon_adamw import MuonAdamWOptimizer
from trainer.optimizer.warmdown import warmdown_multiplier
from trainer.recipe.inventory import inventory
from trainer.runtime.checkpoint import CheckpointFolder
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import precision
from trainer.runtime.failure import ResumeRefused, TrainingFailed
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import RunJournal
from trainer.runtime.stop import StopRequest

LOGGED_STEPS = 100


class Training:
    """A model on its way from random weights to the end of its budget.

    Everything that the next step depends on is in `state()`: weights, average, optimizer, step, phase seconds.
    Batches follow from the step alone. So a run that was killed goes on from its checkpoint to the same bits, on a
    CPU and under a clock of steps or tokens.
    """

    def __init__(self, job: TrainingJob, device: torch.device, journal: RunJournal) -> None:
        recipe = self.recipe = job.recipe
        self.device, self.journal = device, journal
        torch.manual_seed(job.seed)
        self.model = GptModel(recipe.model, recipe.vocabulary_size).to(device)
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        tensors = inventory(recipe.model, recipe.vocabulary_size)
        self.optimizer = MuonAdamWOptimizer(recipe.optimizer, tensors, self.parameters)
        self.average = make_average(recipe.averaging, self.parameters)
        self.stream = TokenStream(read_split(job.data, "train", recipe.vocabulary_size).shards)
        self.batches = SequentialBatches(self.stream, recipe.schedule, device)
        self.checkpoints = CheckpointFolder(job.files.checkpoints)
        self.clock = PhaseClock()
        self.movement: MovementCheck | None = MovementCheck(self.parameters)
        self.step = 0
        self.resumed_from_step = 0

    @property
    def tokens_seen(self) -> int:
        return self.step * self.recipe.schedule.batch_tokens

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        budget = self.recipe.budget
        if not budget.train:
            return 1.0
        match budget.clock:
            case "steps":
                return self.step / budget.train
            case "tokens":
                return self.tokens_seen / budget.train
            case "seconds":
                spent = self.clock.seconds("train")
                return spent / max(budget.train - budget.reserve_seconds, 1e-9)

    def run(self, stop: StopRequest) -> None:
        """Nothing; the budget is spent and the last checkpoint on disk.

        Raises: Stopped when asked to, with a checkpoint on disk; TrainingFailed when the loss is not a number.
        """
        self.model.train()
        began, began_at = time.monotonic(), self.step
        with self.clock.phase("train"):
            while self.progress < 1.0:
                if stop.requested:
                    self.checkpoints.write(self.step, self.state())
                    stop.check()
                multiplier = warmdown_multiplier(self.recipe.schedule, self.progress)
                loss = self.train_step(multiplier)
                self.follow(loss, multiplier, (time.monotonic() - began) / (self.step - began_at))
                if self.checkpoints.is_due:
                    self.check_finite(loss)
                    self.checkpoints.write(self.step, self.state())
        self.checkpoints.write(self.step, self.state())

    def train_step(self, multiplier: float) -> Tensor:
        """The mean loss of one step, in nats a token, after its update."""
        micro_batches = self.recipe.schedule.batch_tokens // self.batches.micro_batch_tokens
        total = torch.zeros((), device=self.device)
        for x_BT, y_BT in self.batches.micro_batches(self.step):
            with precision(self.device):
                logits_BTV = self.model(x_BT)
            loss = F.cross_entropy(logits_BTV.flatten(0, 1), y_BT.flatten()) / micro_batches
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if self.movement is not None:
            self.movement.before_update()
        self.optimizer.step(self.step, multiplier)
        if self.movement is not None and self.step + 1 == STEPS_TO_MOVE:
            self.movement.check()
            self.movement = None
        self.optimizer.forget_gradients()
        self.average.update(self.step)
        self.step += 1
        return total

    def follow(self, loss: Tensor, multiplier: float, step_seconds: float) -> None:
        """Nothing; the world knows about this step, if it is one of those that are logged."""
        planned = self.recipe.planned_steps
        interval = max(1, (planned or 0) // LOGGED_STEPS)
        if self.step % interval and self.step != planned:
            return
        value = self.check_finite(loss)
        row: dict[str, Any] = {"step": self.step, "elapsed_seconds": round(self.clock.seconds("train"), 3)}
        row |= {"tokens": self.tokens_seen, "train_loss": value, "lr_multiplier": multiplier}
        self.journal.record(row)
        speed = f"{1000 * step_seconds:.0f} ms/step"
        self.journal.say(f"step {self.step}/{planned or '?'} train_loss {value:.4f} lr x{multiplier:.3f} {speed}")
        self.journal.pulse(
            phase="train", step=self.step, total=planned, progress=self.progress, train_loss=value,
            step_seconds=step_seconds,
        )  # fmt: skip

    def check_finite(self, loss: Tensor) -> float:
        """The loss as a number.

        Raises: TrainingFailed naming the step when it is not one; no checkpoint has been written since it was.
        """
        value = float(loss.item())
        if not math.isfinite(value):
            kept = next((path.name for path in self.checkpoints.newest_first()), "none")
            raise TrainingFailed(f"the loss of step {self.step} is {value}; the last good checkpoint is {kept}")
        return value

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "step": self.step,
            "weights": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average.state(),
            "optimizer": self.optimizer.state(),
            "seconds": self.clock.state(),
        }

    @torch.no_grad()
    def resume(self) -> None:
        """Nothing; training stands where the newest whole checkpoint left it, or at the start when there is none."""
        for step, state in self.checkpoints.restore():
            if state is None:
                self.journal.say(f"checkpoint of step {step} is damaged; trying the one before")
                continue
            for name, parameter in self.parameters.items():
                parameter.copy_(state["weights"][name])
            self.average.restore(state["average"])
            self.optimizer.restore(state["optimizer"])
            self.clock.restore(state["seconds"])
            self.step = self.resumed_from_step = state["step"]
            self.movement = MovementCheck(self.parameters) if self.step < STEPS_TO_MOVE else None
            self.journal.say(f"resumed from step {self.step}")
            break
        else:
            if self.checkpoints.newest_first():
                raise ResumeRefused("every checkpoint is damaged; start another attempt with --fresh")
        self.journal.forget_after(self.step)
