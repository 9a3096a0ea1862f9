"""Memory: how the C library hands it out to this process, and errors that say that there is none left."""

import ctypes
import sys

SIGNS = ("can't allocate memory", "Insufficient memory")  # of PyTorch on a CPU, of OpenCV
LESS = "give smaller pictures, or a lower --upscale or --detect-size"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is Python's, PyTorch's or OpenCV's for too little memory; the last two have no type for it."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in SIGNS)


def keep_freed_memory() -> None:
    """Let glibc use large freed arrays again in place of giving them back; a no-op elsewhere.

    On a CPU a seventh of the network's time goes into fetching the same memory anew, page by page. This is for
    programs, not for libraries: it holds for the whole process.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl has none
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
