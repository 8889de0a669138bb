"""How the process asks the system for memory."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
LARGEST = 2**31 - 1


def reuse_freed_memory() -> bool:
    """Keep what large tensors leave behind for the next ones, where the C library is glibc; returns whether it was.

    By default glibc maps every tensor above 32 MiB anew and gives it back when it is freed, and the system zeroes each of its
    pages: on a CPU a codec's encoder then spends two thirds of its time in the kernel. The price is a higher peak of memory.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(set_option(M_MMAP_THRESHOLD, LARGEST) and set_option(M_TRIM_THRESHOLD, LARGEST))
