"""Memory that is freed and asked for again is not mapped anew."""

import platform
import subprocess
import sys

import pytest

# Tensors of 8 MB come and go: mapped anew, each costs 2,048 page faults.
FAULTS = """
import resource, torch
from trainer.runtime.allocator import keep_freed_memory
torch.set_num_threads(1)
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        x = torch.zeros(24, 1 << 21)
        y = [x[0] + 1.0, x[1] + 2.0]
        del x, y
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(3)
plain = faults(10)
kept = keep_freed_memory()
faults(3)
parts = [torch.zeros(1 << 21) for _ in range(10)]
del parts
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    parts = [torch.zeros(1 << 21) for _ in range(10)]
    del parts
print(int(kept), plain, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_what_is_freed_is_kept() -> None:
    ended = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, plain, after = map(int, ended.stdout.split())
    assert kept
    assert plain > 50_000  # 200 MB mapped anew, ten times
    assert after < 5_000
