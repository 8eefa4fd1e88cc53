"""Inputs that a recipe names, found: each can be read again and again, and has a hash of its content."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from tqdm import tqdm

from s2s.corpus.find import split_files
from s2s.errors import DataError, S2SError

Content = TypeVar("Content")


class Source(NamedTuple, Generic[Content]):
    """An input, found: sentence pairs, a text or a table."""

    read: Callable[[], Content]
    identity: str
    """SHA-256 that changes when the content changes"""
    description: str


def find_each(named: Mapping[str, Any], find: Callable[[Any], Source[Content]]) -> dict[str, Source[Content]]:
    """Sources named under [data], by key; an error begins with the key."""
    found = {}
    for key, name in named.items():
        if name is not None:
            try:
                found[key] = find(name)
            except S2SError as problem:
                raise type(problem)(f"data.{key}: {problem}") from None
    return found


def only_file(split: str, corpora: Path | None, what: str) -> Path:
    """The file of a corpus's split with a single one; DataError, which says that one `what` is needed, for others."""
    files = split_files(split, corpora)
    if len(files) != 1:
        raise DataError(f"{split}: is not one {what}, it has {', '.join(sorted(files)) or 'no files'}")
    return next(iter(files.values()))


class Part(NamedTuple):
    """Data to score a run on."""

    name: str
    source: Source[Any]
    references: Sequence[str] = ()
    """of translations, whose scores are comparable only with the same ones"""


def split_of(data: Any, on: str, instead: str) -> Any:
    """Split that `--on` names: train, validation or test of a recipe's data, or CORPUS/SPLIT."""
    if "/" in on:
        return on
    if on not in ("train", "validation", "test"):
        raise DataError(f"--on {on}: give train, validation, test, or CORPUS/SPLIT")
    split = getattr(data, on)
    if split is None:
        raise DataError(f"--on {on}: the recipe has no data.{on}; give CORPUS/SPLIT, or {instead}")
    return split


def sizes(sources: Mapping[str, Source[Iterator[Content]]], unit: str, size: Callable[[Content], int]) -> Iterator[str]:
    """A line for each source with its size, for which all of it is read."""
    for key, source in sources.items():
        bar = tqdm(source.read(), desc=f"data.{key}", unit=" lines", disable=None, leave=False)
        yield f"data.{key}: {source.description}, {sum(map(size, bar)):,} {unit}"
