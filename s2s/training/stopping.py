"""Stopping when somebody asks: Ctrl-C and SIGTERM end a training after the step in hand."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(Exception):  # not an error: somebody asked for it
    """The training was asked to stop, and everything is saved."""


class StopRequest:
    """Whether somebody has asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, Ctrl-C and SIGTERM are requests; a second Ctrl-C ends the program at once."""
        before: list[tuple[int, Any]] = []
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before.append((number, signal.signal(number, self._ask)))
        except ValueError:  # only the main thread may take signals
            before = []
        try:
            yield
        finally:
            for taken, handler in before:
                signal.signal(taken, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
