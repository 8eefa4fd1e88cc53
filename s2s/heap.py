"""The process's own memory."""

import ctypes
import os
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD, TOP_PAD = -3, -1, -2
"""Names of glibc's mallopt(3)."""
LARGEST_BLOCK = 1 << 30


def reuse_freed_memory() -> None:
    """Let the heap keep the pages of freed tensors for the next ones, and ask for huge pages.

    Otherwise the C library (glibc) hands large blocks back to the system, and at each step the system clears their
    pages anew: a fifth of the time of a small translator's training. torch asks for huge pages where it is told to.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)
        if set_option is not None:
            set_option(MMAP_THRESHOLD, LARGEST_BLOCK)
            set_option(TRIM_THRESHOLD, LARGEST_BLOCK)
            set_option(TOP_PAD, 64 << 20)


def release_free_memory() -> None:
    """Hand the heap's free pages back to the system, where the C library can (glibc).

    Batches of ever other sizes leave holes in the heap that are never as large as the next batch; so
    it would grow over the first epochs to twice what a step needs.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
