"""The training loop: one step after the other until the budget is spent."""

import hashlib
import time
from typing import Any

import torch
from torch import Tensor

from trainer.averaging.average import make_average
from trainer.data.batches import BatchReader, MicroBatch
from trainer.data.manifest import read_split
from trainer.data.order import make_order, number_documents_for
from trainer.data.shards import TokenStream
from trainer.evaluation.byte_counts import load_tokenizer
from trainer.evaluation.ledger import bits_per_byte
from trainer.graphs import compile_loss, is_compiled
from trainer.model.gpt import GptModel
from trainer.optimizer.coverage import STEPS_TO_MOVE, MovementCheck
from trainer.optimizer.optimizer import make_optimizer_of
from trainer.quantizer.training import make_training_loss
from trainer.recipe.inventory import inventory
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.plan import progress_of_change
from trainer.recipe.recipe import Recipe
from trainer.runtime.checkpoint import CheckpointFolder, read_checkpoint
from trainer.runtime.clock import PhaseClock, RankZeroClock
from trainer.runtime.failure import LaunchRefused, ResumeRefused, TrainingFailed
from trainer.runtime.guard import make_guard
from trainer.runtime.job import ParentWeights, TrainingJob
from trainer.runtime.journal import Journal
from trainer.runtime.stop import StopRequest
from trainer.runtime.world import World

LOGGED_STEPS = 100


class StepAbandoned(Exception):
    """A stop was requested, and the step need not be finished: its gradients alone are lost."""


class Training:
    """A model on its way from random weights to the end of its budget.

    Everything that the next step depends on is in `state()`: weights, average, optimizer, batches, step, phase
    seconds. So a run that was killed goes on from its checkpoint to the same bits, on a CPU and under a clock of steps
    or tokens. Where several processes share a run each has one of these, and all of them take the same steps.
    """

    def __init__(self, job: TrainingJob, world: World, journal: Journal, clock: PhaseClock) -> None:
        recipe = self.recipe = job.recipe
        self.world, self.journal, self.clock, self.stop = world, journal, clock, StopRequest()
        check_processes(recipe, world.size)
        torch.manual_seed(job.seed)
        self.model = GptModel(recipe.model, recipe.vocabulary_size, recipe.compute).to(world.device)
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self.tensors = inventory(recipe.model, recipe.vocabulary_size)
        self.optimizer = make_optimizer_of(recipe, self.tensors, self.parameters, world)
        self.loss = make_training_loss(recipe.quantizer, self.tensors, self.model)
        self.plan_changes_at = progress_of_change(recipe.model)
        self.average = make_average(recipe.averaging, self.parameters)
        split = read_split(job.data, "train", recipe.vocabulary_size)
        self.stream = TokenStream(split.shards)
        self.bytes_a_token = split.bytes / len(self.stream)
        self.begin = load_tokenizer(job.data.tokenizer, recipe.vocabulary_size).bos_id()
        self.batches = self.make_batches(job.seed)
        self.files = job.files
        self.checkpoints = CheckpointFolder(job.files.checkpoints)
        self.movement: MovementCheck | None = MovementCheck(self.optimizer.moving())
        self.guard = make_guard(job.run, journal)
        self.step = 0
        self.resumed_from_step = 0
        self.spent_seconds = 0.0
        self.rank_zero_clock = RankZeroClock(recipe.budget.train)
        self.logged_until = 0.0
        # The first step, from 1, whose loss was not a number; kept on the device, so that asking is not waiting.
        self.broken_step = torch.zeros((), dtype=torch.int64, device=world.device)

    def make_batches(self, seed: int) -> BatchReader:
        """What this process reads, from the first step on."""
        schedule = self.recipe.schedule
        order = make_order(schedule.loader, self.stream, schedule.sequence_tokens, seed, self.begin)
        return BatchReader(self.stream, order, schedule, self.world)

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

    def run(self, stop: StopRequest) -> None:
        """Nothing; the budget is spent and the last checkpoint on disk.

        Raises: Stopped when asked to, with a checkpoint on disk; TrainingFailed when the loss is not a number.
        """
        self.stop = stop
        self.make_ready()
        self.world.check_same_weights(self.parameters.values(), "before training")
        self.journal.report(phase="train", step=self.step, total=self.recipe.planned_steps, progress=self.progress)
        began, began_at = time.monotonic(), self.step
        with self.clock.phase("train"):
            while self.progress < 1.0:
                multiplier = self.recipe.schedule.multiplier(self.progress)
                try:
                    loss = self.train_step(multiplier)
                except StepAbandoned:
                    self.write_checkpoint()
                    stop.obey()
                if self.guard:
                    self.guard.after_step()
                self.follow(loss, multiplier, (time.monotonic() - began) / (self.step - began_at))
                if self.checkpoints.is_due:
                    self.write_checkpoint()
        self.batches.close()
        self.world.check_same_weights(self.parameters.values(), "after training")
        self.write_checkpoint()

    def make_ready(self) -> None:
        """Nothing; the first step takes no longer than the others."""
        self.model.train()
        if is_compiled(self.recipe.compute, self.world.device):
            self.journal.report(phase="compile")
            with self.clock.phase("compile"):
                compile_loss(self.model, self.loss, self.recipe.schedule, self.mean_loss)

    def train_step(self, multiplier: float) -> Tensor:
        """The mean loss of one step over all processes, in nats a token, after its update.

        Raises: StepAbandoned when rank 0 is asked to stop in the midst of it: weights and batches are those of the
        step before, and what the other processes have done of this one is of no use to anybody.
        """
        total = torch.zeros((), device=self.world.device)
        begins_rounding = self.prepare_step(multiplier)
        for micro in self.batches.next_step():
            if begins_rounding:
                self.probe_rounding(micro)
                begins_rounding = False
            if self.stop.requested and self.world.is_rank_zero:
                raise StepAbandoned
            loss = self.mean_loss(micro) / self.recipe.schedule.micro_steps
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        total = self.share(total)
        self.update(multiplier)
        self.average.update(self.step, multiplier)
        self.step += 1
        is_first_broken = ~total.isfinite() & (self.broken_step == 0)
        self.broken_step = torch.where(is_first_broken, self.step, self.broken_step)
        return total

    def prepare_step(self, multiplier: float) -> bool:
        """Whether this is the first step that sees rounded weights. The plan is that of the present progress."""
        if self.plan_changes_at is not None:
            self.model.follow_progress(self.progress)
        return self.loss.begin_step(multiplier)

    def documents(self, micro: MicroBatch) -> Tensor | None:
        """The number of each token's document, where attention is to stay within documents. Shapes: (B, T)."""
        return number_documents_for(self.recipe.schedule.loader, micro.x_BT, self.begin)

    def probe_rounding(self, micro: MicroBatch) -> None:
        """Nothing; rounded weights are proven to change the loss and to get gradients."""
        self.journal.log(self.loss.probe(micro.x_BT, micro.y_BT, self.documents(micro)))

    def mean_loss(self, micro: MicroBatch) -> Tensor:
        """Nats a token of one forward pass."""
        return self.loss.mean_loss(micro.x_BT, micro.y_BT, self.documents(micro))

    def share(self, loss: Tensor) -> Tensor:
        """The loss over all processes, which now also have the same gradients and rank 0's clock."""
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
        """Nothing; the optimizer has moved the parameters, each of which is proven to move in the first steps."""
        if self.movement is not None:
            self.movement.before_update()
        self.optimizer.step(self.step, multiplier)
        if self.movement is not None and self.step + 1 == STEPS_TO_MOVE:
            self.movement.check()
            self.movement = None
        self.optimizer.forget_gradients()

    def follow(self, loss: Tensor, multiplier: float, step_seconds: float) -> None:
        """Nothing; the world knows about this step, if it is one of those that are logged."""
        planned = self.recipe.planned_steps
        if planned is None:
            is_due = self.progress >= self.logged_until
            self.logged_until = self.progress + 1 / LOGGED_STEPS if is_due else self.logged_until
        else:
            is_due = self.step % max(1, planned // LOGGED_STEPS) == 0 or self.step == planned
        if not is_due:
            return
        self.check_finite()
        value = loss.item()
        row: dict[str, Any] = {"step": self.step, "elapsed_seconds": round(self.clock.seconds("train"), 3)}
        row |= {"tokens": self.tokens_seen, "train_loss": value, "lr_multiplier": multiplier}
        row["train_bpb"] = train_bpb = bits_per_byte(value, self.bytes_a_token)
        self.journal.record(row)
        if self.guard:
            self.guard.check_curve(self.tokens_seen, train_bpb)
        speed = f"{1000 * step_seconds:.0f} ms/step"
        losses = f"train_loss {value:.4f} train_bpb {train_bpb:.4f}"
        self.journal.log(f"step {self.step}/{planned or '?'} {losses} lr x{multiplier:.3f} {speed}")
        self.journal.pulse(
            phase="train", step=self.step, total=planned, progress=self.progress, train_loss=value,
            train_bpb=train_bpb, step_seconds=step_seconds, elapsed_seconds=self.clock.seconds("train"),
        )  # fmt: skip

    def check_finite(self) -> None:
        """Nothing, if the loss of every step so far was a number.

        Raises: TrainingFailed naming the first step whose was not, and the last checkpoint from before it.
        """
        if step := int(self.broken_step):
            raise TrainingFailed(f"the loss of step {step} is not a number; {self.last_good_checkpoint()}")

    def last_good_checkpoint(self) -> str:
        """The newest checkpoint, in words. None is written that holds a number that is not finite."""
        newest = next((path.name for path in self.checkpoints.newest_first()), "none")
        return f"the last good checkpoint is {newest}"

    def write_checkpoint(self) -> None:
        """Nothing; rank 0 has written the state of the last step.

        Raises: TrainingFailed when a loss was not a number, or a weight is not: an update may break what the loss
        before it did not show.
        """
        if not self.world.is_rank_zero:
            return
        self.check_finite()
        norms = torch.stack(torch._foreach_norm([parameter.detach() for parameter in self.parameters.values()]))
        if not bool(norms.isfinite().all()):
            name = list(self.parameters)[int((~norms.isfinite()).nonzero()[0])]
            raise TrainingFailed(
                f"{name} is not finite after the update of step {self.step}, or of one shortly before; "
                f"{self.last_good_checkpoint()}"
            )
        self.checkpoints.write(self.step, self.state())

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "step": self.step,
            "weights": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average.state(),
            "optimizer": self.optimizer.state(),
            "batches": self.batches.state,
            "seconds": self.clock.state(),
        }

    def resume(self) -> None:
        """Nothing; training stands where the newest whole checkpoint left it, or at the start when there is none.

        Raises: ResumeRefused when there are checkpoints and none is whole.
        """
        found = self.newest_whole() if self.world.is_rank_zero else None
        step = self.world.broadcast_number(-1 if found is None else found["step"])
        if step >= 0:
            self.restore(found or read_checkpoint(self.checkpoints.path(step)))
            self.journal.log(f"resumed from step {self.step}")
        self.journal.truncate_after(self.step)

    def inherit(self, parent: ParentWeights) -> None:
        """Nothing; the model has the weights that another run kept before it quantized them.

        Raises: ResumeRefused when they are not those weights, or not of this model.
        """
        path = self.files.prequant
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != parent.prequant_sha256:
            raise ResumeRefused(f"{path} is not what the parent run kept before quantization")
        try:
            self.model.load_state_dict(read_checkpoint(path))
        except RuntimeError as error:
            raise ResumeRefused(f"{path} holds the weights of another model: {error}") from error
        self.step, self.clock.finished["train"] = parent.steps, parent.train_seconds
        self.journal.log(f"weights of a run of {parent.steps} steps; nothing is trained")

    def newest_whole(self) -> dict[str, Any] | None:
        """The state in the newest checkpoint that is whole, or None when there is no checkpoint.

        Raises: ResumeRefused when all are damaged.
        """
        for step, state in self.checkpoints.restore():
            if state is not None:
                return state
            self.journal.log(f"checkpoint of step {step} is damaged; trying the one before")
        if self.checkpoints.newest_first():
            raise ResumeRefused("every checkpoint is damaged; start another attempt with --fresh")
        return None

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Nothing; training stands where it stood when `state()` gave this."""
        for name, parameter in self.parameters.items():
            parameter.copy_(state["weights"][name])
        self.average.restore(state["average"])
        self.optimizer.restore(state["optimizer"])
        self.batches.restore(state["batches"])
        self.clock.restore(state["seconds"])
        self.spent_seconds = self.clock.seconds("train")
        self.step = self.resumed_from_step = state["step"]
        self.movement = MovementCheck(self.optimizer.moving()) if self.step < STEPS_TO_MOVE else None


def check_processes(recipe: Recipe, processes: int) -> None:
    """Nothing, if so many processes can share each step equally.

    Raises: LaunchRefused otherwise.
    """
    if recipe.schedule.micro_steps % processes:
        raise LaunchRefused(
            f"{processes} processes cannot share the {recipe.schedule.micro_steps} forward passes of a step equally; "
            "recipe.schedule.micro_batch_tokens says how many there are"
        )
    is_stale = isinstance(recipe.optimizer, MuonAdamW) and recipe.optimizer.published_stale_gradients
    if is_stale and processes > 1:
        raise LaunchRefused("published_stale_gradients adds up gradients of one process; it cannot be shared by more")
