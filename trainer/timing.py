"""Timing of real training steps, for preflight."""

import time
from statistics import median

from trainer.recipe.writing import write_json
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import World
from trainer.training import Training

WARMUP_STEPS = 2


def time_steps(job: TrainingJob, steps: int, world: World) -> None:
    """Write the median seconds of `steps` training steps, after some warmup steps, to timing.json."""
    training = Training(job, world, SilentJournal(), PhaseClock())
    training.compile()
    seconds = []
    for _ in range(WARMUP_STEPS + steps):
        began = time.perf_counter()
        training.train_step(1.0).item()
        seconds.append(time.perf_counter() - began)
    training.data.batches.close()
    if world.is_rank_zero:
        write_json(job.files.root / "timing.json", {"step_seconds": median(seconds[WARMUP_STEPS:]), "steps": steps})
