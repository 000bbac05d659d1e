"""The training loop: one step after the other until the budget is spent."""

from typing import Any

import torch
from torch import Tensor

from trainer.averaging.average import make_average
from trainer.data.batches import MicroBatch
from trainer.graphs import compile_loss, is_compiled
from trainer.model.gpt import GptModel
from trainer.optimizer.coverage import STEPS_TO_MOVE, MovementCheck
from trainer.optimizer.optimizer import make_optimizer, taper_weight_decay
from trainer.quantizer.training import make_training_loss
from trainer.recipe.inventory import inventory
from trainer.recipe.loader import DocumentRows
from trainer.recipe.optimizer import MuonAdamW, Taper
from trainer.recipe.recipe import Recipe
from trainer.runtime.clock import PhaseClock, RankZeroClock
from trainer.runtime.failure import LaunchRefused
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal
from trainer.runtime.world import World
from trainer.training_data import TrainingData


class Training:
    """A model in training, from its first weights to the end of its budget.

    Everything that the next step depends on is in `state()`: weights, average, optimizer, batches, step, phase seconds.
    Each rank of a run has one of these, and all of them take the same steps. Subclasses log, keep checkpoints and stop.
    """

    def __init__(self, job: TrainingJob, world: World, journal: Journal, clock: PhaseClock) -> None:
        recipe = self.recipe = job.recipe
        self.world, self.journal, self.clock = world, journal, clock
        check_processes(recipe, world.size)
        torch.manual_seed(job.seed)
        self.model = GptModel(recipe.model, recipe.vocabulary_size, recipe.compute).to(world.device)
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        tensors = inventory(recipe.model, recipe.vocabulary_size)
        self.optimizer = make_optimizer(recipe, tensors, self.parameters, world)
        self.loss = make_training_loss(recipe.quantizer, tensors, self.model)
        self.average = make_average(recipe.averaging, self.parameters)
        self.data = TrainingData(job, world)
        self.movement: MovementCheck | None = MovementCheck(self.optimizer.moving())
        self.rank_zero_clock = RankZeroClock(recipe.budget.train)
        self.spent_seconds = 0.0
        self.step = self.resumed_from_step = 0

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
                return self.spent_seconds / max(budget.train - budget.reserve_seconds, 1e-9)

    def run(self) -> None:
        """Train until the budget is spent."""
        self.world.check_same_weights(self.parameters.values(), "before training")
        with self.clock.phase("train"):
            while self.progress < 1.0:
                multiplier = self.recipe.schedule.multiplier(self.progress)
                loss = self.train_step(multiplier)
                if isinstance(self.recipe.schedule.loader, DocumentRows):
                    multiplier *= self.data.length.lr_share(self.step - 1)
                self.after_step(loss, multiplier)
        self.data.batches.close()
        self.world.check_same_weights(self.parameters.values(), "after training")

    def before_pass(self) -> None:
        """Do what a subclass does before each forward pass. Nothing of the step has changed any state yet."""

    def after_step(self, loss: Tensor, multiplier: float) -> None:
        """Do what a subclass does after each step."""

    def compile(self) -> None:
        """Compile the loss if the recipe asks for it, so that the first step takes no longer than the others."""
        if is_compiled(self.recipe.compute, self.world.device):
            self.journal.report(phase="compile")
            with self.clock.phase("compile"):
                compile_loss(self.model, self.loss, self.recipe.schedule, self.mean_loss)

    def train_step(self, multiplier: float) -> Tensor:
        """Take one step, and return its mean loss over all ranks in nats per token."""
        total = torch.zeros((), device=self.world.device)
        self.model.follow_progress(self.progress)
        optimizer = self.recipe.optimizer
        if isinstance(optimizer, MuonAdamW) and isinstance(optimizer.weight_decay_taper, Taper):
            taper_weight_decay(self.optimizer, optimizer.weight_decay_taper.factor(self.progress))
        if isinstance(self.recipe.schedule.loader, DocumentRows):
            self.data.length.follow_progress(self.progress, self.step)
            self.data.batches.longest = self.data.length.longest
        begins_rounding = self.loss.begin_step(multiplier)
        for micro in self.data.batches.next_step():
            if begins_rounding:
                self.journal.log(self.loss.probe(micro.x_BT, micro.y_BT, micro.segments))
                begins_rounding = False
            self.before_pass()
            loss = self.mean_loss(micro) / self.recipe.schedule.micro_steps
            if isinstance(optimizer, MuonAdamW) and optimizer.clip_each_pass:
                from trainer.optimizer.pass_clipping import backpropagate_clipped

                norm = optimizer.clip_norm / self.recipe.schedule.micro_steps  # of the share of one pass in the mean
                backpropagate_clipped(loss, self.optimizer.moving().values(), norm)
            else:
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        total = self.sum_over_ranks(total)
        self.update(multiplier)
        self.average.update(self.step, multiplier)
        self.step += 1
        return total

    def mean_loss(self, micro: MicroBatch) -> Tensor:
        """Return the mean nats per token of one forward pass."""
        return self.loss.mean_loss(micro.x_BT, micro.y_BT, micro.segments)

    def sum_over_ranks(self, loss: Tensor) -> Tensor:
        """Sum gradients over all ranks, share rank 0's clock, and return the loss over all ranks."""
        seconds = self.clock.seconds("train")
        if self.world.size == 1:
            self.spent_seconds = seconds
            return loss
        clock = torch.tensor([seconds if self.world.is_rank_zero else 0.0], device=self.world.device)
        sums = self.world.sum_gradients(self.parameters.values(), torch.cat((loss[None], clock)))
        if self.recipe.budget.clock == "seconds":
            self.spent_seconds = self.rank_zero_clock.seconds_after(self.step, sums[1])
        return sums[0]

    def update(self, multiplier: float) -> None:
        """Let the optimizer move the parameters, and check over the first steps that it moves each of them."""
        if self.movement is not None:
            self.movement.before_update()
        if isinstance(self.recipe.schedule.loader, DocumentRows):
            multiplier *= self.data.length.lr_share(self.step)
        self.optimizer.step(self.step, multiplier)
        if self.movement is not None and self.step + 1 == STEPS_TO_MOVE:
            self.movement.check()
            self.movement = None
        self.optimizer.forget_gradients()

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        state = {
            "step": self.step,
            "weights": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average.state(),
            "optimizer": self.optimizer.state(),
            "batches": self.data.batches.state,
            "seconds": self.clock.state(),
        }
        if isinstance(self.recipe.schedule.loader, DocumentRows):
            state["length"] = self.data.length.state()
        return state

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state()` returned."""
        for name, parameter in self.parameters.items():
            parameter.copy_(state["weights"][name])
        self.average.restore(state["average"])
        self.optimizer.restore(state["optimizer"])
        self.data.batches.restore(state["batches"])
        if isinstance(self.recipe.schedule.loader, DocumentRows):
            self.data.length.restore(state["length"])
        self.clock.restore(state["seconds"])
        self.spent_seconds = self.clock.seconds("train")
        self.step = self.resumed_from_step = state["step"]
        self.movement = MovementCheck(self.optimizer.moving()) if self.step < STEPS_TO_MOVE else None


def check_processes(recipe: Recipe, processes: int) -> None:
    """Check that the processes can share each step equally.

    Raises:
        LaunchRefused: they cannot.
    """
    if recipe.schedule.micro_steps % processes:
        raise LaunchRefused(
            f"{processes} processes cannot share the {recipe.schedule.micro_steps} forward passes of a step equally: "
            "start a number that divides them, or change recipe.schedule.micro_batch_tokens"
        )
    is_stale = isinstance(recipe.optimizer, MuonAdamW) and recipe.optimizer.published_stale_gradients
    if is_stale and processes > 1:
        raise LaunchRefused("published_stale_gradients adds up the gradients of one process; run one process")
