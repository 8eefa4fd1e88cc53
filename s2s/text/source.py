"""An input that a recipe names, found: it can be read again and again, and its content has a hash."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

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
    """The sources that are named under [data], by key; an error says which key named what is not there."""
    found = {}
    for key, name in named.items():
        if name is not None:
            try:
                found[key] = find(name)
            except S2SError as problem:
                raise type(problem)(f"data.{key}: {problem}") from None
    return found


def only_file(split: str, corpora: Path | None, what: str) -> Path:
    """The file of a corpus's split that has but one; DataError, which says what is wanted, for another."""
    files = split_files(split, corpora).files
    if len(files) != 1:
        raise DataError(f"{split}: is not one {what}, it has {', '.join(sorted(files)) or 'no files'}")
    return next(iter(files.values()))
