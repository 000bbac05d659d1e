"""Real steps under a stopwatch, for preflight."""

import time
from statistics import median

from trainer.recipe.files import write_json
from trainer.runtime.device import choose_device
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import RunJournal
from trainer.training import Training

WARMUP_STEPS = 2


def time_steps(job: TrainingJob, steps: int) -> None:
    """Nothing; timing.json holds the median seconds of `steps` training steps, after two that do not count."""
    training = Training(job, choose_device(job.run["device"]), RunJournal(job.files))
    training.model.train()
    seconds = []
    for _ in range(WARMUP_STEPS + steps):
        began = time.perf_counter()
        training.train_step(1.0).item()
        seconds.append(time.perf_counter() - began)
    write_json(job.files.root / "timing.json", {"step_seconds": median(seconds[WARMUP_STEPS:]), "steps": steps})
