"""When a training ends: a limit, Ctrl-C or SIGTERM, and numbers that are not finite or say that it diverged."""

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from s2s.files import recorded
from s2s.process import started_together
from s2s.recipe.sections import Optimization
from s2s.run import RunFolder
from s2s.training.checkpoint import Progress


class Interrupted(Exception):  # not an error: it was asked for
    """The training was asked to stop, and everything is saved."""


class StopRequest:
    """Whether Ctrl-C or SIGTERM came."""

    asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, Ctrl-C and SIGTERM are requests; a second Ctrl-C does what it did outside, but torchrun sends two."""
        in_main = current_thread() is main_thread()  # no other thread may take signals
        numbers = (signal.SIGINT, signal.SIGTERM) if in_main else ()
        before = {number: signal.signal(number, self._ask) for number in numbers}
        self._at_once = None if started_together() else before.get(signal.SIGINT)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT and callable(self._at_once):
            self._at_once(number, frame)
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


def wrong_with(what: str, loss: float, limit: float, part: str, finite: bool) -> str:
    """What is wrong with a loss beyond a limit, or with a gradient or weight that is not finite; empty if nothing."""
    if not finite or not math.isfinite(loss):
        return f"the {part if math.isfinite(loss) else 'loss'} is not finite"
    return f"the training has diverged, {what} is {loss:.4g} (more than {limit:.4g})" if loss > limit else ""


def remedy(settings: Optimization, exact: bool, run: RunFolder) -> str:
    """What to do about a training that diverged, and what its run keeps; `exact` where it computes in float32."""
    clipping = "" if settings.clip_norm else ", clip gradients (training.clip_norm is 0, off)"
    precision = "" if exact else ' or set training.precision = "float32"'
    saved = recorded(run.checkpoint, "progress", "step")
    kept = [f"the checkpoint of step {saved:,}"] if saved else []
    kept += ["the best weights so far"] if run.best.exists() else []
    said = f"; kept: {' and '.join(kept)}" if kept else ""
    return f"lower training.learning_rate (now {settings.learning_rate:g}){clipping}{precision}{said}"
