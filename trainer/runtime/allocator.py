"""Settings of glibc's memory allocator.

By default glibc returns freed memory to the kernel, which hands it out again as zeroed pages. A forward pass allocates
and frees the same tensors over and over: on a CPU this took up to half of its time.
"""

import ctypes

# From malloc.h: when to trim the heap, how much to grow it by, and from which size on to use mmap (at most 32 MiB).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MOST, STEP_BYTES, LARGEST_ON_HEAP_BYTES = 2**31 - 1, 256 << 20, 32 << 20


def keep_freed_memory() -> bool:
    """Make this process keep the memory that it frees, and return whether it will: only glibc can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_TRIM_THRESHOLD, MOST), (M_TOP_PAD, STEP_BYTES), (M_MMAP_THRESHOLD, LARGEST_ON_HEAP_BYTES))
    return all(mallopt(name, value) for name, value in settings)
