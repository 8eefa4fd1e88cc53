"""The texts that a recipe names, found; torch is not needed for that."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from s2s.corpus.find import split_files
from s2s.errors import DataError, S2SError
from s2s.language.recipe import LanguageRecipe, Text, WrittenText
from s2s.text.encoded import identity_of
from s2s.text.lines import read_text


class Source(NamedTuple):
    """A text, found: where it can be read, again and again."""

    read: Callable[[], Iterator[str]]
    """its lines with their ends, long ones in several pieces"""
    identity: str
    """SHA-256 that changes when the text changes"""
    description: str

    def part(self, begin: int, end: int | None, name: str) -> "Source":
        """The characters from one place to another."""
        identity = hashlib.sha256(f"{self.identity} {begin} {end}".encode()).hexdigest()
        return Source(lambda: _part(self.read(), begin, end), identity, f"{name} of {self.description}")


class Texts(NamedTuple):
    """All texts of a recipe."""

    train: Source
    validation: Source
    test: Source | None


def open_texts(recipe: LanguageRecipe, corpora: Path | None) -> Texts:
    """Find all texts that a recipe names; an error says which key named what is not there.

    What is held out of the training text for validation begins at the given share of its characters; where words or
    lines must stay whole, at the next line.
    """
    data = recipe.data

    def found(name: str, text: Text) -> Source:
        try:
            return open_text(text, corpora)
        except S2SError as problem:
            raise type(problem)(f"data.{name}: {problem}") from None

    train = found("train", data.train)
    test = None if data.test is None else found("test", data.test)
    if data.validation is not None:
        return Texts(train, found("validation", data.validation), test)
    share = data.validation_share
    total = sum(len(piece) for piece in train.read())
    kept = int((1 - share) * total)
    if data.cut == "lines" or recipe.tokenizer.kind != "characters":
        ends = accumulate(len(piece) for piece in train.read())
        kept = next((end for end in ends if end >= kept), kept)
    if not 0 < kept < total:
        what = "character" if total == 1 else "characters"
        raise DataError(
            f"data.train: {train.description} has {total:,} {what}, of which {share:.0%} cannot be held out for"
            " validation; give a longer text, or a data.validation of its own"
        )
    held_out = train.part(kept, None, f"the last {share:.0%}")
    return Texts(train.part(0, kept, f"the first {1 - share:.0%}"), held_out, test)


def open_text(text: Text, corpora: Path | None) -> Source:
    """Find one text.

    Raises CorpusError or DataError for what is not there; what is wrong inside a file shows when it is read.
    """
    if isinstance(text, WrittenText):
        lines = text.text.splitlines(keepends=True)
        times = f", {text.repeat:,} times" if text.repeat > 1 else ""
        digest = hashlib.sha256(f"{text.repeat} {text.text}".encode()).hexdigest()
        return Source(
            lambda: (line for _ in range(text.repeat) for line in lines), digest, f"the text in the recipe{times}"
        )
    if isinstance(text, str):
        files = split_files(text, corpora).files
        if len(files) != 1:
            raise DataError(f"{text}: is not one text, it has {', '.join(sorted(files)) or 'no files'}")
        path, description = next(iter(files.values())), text
    else:
        path, description = Path(text.file), Path(text.file).name
    return Source(lambda: read_text(path), identity_of([path]), description)


def _part(pieces: Iterator[str], begin: int, end: int | None) -> Iterator[str]:
    """The characters of a text from one place to another."""
    place = 0
    for piece in pieces:
        if end is not None and place >= end:
            return
        wanted = piece[max(begin - place, 0) : None if end is None else end - place]
        if wanted:
            yield wanted
        place += len(piece)
