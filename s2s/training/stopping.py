"""Stopping: at a recipe's limits, or after the current step on Ctrl-C or SIGTERM."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from s2s.recipe.sections import Optimization
from s2s.training.checkpoint import Progress


class Interrupted(Exception):  # not an error: it was asked for
    """The training was asked to stop, and everything is saved."""


class StopRequest:
    """Whether Ctrl-C or SIGTERM came."""

    asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, Ctrl-C and SIGTERM are requests; a second Ctrl-C ends the program at once."""
        in_main = current_thread() is main_thread()  # no other thread may take signals
        numbers = (signal.SIGINT, signal.SIGTERM) if in_main else ()
        before = {number: signal.signal(number, self._ask) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True


def limit_reached(settings: Optimization, progress: Progress, epochs: float) -> str:
    """Limit that a training has reached after some epochs, for people; empty while there is none."""
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
