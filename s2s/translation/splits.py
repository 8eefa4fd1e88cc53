"""The pairs that a recipe names, found; torch is not needed for that."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from s2s.corpus.find import split_files
from s2s.errors import DataError, S2SError
from s2s.text.encoded import identity_of
from s2s.text.lines import Lines, PairFiles, Table, read_pairs
from s2s.translation.recipe import FileSplit, PairSplit, Split, TableSplit, TranslationData


class Pairs(NamedTuple):
    """A split, found: where its pairs can be read, again and again."""

    read: Callable[[], Iterator[tuple[str, str]]]
    identity: str
    """SHA-256 that changes when a pair changes"""
    description: str


class Splits(NamedTuple):
    """All splits of a recipe."""

    train: Pairs
    validation: Pairs
    test: Pairs | None


def open_splits(data: TranslationData, corpora: Path | None) -> Splits:
    """Find all pairs that a recipe names; an error says which key named what is not there."""

    def found(name: str, split: Split) -> Pairs:
        try:
            return open_split(split, source=data.source, target=data.target, corpora=corpora)
        except S2SError as problem:
            raise type(problem)(f"data.{name}: {problem}") from None

    test = None if data.test is None else found("test", data.test)
    return Splits(found("train", data.train), found("validation", data.validation), test)


def open_split(split: Split, *, source: str, target: str, corpora: Path | None) -> Pairs:
    """Find the pairs of a split; `source` and `target` are languages or columns.

    Raises CorpusError or DataError for what is not there; what is wrong inside a file shows when it is read.
    """
    if isinstance(split, PairSplit):
        pairs = split.pairs
        return Pairs(lambda: iter(pairs), _hash(repr(pairs)), "the pairs in the recipe")
    files: PairFiles
    if isinstance(split, str):
        found = split_files(split, corpora).files
        for language in (source, target):
            if language not in found:
                raise DataError(f"{split}: has no language {language!r}; it has {', '.join(sorted(found))}")
        files, description = Lines(found[source], found[target]), split
    elif isinstance(split, FileSplit):
        files = Lines(Path(split.source), Path(split.target))
        description = f"{files.source.name} and {files.target.name}"
    else:
        assert isinstance(split, TableSplit)
        columns = split.source_column or source, split.target_column or target
        files, description = Table(Path(split.table), *columns, split.columns), Path(split.table).name
    content = identity_of([files.path]) + repr(files[1:]) if isinstance(files, Table) else identity_of(files)
    return Pairs(lambda: read_pairs(files), _hash(content), description)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
