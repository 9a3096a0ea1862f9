"""Memory: how the C library hands it out to this process, and errors that say that there is none left."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is Python's or PyTorch's for too little memory; PyTorch's on a CPU has no type of its own."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


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
