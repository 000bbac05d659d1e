"""Peak memory of a training step, in a process of its own."""

import subprocess
import sys

from benchmarks.shapes import RATIO_BATCH_TOKENS

STEP = """
import resource, sys
import torch
from benchmarks.shapes import job_of_shape
from benchmarks.training import TimedTraining
from trainer.runtime.device import choose_device
from trainer.runtime.journal import SilentJournal
choose_device("cpu")
with job_of_shape(sys.argv[1], int(sys.argv[2])) as job:
    training = TimedTraining(job, SilentJournal())
    training.timed_step()
    training.batches.close()
on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
print(on_gpu or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_bytes(shape: str) -> int:
    """The most that a process held in which one step was taken; on a GPU, the most that it had allocated there."""
    command = [sys.executable, "-c", STEP, shape, str(RATIO_BATCH_TOKENS)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(ended.stdout.split()[-1])
