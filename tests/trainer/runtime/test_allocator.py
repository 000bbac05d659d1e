"""Memory that is freed and allocated again causes no page faults."""

import platform
import subprocess
import sys

import pytest

# Ten tensors of 8 MB come and go, ten times. With the threshold that glibc begins with, set so that it does not adapt,
# each is mapped anew: 2,048 page faults, or 4 where pages are huge.
FAULTS = """
import ctypes, resource, torch
from trainer.runtime.allocator import keep_freed_memory
torch.set_num_threads(1)
M_MMAP_THRESHOLD = -3
ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 << 10)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        parts = [torch.ones(1 << 21) for _ in range(10)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
plain, kept = faults(), keep_freed_memory()
faults()
print(int(kept), plain, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_what_is_freed_is_kept() -> None:
    ended = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, plain, after = map(int, ended.stdout.split())
    assert kept
    assert plain >= 10 * 10 * 4
    assert after < plain / 10
