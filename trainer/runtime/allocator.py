"""What the C library does with memory that tensors leave behind.

glibc gives it back to the kernel, and asks for it again a moment later, to be filled with zeros page by page. A forward
pass makes and frees the same tensors over and over: on a CPU up to half of its time went there.
"""

import ctypes

# Of malloc.h: keep the top of the heap, ask for so much at a time, map only what is larger than glibc lets heaps be.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MOST, STEP_BYTES, LARGEST_ON_HEAP_BYTES = 2**31 - 1, 256 << 20, 32 << 20


def keep_freed_memory() -> bool:
    """Whether this process keeps from now on what it frees; not where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_TRIM_THRESHOLD, MOST), (M_TOP_PAD, STEP_BYTES), (M_MMAP_THRESHOLD, LARGEST_ON_HEAP_BYTES))
    return all(mallopt(name, value) for name, value in settings)
