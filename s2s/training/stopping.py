"""Stopping: at a recipe's limits, or after the current step on Ctrl-C or SIGTERM."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from s2s.recipe.sections import Optimization
from s2s.training.checkpoint import Progress


class Interrupted(Exception):  # not an error: it was asked for
    """The training was asked to stop, and everything is saved."""


class StopRequest:
    """Whether Ctrl-C or SIGTERM came."""

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


def limit_reached(settings: Optimization, progress: Progress, epochs: float) -> str:
    """Which limit a training has come to after some epochs, for people; empty while there is none."""
    patience = settings.patience_validations
    if patience is not None and progress.validations_without_better >= patience:
        return f"no better {settings.metric} in {patience} validations"
    if settings.steps is not None and progress.step >= settings.steps:
        return f"the limit of {settings.steps:,} steps is reached"
    if settings.epochs is not None and epochs >= settings.epochs:
        return f"the limit of {settings.epochs:g} epochs is reached"
    if settings.minutes is not None and progress.elapsed_seconds >= settings.minutes * 60:
        return f"the limit of {settings.minutes:g} minutes is reached"
    return ""
