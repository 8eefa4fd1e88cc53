"""A run folder: everything that a training leaves, and all that translating needs."""

import logging
import math
import os
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from s2s.errors import RecipeError, RunError
from s2s.files import is_unfinished, json_text, read_rows, recorded, rows_text, write_text
from s2s.recipe.load import AnyTree, check_table, parse_table, usable_table
from s2s.recipe.overrides import Table

log = logging.getLogger("s2s")
FORMAT = 2
"""Number of the layout of a run folder, in its file `format`; the folders of s2s 0.1 have none and are of format 0."""
MODELS = {
    "translation": ("translator", "translate"),
    "language": ("language model", "generate"),
    "forecast": ("forecaster", "forecast"),
}
"""What a run of each task holds, and the command that uses it."""


class RunFolder:
    """The files of one run, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.format = path / "format"
        self.lock = path / ".lock"
        self.holder = path / ".holder"
        self.recipe = path / "recipe.toml"
        self.environment = path / "environment.json"
        self.best = path / "best.safetensors"
        self.last = path / "last"
        self.checkpoint = self.last / "checkpoint.json"
        self.metrics = path / "metrics.jsonl"
        self.scores = path / "scores.json"
        self.outputs = path / "outputs.jsonl"
        self.report = path / "report.html"
        self.plots = path / "plots"
        self.sweep = path / "sweep.json"
        self.series = path / "series.json"
        self.lengths = path / "lengths.json"

    def __str__(self) -> str:
        return str(self.path)

    @contextmanager
    def locked(self, command: Sequence[str] = ()) -> Iterator[None]:
        """Excludes whoever else writes into the folder, until the block or the process ends.

        RunError, at once and with the process, where another one does. Folders made here that stay empty are removed.
        """
        from filelock import FileLock, Timeout  # takes 70 ms to import

        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self}: is a file, not a folder; choose another one with --out")
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"{self}: {self._who()} is writing into it, so nothing was started; wait until that has ended, or"
                " choose another folder with --out"
            ) from None
        except NotImplementedError:
            log.warning(
                "%s: the file system has no locks; see to it that only one process writes into the folder", self
            )
        try:
            who = f"process {os.getpid()} on {socket.gethostname()}"
            self.holder.write_text(f"{who} ({' '.join(command)})" if command else who, encoding="utf-8")
            yield
        finally:
            for path in (self.holder, self.lock):
                path.unlink(missing_ok=True)
            lock.release()
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()

    def _who(self) -> str:
        """The process that holds the lock, as it wrote."""
        with suppress(OSError, UnicodeDecodeError):
            return self.holder.read_text(encoding="utf-8") or "another process"
        return "another process"

    def exists(self) -> bool:
        """Whether the path is in use; a folder with nothing but unfinished files and a lock is not."""
        if not self.path.is_dir():
            return self.path.exists()
        return not all(is_unfinished(path) or path in (self.lock, self.holder) for path in self.path.iterdir())

    def create(self) -> None:
        """Make the folder; one that is in use already is refused."""
        if self.exists():
            resume = "go on with --resume, or " if self.recipe.exists() else "it is no run folder; "
            raise RunError(f"{self}: exists already; {resume}choose another folder with --out")
        self.path.mkdir(parents=True, exist_ok=True)

    def discard(self) -> None:
        """Take back a folder in which no training began."""
        files = (self.format, self.recipe, self.environment, self.series, self.lengths)
        for path in (*files, *self.path.glob("tokenizer.*")):
            path.unlink(missing_ok=True)
        self.remove_unfinished()
        with suppress(OSError):
            self.path.rmdir()

    def remove_unfinished(self) -> None:
        """Remove the files that a killed process was writing."""
        for path in (*self.path.iterdir(), *self.plots.glob(".*")):
            if is_unfinished(path):
                path.unlink(missing_ok=True)

    def require_recipe(self) -> str:
        """The text of recipe.toml, or an error that says what the path is."""
        if self.path.is_file():
            raise RunError(f"{self}: a file, and a run is a folder; give the folder that s2s train wrote")
        if not self.path.is_dir():
            raise RunError(
                f"{self}: no such run folder; train one with s2s train RECIPE --out {shlex.quote(str(self))}"
            )
        self.number()
        try:
            return self.recipe.read_text(encoding="utf-8")
        except FileNotFoundError:
            if (self.path / "bundle.json").is_file():
                raise RunError(f"{self}: an export, not a run folder; give the run that it was written from") from None
            runs = sorted(path.parent.name for path in self.path.glob("*/recipe.toml"))
            inside = f"; the runs in it are {', '.join(str(self.path / name) for name in runs)}" if runs else ""
            inside = "; a run is opened by it: put back a copy" if self.best.exists() else inside
            raise RunError(f"{self}: not a run folder (it has no recipe.toml){inside}") from None

    def number(self) -> int:
        """Number of the layout; RunError for one that this version does not know."""
        if not self.format.exists():
            return 0
        try:
            number = int(self.format.read_text(encoding="ascii"))
        except ValueError:
            raise RunError(f"{self.format}: damaged, it holds no number; write {FORMAT} into it") from None
        if number > FORMAT:
            raise RunError(
                f"{self}: was written by a newer s2s (format {number}; this version reads up to {FORMAT}); update s2s"
            )
        return number

    def require_best(self) -> Path:
        """The path of the best weights, or an error that says what to do."""
        if not self.best.exists():
            if self.scores.exists() or recorded(self.checkpoint, "progress", "best") is not None:
                raise RunError(
                    f"{self.best}: missing, though the training has saved it; put back a copy, or train again"
                )
            raise RunError(f"{self}: no weights yet (best.safetensors); the training has not reached a validation")
        return self.best

    def begun_from(self, start: str | None) -> "RunFolder | None":
        """Folder whose tokenizers and scaling hold: this one from its first checkpoint on, else that of a start."""
        return self if self.checkpoint.exists() else RunFolder(Path(start)) if start else None


def read_run(run: RunFolder, trees: Mapping[str, type[AnyTree]], *, whole: bool = False) -> AnyTree:
    """Recipe of a run folder; RunError for one that cannot be read, and for a task without a tree in `trees`.

    To use the run needs only parts of it: unless the `whole` recipe is wanted, what this version does not know in the
    others is left out, with a warning.
    """
    text, origin = run.require_recipe(), str(run.recipe)
    try:
        table = _migrated(parse_table(text, origin), run.number())
        task = table.get("task")
        if isinstance(task, str) and task in MODELS and task not in trees:
            wanted, (held, command) = " or ".join(MODELS[name][0] for name in trees), MODELS[task]
            raise RunError(f"{run}: holds no {wanted} but a {held}; use s2s {command}")
        if not whole:
            table, unknown = usable_table(table, trees, folder=run.path)
            if unknown:
                _warn_once(f"{origin}: left out, since using the run does not need it: {'; '.join(unknown)}")
        return check_table(table, trees, origin=origin, folder=run.path)
    except RecipeError as problem:
        raise RunError(f"{problem}\n  a run is opened by its recipe: put back a copy, or train again") from None


def _migrated(table: Table, number: int) -> Table:
    """The table of a run of an earlier layout, as this one has it: before 2, all subwords were of `nmt_nfkc`."""
    tokenizer = table.get("tokenizer")
    if number < 2 and isinstance(tokenizer, dict) and tokenizer.get("kind") == "subword":
        sides = ("",) if table.get("task") == "language" else ("source_", "target_")
        tokenizer |= {f"{side}normalization": "nmt_nfkc" for side in sides}
    return table


@lru_cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)


class Metrics:
    """metrics.jsonl: one JSON object a line, in the order of the steps."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Append one line and flush it to the disk."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json_text(row, indent=None) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            problem.filename = str(self.path)
            raise

    def read(self) -> list[dict[str, Any]]:
        """All whole rows; a last line cut off by a kill is left out."""
        return read_rows(self.path)

    def forget_after(self, step: int, rows: int | None = None) -> None:
        """Drop what a resumed training will do again: the rows after a step, and those after the first `rows`."""
        if not self.path.exists():
            return
        kept = [row for row in self.read() if row.get("step", 0) <= step][:rows]
        write_text(self.path, rows_text(kept))


def scored(run: RunFolder) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Content of scores.json and outputs.jsonl; empty where they are missing, damaged, or of earlier weights."""
    scores, best = recorded(run.scores), recorded(run.checkpoint, "progress", "best_step")
    if not isinstance(scores, dict) or "scores" not in scores or best not in (None, scores.get("step")):
        return {}, []
    return scores, read_rows(run.outputs)


def number_text(value: float | None, form: str) -> str:
    """A number as text; "undefined" for None and what is not finite, of a zero divisor for example."""
    return "undefined" if value is None or not math.isfinite(value) else format(value, form)
