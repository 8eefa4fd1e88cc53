"""The process: alone, and asked to stop by signals."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from s2s.errors import RunError

INTERRUPTED = 130
"""Exit code of a command that was asked to stop."""


def leave(number: int, frame: FrameType | None) -> None:
    """Ends the process and those that it started; unfinished files are removed, finished output is written.

    No exception is raised: it could come up in an import, in a callback of a C library, or where a caller catches it.
    """
    ranks = sys.modules.get("s2s.training.ranks")
    if ranks.is_first_to_fail() if ranks else not is_later_rank():
        with suppress(OSError):
            os.write(2, b"\n" * os.isatty(2) + b"s2s: interrupted\n")
    with suppress(Exception):
        sys.stdout.flush()
    if files := sys.modules.get("s2s.files"):
        files.remove_unfinished()
    if multiprocessing := sys.modules.get("multiprocessing"):
        for child in multiprocessing.active_children():
            child.kill()
    os._exit(INTERRUPTED)


def leave_when_asked() -> None:
    """From here on Ctrl-C and SIGTERM end the process in one line; a Ctrl-C that its parent ignores stays ignored."""
    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, leave)


def started_together() -> bool:
    """Whether torchrun, or the like, has started this process as one of a group, maybe of one, and says how to meet."""
    return os.environ.keys() >= {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


def is_later_rank() -> bool:
    """Whether this is not the first of such a group, which writes and speaks for all."""
    return started_together() and os.environ["RANK"] != "0"


def require_one_process(trains: bool = False) -> None:
    """RunError in a process that was started as one of several, unless it `trains`, with the others."""
    ranks = os.environ.get("WORLD_SIZE", "1")
    several = ranks.isdecimal() and int(ranks) > 1 and not os.environ.keys().isdisjoint(("RANK", "LOCAL_RANK"))
    if several and not trains:
        raise RunError(
            f"this is one of {ranks} processes started together (WORLD_SIZE={ranks}), and only s2s train of a recipe"
            " without variants, started by torchrun, runs in several; start one process"
        )
