"""Blocks of lines that `s2s translate` makes of its input: by several processes, and into a file that grows."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from s2s import __version__
from s2s.cli.filter import LINES_AT_ONCE, Line, arriving, by_sentence, in_blocks, is_same, opened
from s2s.cli.terminal import compute_with
from s2s.errors import RunError, S2SError
from s2s.files import locked_at_once, put_in_place
from s2s.text.lines import read_lines
from s2s.text.packed import opened as unpacked
from s2s.workers import can_fork, cores, in_order

if TYPE_CHECKING:
    from tqdm import tqdm

    from s2s.translation.outputs import Translation
    from s2s.translation.translator import Translator

MANY_BYTES = 1 << 14
"""Of a text that is worth some processes."""
BATCHES = 2
"""In a block of a file: larger blocks are no faster, and smaller ones share out better."""


class Block(NamedTuple):
    """What became of some lines."""

    text: str
    """to write"""
    lines: int
    counts: Counter[str]
    """lines by flag, and as `outputs` those with any output"""
    shown: "Translation | None"
    """the first that has an attention to plot"""


class Making(NamedTuple):
    """The way from lines to what is written of them."""

    translator: "Translator"
    split: bool
    ways: Mapping[str, Any]
    """of Translator.translate"""
    form: Mapping[str, Any]
    """of Line.rendered"""

    @property
    def block_lines(self) -> int:
        """Lines of a block of a file; the same for any number of processes, and so all that is written is."""
        return LINES_AT_ONCE if self.translator.engine.on_gpu else BATCHES * self.translator.batch_lines

    @property
    def rows(self) -> int:
        """Rows that are written of a line."""
        return 1 if self.form["jsonl"] else int(self.form["nbest"])

    def block(self, lines: Sequence[str]) -> Block:
        """Some lines translated."""
        if self.split:
            found = [*by_sentence(self.translator, lines, **self.ways)]
        else:
            found = [*map(Line, self.translator.translate(lines, **self.ways))]
        counts = Counter(flag for line in found for flag in line.whole.flags)
        counts["outputs"] = sum(bool(line.whole.tokens) for line in found)
        plots = (
            line.sentences[0][1] if line.sentences else line.whole
            for line in found
            if line.whole.tokens and (line.sentences or "around" not in line.whole.flags)
        )
        text = "".join(row + "\n" for line in found for row in line.rendered(**self.form))
        return Block(text, len(lines), counts, next(plots, None) if self.ways["attention"] else None)


def begin_workers(asked: int | None, source: Path | None) -> int:
    """The number of processes to translate with, each of which computes with one thread if there are several.

    Unless it is asked for, several translate a file that is worth it, where no torch is loaded yet: one for each of the
    threads that the user wants, or for each core. S2SError where several cannot be.
    """
    size = _file_bytes(source)
    if asked is None:
        threads = os.environ.get("OMP_NUM_THREADS", "")
        most = int(threads) if threads.isdecimal() else cores()
        asked = most if (size or 0) > MANY_BYTES and can_fork() and "torch" not in sys.modules else 1
    elif asked > 1 and not can_fork():
        raise S2SError(f"--workers {asked}: processes share a model on Linux only; leave --workers out")
    elif asked > 1 and source is None and size is None:
        raise S2SError(
            f"--workers {asked}: is for files, and the standard input is none: its lines are translated as they come;"
            " give --input FILE, or leave --workers out"
        )
    if asked > 1:
        compute_with(1)
    return asked


def _file_bytes(source: Path | None) -> int | None:
    """Size of the input, where it is a file, which can be read without waiting."""
    with suppress(AttributeError, OSError):  # it is not there, or a program's own
        found = os.stat(sys.stdin.fileno() if source is None else source)
        return found.st_size if stat.S_ISREG(found.st_mode) else None
    return None


def write_lines(
    making: Making,
    source: Path | None,
    output: Path | None,
    workers: int,
    *,
    job: Callable[[Path], dict[str, Any]],
    resume: bool,
    plot: Callable[["Translation"], None] | None,
) -> tuple[Counter[str], bool]:
    """Write what is made of the input, and plot the first attention; the counts, and whether it is plotted.

    `job` gives all that decides what is written of a file.
    """
    counts, rows = Counter[str](), making.rows
    with _destination(source, output, job, rows * making.block_lines, resume=resume) as (out, kept):
        if source is None and _file_bytes(source) is None:
            bar, blocks = None, arriving(sys.stdin.buffer)
        else:
            lines = read_lines(source) if source else chain.from_iterable(arriving(sys.stdin.buffer))
            blocks = in_blocks(islice(lines, kept // rows, None), making.block_lines)
            bar = _bar(source, kept // rows)
            making.translator.has_bar = bar is None
        for block in in_order(making.block, blocks, workers) if workers > 1 else map(making.block, blocks):
            if plot and block.shown:
                plot(block.shown)
                plot = None
            out.write(block.text)
            out.flush()
            counts.update(block.counts)
            if bar is not None:
                bar.update(block.lines)
        if bar is not None:
            bar.close()
    return counts, plot is None or kept > 0


def _bar(source: Path | None, done: int) -> "tqdm[Any] | None":
    """A progress bar over the lines of a file; None where nobody would see it."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    total = None
    if source and _file_bytes(source) is not None:
        with unpacked(source) as file:
            total = sum(1 for _ in file)
    tqdm.monitor_interval = 0  # no thread: processes are forked
    return tqdm(desc="translate", total=total, initial=done, unit=" lines", delay=2, leave=False)


@contextmanager
def _destination(
    source: Path | None, output: Path | None, job: Callable[[Path], dict[str, Any]], rows: int, *, resume: bool
) -> Iterator[tuple[TextIO, int]]:
    """The stream of results, and the rows that it has already; a file of a file grows beside its place."""
    plain = output is not None and (output.is_file() or not output.exists())
    if output and plain and _file_bytes(source) is not None and source and not is_same(output, sys.stdout):
        with growing(output, job(source), rows, resume=resume) as opened_part:
            yield opened_part
    elif resume:
        raise S2SError("--resume: needs an --input and an --output that are files; leave --resume out")
    else:
        with opened(output, sys.stdout) as out:
            yield out, 0


def job_of(source: Path, *, runs: Sequence[Path], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides what is written of a file: what it and the runs hold, and options."""
    from s2s.text.encoded import identity_of

    patterns = ("recipe.toml", "lengths.json", "bundle.json", "tokenizer*", "*.safetensors", "*.onnx")
    files = [[path for pattern in patterns for path in sorted(run.glob(pattern))] for run in runs]
    return {
        "runs": [identity_of(each) for each in files],
        "input": identity_of([source]),
        **options,
        "s2s": __version__,
    }


@contextmanager
def growing(path: Path, job: Mapping[str, Any], rows: int, *, resume: bool) -> Iterator[tuple[TextIO, int]]:
    """File that takes the place of `path` when it is whole, and the rows that it has already: blocks of so many `rows`.

    Until then it is PATH.part, with the job in PATH.part.json. A process that is killed leaves them, and one that fails
    does so if it may `resume`. RunError for those of another job, for files of that name that are none of s2s's, and
    where another process writes there. An OSError names `path`.
    """
    from s2s.files import recorded, write_json  # which a bundle does without

    place = Path(os.path.realpath(path))
    part = place.with_name(place.name + ".part")
    record = part.with_name(part.name + ".json")
    with locked_at_once(place):
        found = recorded(record) if record.exists() else None
        before = found if isinstance(found, dict) else {}
        if (part.exists() or record.exists()) and not before.keys() & job.keys():
            raise RunError(f"{part}: exists, and was not begun by s2s translate; rename it and {record.name}")
        if resume and part.exists() and before != job:
            others = ", ".join(key for key in job if before.get(key) != job[key])
            raise RunError(f"{part}: is of another command (other {others}); give that one, or remove the file")
        if not (resume and part.exists()):
            part.unlink(missing_ok=True)
            write_json(record, job)  # before the part, which is known by it
            part.touch()
        try:
            kept = _cut(part, rows)
            with part.open("a", encoding="utf-8", newline="\n") as file:
                yield file, kept
            put_in_place(part, place)
            record.unlink()
        except OSError as problem:
            problem.filename = problem.filename or str(path)
            raise
        except S2SError:
            if not resume:
                part.unlink()
                record.unlink()
            raise


def _cut(part: Path, rows: int) -> int:
    """Cut a file off behind its last whole block of so many rows; the rows that are left."""
    kept = end = offset = 0
    with part.open("r+b") as file:
        for number, row in enumerate(file, start=1):
            offset += len(row)
            if number % rows == 0 and row.endswith(b"\n"):
                kept, end = number, offset
        file.truncate(end)
    return kept
