"""Sources: inputs that a recipe names, found, each with a hash of its content; and the parts that are scored."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from tqdm import tqdm

from s2s.corpus.find import split_files
from s2s.errors import DataError, S2SError

log = logging.getLogger("s2s")
Content = TypeVar("Content")


class Source(NamedTuple, Generic[Content]):
    """An input, found: sentence pairs, a text or a table."""

    read: Callable[[], Content]
    identity: str
    """SHA-256 that changes when the content changes"""
    description: str
    is_written: bool = False
    """in the recipe itself"""
    parts: "tuple[Source[Content], ...]" = ()
    """what a list of parts holds, in its order"""
    share: float | None = None
    """of a part, in the tokens of an epoch"""
    tag: str | None = None
    """of the sources of a part"""


def find_each(named: Mapping[str, Any], find: Callable[[Any], Source[Content]]) -> dict[str, Source[Content]]:
    """Sources named under [data], by key; an error begins with the key. Warns of training data to validate on."""
    found = {}
    for key, name in named.items():
        if name is not None:
            try:
                source = find(name)
            except S2SError as problem:
                raise type(problem)(f"data.{key}: {problem}") from None
            named_so = f"{source.description} ({key})"  # else training and validation would read alike
            found[key] = source._replace(description=named_so) if source.is_written else source
    train, held = found.get("train"), found.get("validation")
    if train and held and train.identity == held.identity and not held.is_written:
        log.warning(
            "data.validation: %s is what data.train holds, so validation scores and the best weights are those of"
            " training data; name other data",
            held.description,
        )
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
    training: Source[Any] | None = None
    """what a translator was trained on, where that is another part, and still there"""
    origins: int | None = None
    """how many forecasts a forecaster is scored on, spread evenly over the part; all without it"""
    task: Any = None
    """of the training that has just ended, whose series need not be read again"""


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
    """A line for each source with its size, for which all of it is read; DataError for an empty one."""
    for key, source in sources.items():
        bar = tqdm(source.read(), desc=f"data.{key}", unit=" lines", disable=None, leave=False)
        total = sum(map(size, bar))
        if not total:
            raise DataError(f"data.{key}: {source.description}: there are no {unit}; check the files")
        yield f"data.{key}: {source.description}, {total:,} {unit}"
