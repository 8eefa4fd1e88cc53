"""The texts that a recipe names: found, encoded once, and cut into batches for a language model."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from s2s.corpus.sources import Source, find_each, only_file
from s2s.errors import DataError
from s2s.formats.read import kind_of
from s2s.formats.tables import json_texts, parquet_texts
from s2s.language.measured import Size, size_of
from s2s.language.recipe import LanguageRecipe, Text, WrittenText
from s2s.text.batches import BatchSampler, collate_lines
from s2s.text.encoded import Sequences, SequenceWriter, encoded_folder, identity_of, token_type
from s2s.text.lines import read_text
from s2s.text.special import END, UNKNOWN
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import CharacterTokenizer, ListTokenizer

Pieces: TypeAlias = Source[Iterator[str]]
"""A text: its lines with their ends, long ones in several pieces."""


def find(recipe: LanguageRecipe, corpora: Path | None) -> dict[str, Pieces]:
    """All texts that a recipe names, by key; an error says which key named what is not there.

    The validation text held out of the training text is its last characters, from a new line on where words or lines
    must stay whole.
    """
    data, kind = recipe.data, recipe.tokenizer.kind
    also = {f"also_validate.{name}": text for name, text in data.also_validate.items()}
    named = {"train": data.train, "validation": data.validation, "test": data.test, **also}
    texts = find_each(named, lambda text: open_text(text, corpora, exact=kind == "bytes"))
    if data.validation is not None:
        return texts
    train, share = texts["train"], data.validation_share
    total = sum(len(piece) for piece in train.read())
    kept = int((1 - share) * total)
    if data.cut == "lines" or kind not in ("characters", "bytes"):
        ends = accumulate(len(piece) for piece in train.read())
        kept = next((end for end in ends if end >= kept), kept)
    if not 0 < kept < total:
        what = "character" if total == 1 else "characters"
        raise DataError(
            f"data.train: {train.description} has {total:,} {what}, of which {share:.0%} cannot be held out for"
            " validation; give a longer text, or a data.validation of its own"
        )
    learned = _part(train, 0, kept, f"the first {1 - share:.0%}")
    return {**texts, "train": learned, "validation": _part(train, kept, None, f"the last {share:.0%}")}


def open_text(text: Text, corpora: Path | None, *, exact: bool) -> Pieces:
    """One text; CorpusError or DataError for one that is missing, and for what is wrong inside when it is read.

    A plain file is read with all its bytes if `exact`.
    """
    if isinstance(text, WrittenText):
        lines = text.text.splitlines(keepends=True)
        description = "the text in the recipe" + (f", {text.repeat:,} times" if text.repeat > 1 else "")
        digest = hashlib.sha256(f"{text.repeat} {text.text}".encode()).hexdigest()
        return Source(lambda: (line for _ in range(text.repeat) for line in lines), digest, description, True)
    if isinstance(text, str):
        path, description, column = only_file(text, corpora, "text"), text, ""
    else:
        path, description, column = Path(text.file), Path(text.file).name, text.column
    texts = {".jsonl": json_texts, ".parquet": parquet_texts}.get(kind_of(path))
    if texts and column:
        content = f"{identity_of([path])} {column}"
        identity = hashlib.sha256(content.encode()).hexdigest()
        return Source(lambda: chain.from_iterable(map(_lines, texts(path, column))), identity, description)
    if path.is_dir():
        paths = _in_folder(path)
        each = partial(_ended, exact=exact)
        return Source(lambda: chain.from_iterable(map(each, paths)), identity_of(paths), description)
    return Source(lambda: read_text(path, exact=exact), identity_of([path]), description)


def _lines(text: str) -> Iterator[str]:
    """Lines of a text, with \n at the end of each."""
    return (f"{line}\n" for line in text.removesuffix("\n").replace("\r\n", "\n").split("\n"))


def _in_folder(folder: Path) -> list[Path]:
    """The plain texts in a folder and the folders in it, in the order of their paths."""
    found = sorted(path for path in folder.rglob("*") if kind_of(path) == ".txt" and path.is_file())
    if not found:
        raise DataError(f"{folder}: has no files whose names end in .txt (or .txt.gz and the like)")
    return found


def _ended(path: Path, exact: bool) -> Iterator[str]:
    """A text whose last line has an end, so that another one may follow."""
    piece = "\n"
    for piece in read_text(path, exact=exact):
        yield piece
    if not piece.endswith("\n"):
        yield "\n"


def _part(text: Pieces, begin: int, end: int | None, name: str) -> Pieces:
    """Characters `begin` to `end` of a text."""

    def read() -> Iterator[str]:
        place = 0
        for piece in text.read():
            if wanted := piece[max(begin - place, 0) : None if end is None else max(end - place, 0)]:
                yield wanted
            place += len(piece)

    identity = hashlib.sha256(f"{text.identity} {begin} {end}".encode()).hexdigest()
    return Source(read, identity, f"{name} of {text.description}")


class EncodedText:
    """A text as token ids, mapped from files and not held in memory."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        """Map the files of a folder that `encoded_folder` gave."""
        self.lines = Sequences(folder, "text", meta["type"])
        """line by line; for running text, piece by piece"""
        self.tokens = self.lines.tokens
        """(N,) all of them in order"""
        self.size = Size(*meta["size"])
        """of what is predicted of it"""
        self.unknown: int = meta["unknown"]
        """number of unknown tokens"""
        self.unknown_share = self.unknown / len(self.tokens)


def encode_text(text: Pieces, tokenizer: Tokenizer, *, lines: bool, cache: Path) -> EncodedText:
    """Token ids of a text, from the cache or else encoded into it.

    With `lines` each line is a sequence without its end. In running text a line's end is a character, or else END;
    a closed list of words leaves it out. DataError for a text without tokens.
    """
    closed = isinstance(tokenizer, ListTokenizer) and tokenizer.closed
    as_it_is = isinstance(tokenizer, CharacterTokenizer) and not lines

    def write(folder: Path) -> dict[str, Any]:
        size, unknown, count = Size(), 0, 0
        with ExitStack() as stack:
            writer = SequenceWriter(folder, "text", token_type(tokenizer), stack)
            bar = tqdm(desc=text.description, unit=" characters", unit_scale=True, disable=None, leave=False)
            stack.enter_context(bar)
            for piece in text.read() if as_it_is else whole_words(text.read(), ends="\n" if lines else " \t\n"):
                ended = piece.endswith("\n")
                tokens = tokenizer.encode(piece if as_it_is else piece.removesuffix("\n"))
                if ended and not (as_it_is or lines or closed):
                    tokens = [*tokens, END]
                size = size.plus(size_of(tokenizer, piece, tokens, lines=lines, begins=bool(tokens) and not count))
                count += len(tokens)
                unknown += 0 if closed else tokens.count(UNKNOWN)
                writer.append(tokens)
                bar.update(len(piece))
        if not count:
            raise DataError(f"{text.description}: the text is empty; check the file")
        return {"type": token_type(tokenizer), "size": size, "unknown": unknown}

    key = text.identity, tokenizer.fingerprint, lines, Size._fields
    return EncodedText(*encoded_folder(cache, key, write, text.description))


def whole_words(pieces: Iterator[str], longest: int | None = None, ends: str = " \t\n") -> Iterator[str]:
    """A text in pieces that close with one of `ends`, none longer than `longest` characters where these allow it."""

    def last_end(most: int | None) -> int:
        return max(held.rfind(end, 0, most) for end in ends) + 1

    held = ""
    for piece in pieces:
        held += piece
        while end := last_end(longest) or last_end(None):
            yield held[:end]
            held = held[end:]
    if held:
        yield held


class TextBatch(NamedTuple):
    """Rows of tokens, each with the token that follows."""

    inputs: Tensor
    """(B, T) tokens"""
    targets: Tensor
    """(B, T) the token after each"""
    lengths: Tensor | None
    """(B,) on the CPU, for rows of several lengths; None where all have T"""
    continues: bool
    """whether each row continues that row of the batch before"""
    tokens: int
    """targets in all"""
    change_weight: float = 1.0
    """of the mean change of the state, where these are some lines of a batch, of another mean length than all"""

    def part(self, taken: slice) -> "TextBatch":
        """The same with some of its rows."""
        inputs, targets = self.inputs[taken].contiguous(), self.targets[taken].contiguous()
        if self.lengths is None:
            return self._replace(inputs=inputs, targets=targets, tokens=targets.numel())
        lengths = self.lengths[taken]
        tokens, changes = int(lengths.sum()), int((lengths - 1).sum())
        weight = changes / tokens * self.tokens / max(int((self.lengths - 1).sum()), 1)
        return TextBatch(inputs, targets, lengths, self.continues, tokens, weight)


class Stream:
    """Consecutive chunks: the text in so many rows, each read from left to right, all in step."""

    def __init__(self, text: EncodedText, *, rows: int, window: int) -> None:
        self.tokens = text.tokens
        self.rows = max(1, min(rows, len(text.tokens) - 1))
        self.window = window
        self.each = (len(text.tokens) - 1) // self.rows

    def batches_in_epoch(self, epoch: int) -> int:
        """The same in every epoch."""
        return -(-self.each // self.window)

    def batches(self, epoch: int, skip: int) -> Iterator[TextBatch]:
        """The chunks of an epoch in their order, without the first `skip`."""
        starts = np.arange(self.rows) * self.each
        for begin in range(skip * self.window, self.each, self.window):
            width = min(self.window, self.each - begin)
            yield _windows(self.tokens, starts + begin, width, continues=begin > 0)


class Chunks:
    """Windows at random places, in an epoch of as many tokens as the text has."""

    def __init__(self, text: EncodedText, *, rows: int, window: int, seed: int) -> None:
        self.tokens = text.tokens
        self.window = min(window, len(text.tokens) - 1)
        self.rows = rows
        self.seed = seed

    def batches_in_epoch(self, epoch: int) -> int:
        """The same in every epoch."""
        return max(1, (len(self.tokens) - 1) // (self.window * self.rows))

    def batches(self, epoch: int, skip: int) -> Iterator[TextBatch]:
        """The windows of an epoch, which its number and the seed fix, without the first `skip` batches."""
        generator = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        last = len(self.tokens) - 1 - self.window
        starts = generator.integers(0, last, size=(self.batches_in_epoch(epoch), self.rows), endpoint=True)
        for row in starts[skip:]:
            yield _windows(self.tokens, row, self.window, continues=False)


class SeparateLines:
    """Lines as sequences of their own, those of like length side by side."""

    def __init__(self, text: EncodedText, *, rows: int, window: int, seed: int, framed: bool) -> None:
        """`framed` puts START before a line and END after it; else its first token is given and not predicted."""
        self.lines = text.lines
        self.framed = framed
        least = 0 if framed else 2
        self.kept = np.flatnonzero(text.lines.lengths >= least)
        lengths = text.lines.lengths[self.kept] - least
        self.sampler = BatchSampler(lengths, lengths, batch_tokens=rows * window, seed=seed)

    def batches_in_epoch(self, epoch: int) -> int:
        """Batches of an epoch, which counts from 0."""
        return self.sampler.count(epoch)

    def batches(self, epoch: int, skip: int) -> Iterator[TextBatch]:
        """The batches of an epoch in their order, without the first `skip`."""
        for indices in self.sampler.batches(epoch, skip):
            inputs, targets, lengths = collate_lines([self.lines[self.kept[i]] for i in indices], framed=self.framed)
            yield TextBatch(inputs, targets, lengths, False, int(lengths.sum()))


def cut(text: EncodedText, recipe: LanguageRecipe) -> Stream | Chunks | SeparateLines:
    """The text in batches, as the recipe says."""
    rows, window, seed = recipe.data.rows, recipe.data.window, recipe.seed
    if recipe.data.cut == "stream":
        return Stream(text, rows=rows, window=window)
    if recipe.data.cut == "chunks":
        return Chunks(text, rows=rows, window=window, seed=seed)
    return SeparateLines(text, rows=rows, window=window, seed=seed, framed=not recipe.tokenizer.symbols)


def _windows(tokens: NDArray[np.integer], starts: NDArray[np.integer], width: int, *, continues: bool) -> TextBatch:
    """`width` tokens from each start, and the one after each of them."""
    rows = torch.from_numpy(np.stack([tokens[start : start + width + 1] for start in starts]).astype(np.int64))
    return TextBatch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), None, continues, len(rows) * width)
