"""Errors as one readable message, warnings, Ctrl-C, a closed pipe, a full disk; and options that commands share.

Used by the other modules of `s2s.cli`, and like them allowed to print.
"""

import errno
import json
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from io import TextIOWrapper
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, TextIO

import click

from s2s.errors import S2SError
from s2s.process import INTERRUPTED, is_later_rank, leave, started_together
from s2s.workers import cores, quota

if TYPE_CHECKING:
    from s2s.tasks import Recipe

log = logging.getLogger("s2s")
WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""Turns for which threads of GNU's OpenMP spin, some microseconds, and milliseconds for which LLVM's and Intel's do."""


class Commands(click.Group):
    """Turns an error into one readable message and an exit code."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        if isinstance(sys.stdout, TextIOWrapper):  # what s2s writes is UTF-8, also where a terminal has other letters
            sys.stdout.reconfigure(encoding="utf-8")
        try:
            return super().main(*arguments, **options)
        except OSError as problem:  # help that cannot be written
            if os.environ.get("S2S_DEBUG") == "1":
                raise
            _report(problem)
            sys.exit(1)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:  # the reader has read enough
            _give_up_stdout()
        except (S2SError, OSError) as problem:
            if os.environ.get("S2S_DEBUG") == "1":
                raise
            _report(problem, context.invoked_subcommand)
            context.exit(1)
        except KeyboardInterrupt:
            click.echo("s2s: interrupted", err=True)
            context.exit(INTERRUPTED)


def _report(problem: Exception, command: str | None = None) -> None:
    message = str(problem)
    if isinstance(problem, OSError) and problem.strerror:
        message = f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            resumes = command == "train" or (command == "translate" and problem.filename)
            message += "; free some space and run the command again" + " with --resume" * bool(resumes)
    click.echo(f"s2s: {message}", err=True, file=sys.__stderr__ if is_later_rank() else None)
    try:
        if sys.stdout is not None:  # closed
            sys.stdout.flush()
    except OSError:
        _give_up_stdout()


def _give_up_stdout() -> None:
    """Send the rest nowhere, or Python would fail once more when it flushes at exit."""
    with suppress(OSError, ValueError):  # a test's stdout has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ThroughBars(logging.Handler):
    """Writes messages to stderr without breaking a progress bar, and a warning once."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            if text in self._warned:
                return
            self._warned.add(text)
            text = f"warning: {text}"
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:  # there is no bar, and tqdm takes 60 ms to import
            click.echo(text, err=True)


def _stderr() -> AbstractContextManager[TextIO]:
    """The standard error, or nowhere where it is closed: tqdm would write to stdout, or fail.

    Nowhere too in all but the first of several processes.
    """
    silent = sys.stderr is None or is_later_rank()
    return open(os.devnull, "w", encoding="utf-8") if silent else nullcontext(sys.stderr)


@contextmanager
def messages() -> Iterator[None]:
    """Inside, log messages and warnings go to stderr, or nowhere if it is closed, and SIGTERM ends the command."""

    def show(message: Warning | str, *place: Any, **line: Any) -> None:
        log.warning(str(message))

    handler = _ThroughBars()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    show_before, warnings.showwarning = warnings.showwarning, show
    in_main = current_thread() is main_thread()  # no other thread may take signals
    terminate_before = signal.signal(signal.SIGTERM, leave) if in_main else None
    try:
        silent = is_later_rank()
        with _stderr() as stream, redirect_stderr(stream), redirect_stdout(stream) if silent else nullcontext():
            yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, terminate_before)
        warnings.showwarning = show_before
        log.propagate = True
        log.removeHandler(handler)


def together(device: str) -> AbstractContextManager[object]:
    """Context in which processes of torchrun, if this is one, are one group: the first error of any is the last."""
    if not started_together():
        return nullcontext()
    from s2s.training.ranks import joined

    return joined(device)


def wait_passively() -> None:
    """Let the threads of OpenMP sleep between their parts of the work, unless the user chose how they wait.

    Those of GNU spin for milliseconds, those of LLVM and Intel for 200, and keep others from the cores that they wait
    on: another command, a browser. Those that sleep at once are woken at each small product, a sixth of the time of a
    beam search. Read when torch is imported; by then there is nothing to set.
    """
    if "torch" in sys.modules:
        return
    if os.environ.keys().isdisjoint(("OMP_WAIT_POLICY", *WAITING)):
        os.environ |= WAITING
    if "OMP_NUM_THREADS" not in os.environ and quota():
        compute_with(cores())


def compute_with(threads: int) -> None:
    """Let torch, or onnxruntime, compute with so many threads."""
    if "torch" in sys.modules:  # in a program that has loaded it before
        sys.modules["torch"].set_num_threads(threads)
    os.environ |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def train_and_show(recipe: "Recipe", place: Path, *, again: str = "with --resume", **options: Any) -> None:
    """Train a recipe, or each of its variants, and print the scores; `again` says how one that is stopped goes on."""
    from s2s.jobs.train import train
    from s2s.tasks import scores_of
    from s2s.training.stopping import Interrupted

    try:
        if recipe.trainings:
            from s2s.jobs.variants import train_variants

            train_variants(recipe, place, command=sys.argv, **options)
            click.echo((place / "results.md").read_text(encoding="utf-8"), nl=False)
            return
        run = train(recipe, place, command=sys.argv, **options)
    except Interrupted as stop:
        click.echo(f"s2s: {stop}; go on {again}", err=True)
        raise SystemExit(INTERRUPTED) from None
    if run.scores.exists():
        scores = json.loads(run.scores.read_text(encoding="utf-8"))
        click.echo(scores_of(recipe.task).score_text(scores), nl=False)
    log.info("%s", run)


class _Place(click.Path):
    """A path, which an empty text is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; name a file or a folder (was a variable of the shell not set?)", param, ctx)
        return super().convert(value, param, ctx)


FILE = _Place(dir_okay=False, path_type=Path)
FOLDER = _Place(path_type=Path)


def device(value: str) -> str:
    """The value, if it names a device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not a device; give auto, cpu, cuda or cuda:N")
    return value


def temperature(value: str | float) -> float:
    """The value, if it is a temperature: below 1e-6, dividing by it would overflow."""
    try:
        number = float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number") from None
    if not (number == 0 or 1e-6 <= number <= 1e6):
        raise click.BadParameter(f"{value} is neither 0, which is greedy, nor from 1e-6 to 1e6")
    return number


def _threads(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    if value is not None:
        compute_with(value)


def device_option(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what a command computes on."""
    threads = click.option(
        "--threads",
        type=click.IntRange(min=1),
        expose_value=False,
        callback=_threads,
        help="CPU threads to compute with. Default: OMP_NUM_THREADS, else one for each core.",
    )
    where = click.option("--device", type=device, default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
    return where(threads(command))


precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="Precision of matrix products. float32: results do not depend on batching. bfloat16: faster; up to"
    " 8 hypotheses of one line are searched in float32. int8: on CPUs, only for translating; weights have 8 bits, and"
    " inputs 7 with a scale for all that are searched together.",
)
corpora_option = click.option(
    "--corpora",
    type=_Place(file_okay=False, path_type=Path),
    help="Folder of corpora. Default: S2S_CORPORA, else the user's cache.",
)
