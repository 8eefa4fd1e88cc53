"""The process's own memory."""

import ctypes
import sys


def release_free_memory() -> None:
    """Hand the heap's free pages back to the system, where the C library can (glibc).

    Batches of ever other sizes leave holes in the heap that are never as large as the next batch; so
    it would grow over the first epochs to twice what a step needs.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
