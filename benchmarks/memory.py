"""Peak memory of a training step, in a process of its own.

On a CPU it is VmHWM from /proc: `ru_maxrss` would include the parent's memory.
"""

import subprocess
import sys

from benchmarks.shapes import RATIO_BATCH_TOKENS

STEP = """
import sys
from pathlib import Path
import torch
from benchmarks.shapes import job_of_shape
from benchmarks.training import TimedTraining
from trainer.runtime.device import choose_device
from trainer.runtime.journal import SilentJournal
choose_device("cpu")
with job_of_shape(sys.argv[1], int(sys.argv[2])) as job:
    training = TimedTraining(job, SilentJournal())
    training.timed_step()
    training.data.batches.close()
on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(on_gpu or 1024 * int(lines["VmHWM"].split()[0]))
"""


def peak_bytes(shape: str) -> int:
    """Return the peak memory of a process that takes one step: resident on a CPU, allocated on a GPU."""
    command = [sys.executable, "-c", STEP, shape, str(RATIO_BATCH_TOKENS)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(ended.stdout.split()[-1])
