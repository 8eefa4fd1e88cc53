"""Errors as one readable message, warnings, Ctrl-C, a closed pipe, a full disk; and options that commands share.

Used by `s2s.cli.commands` alone, and like it allowed to print.
"""

import errno
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from s2s.errors import S2SError

log = logging.getLogger("s2s")
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""How OpenMP's threads wait, and the milliseconds for which those of LLVM and Intel spin."""


class Commands(click.Group):
    """Turns an error into one readable message and an exit code."""

    def main(self, *arguments: Any, **options: Any) -> Any:
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
            context.exit(130)


def _report(problem: Exception, command: str | None = None) -> None:
    message = str(problem)
    if isinstance(problem, OSError) and problem.strerror:
        message = f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            message += "; free some space and run the command again" + " with --resume" * (command == "train")
    click.echo(f"s2s: {message}", err=True)
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
    """Writes messages to stderr without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + self.format(record), file=sys.stderr)


@contextmanager
def messages() -> Iterator[None]:
    """Inside, log messages and warnings go to stderr, and SIGTERM does what Ctrl-C does."""

    def show(message: Warning | str, *place: Any, **line: Any) -> None:
        log.warning("%s", message)

    handler = _ThroughBars()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    show_before, warnings.showwarning = warnings.showwarning, show
    terminate_before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminate_before)
        warnings.showwarning = show_before
        log.propagate = True
        log.removeHandler(handler)


def wait_passively() -> None:
    """Let the threads of OpenMP sleep between their parts of the work, unless the user chose how they wait.

    Those of GNU spin for milliseconds, those of LLVM and Intel for 200, and keep others from the cores that they wait
    on: another command, a browser. Read when torch is imported; by then there is nothing to set.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ |= WAITING


FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(path_type=Path)


def device(value: str) -> str:
    """The value, if it names a device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not a device; give auto, cpu, cuda or cuda:N")
    return value


device_option = click.option(
    "--device", type=device, default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Precision of matrix products. float32: results do not depend on batching. bfloat16: faster; in translation"
    " a few hypotheses at a time, as of one line, are searched with int8 weights.",
)
corpora_option = click.option(
    "--corpora",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of corpora. Default: S2S_CORPORA, else the user's cache.",
)
