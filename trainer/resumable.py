"""Training in a run directory: logged, checked, stopped on request, and resumed from its checkpoints."""

from torch import Tensor

from trainer.finite_check import FiniteCheck
from trainer.runtime.checkpoint import CheckpointFolder
from trainer.runtime.claim import Claim
from trainer.runtime.clock import PhaseClock
from trainer.runtime.guard import make_guard
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal
from trainer.runtime.stop import StopRequest
from trainer.runtime.world import World
from trainer.step_log import StepLog
from trainer.training import Training


class ResumableTraining(Training):
    """Training that keeps checkpoints.

    A run that was killed continues from its checkpoint to the same bits, on a CPU and with a budget in steps or tokens.
    """

    def __init__(
        self, job: TrainingJob, world: World, journal: Journal, clock: PhaseClock, stop: StopRequest | None = None
    ) -> None:
        super().__init__(job, world, journal, clock)
        self.files = job.files
        self.checkpoints = CheckpointFolder(job.files.checkpoints)
        self.finite = FiniteCheck(self.checkpoints, world.device)
        self.guard = make_guard(job.run, journal)
        self.claim = Claim(job.files)
        self.stop = stop or StopRequest()

    def run(self) -> None:
        """Train until the budget is spent, and write the last checkpoint.

        Raises:
            Stopped: on request, with a checkpoint written.
            StoppedByRule: by the run's stop rule.
            TrainingFailed: the loss is not a number.
        """
        self.compile()
        total = self.recipe.planned_steps
        self.journal.report(phase="train", step=self.step, total=total, progress=self.progress)
        self.log = StepLog(self.recipe, self.journal, self.guard, self.data.bytes_per_token, self.step)
        super().run()
        self.write_checkpoint()

    def before_pass(self) -> None:
        """Stop if rank 0 is asked to, with a checkpoint of the step before."""
        if self.stop.requested and self.world.is_rank_zero:
            self.write_checkpoint()
            self.stop.check()

    def train_step(self, multiplier: float) -> Tensor:
        """Take one step, and remember whether its loss is a finite number."""
        loss = super().train_step(multiplier)
        self.finite.note(self.step, loss)
        return loss

    def after_step(self, loss: Tensor, multiplier: float) -> None:
        """Compare the speed with the plan, log the step if it is due, and write a checkpoint if one is due."""
        self.claim.check_regularly()
        if self.guard:
            self.guard.after_step()
        if self.log.schedule.is_due(self.step, self.progress):
            self.finite.check_losses()
            self.log.write(self.step, self.progress, self.clock.seconds("train"), loss.item(), multiplier)
        if self.checkpoints.is_due:
            self.write_checkpoint()

    def write_checkpoint(self) -> None:
        """Write a checkpoint of the last step, on rank 0 only.

        Raises:
            TrainingFailed: a loss or a weight is not finite.
        """
        if self.world.is_rank_zero:
            self.claim.check()
            self.finite.check(self.parameters, self.step)
            self.checkpoints.write(self.step, self.state())
