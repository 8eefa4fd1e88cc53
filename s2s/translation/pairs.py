"""The sentence pairs that a recipe names, found and compared. Torch is not needed for that."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from s2s.cache import cache_root
from s2s.corpus.find import split_files
from s2s.corpus.sources import Source
from s2s.errors import DataError, S2SError
from s2s.formats.read import ENDINGS, kind_of, read_units
from s2s.text.encoded import encoded_folder, identity_of
from s2s.text.lines import Lines, PairFiles, Table, read_pairs
from s2s.translation.data import FileSplit, Mixture, PairSplit, Split, TableSplit, portions

Pairs: TypeAlias = Source[Iterator[tuple[str, str]]]

log = logging.getLogger("s2s")
UNITS_VERSION = 1
"""To be raised when other pairs are read of the same file, so that no old encoded ones are taken for them."""
MANY_LEARNED = 0.1
"""Share of the validation pairs that are training pairs which is a warning."""


def open_pairs(split: Mixture, *, source: str, target: str, corpora: Path | None) -> Pairs:
    """Pairs of a split, or of a list of parts one after another; errors as of `open_split`."""
    listed = portions(split)
    if not listed:
        return open_split(cast(Split, split), source=source, target=target, corpora=corpora)
    parts = tuple(
        open_split(part.split, source=source, target=target, corpora=corpora)._replace(share=part.share, tag=part.tag)
        for part in listed
    )
    described = [part.description for part in parts]
    return Source(
        lambda: chain.from_iterable(part.read() for part in parts),
        _hash(repr([(part.identity, part.share, part.tag) for part in parts])),
        " and ".join(described) if len(parts) <= 2 else f"{described[0]} and {len(parts) - 1} others",
        all(part.is_written for part in parts),
        parts,
    )


def open_split(split: Split, *, source: str, target: str, corpora: Path | None) -> Pairs:
    """Pairs of a split by two languages or columns; CorpusError or DataError for what is missing, also when read."""
    if isinstance(split, PairSplit):
        pairs = split.pairs
        return Source(lambda: iter(pairs), _hash(repr(pairs)), "the pairs in the recipe", True)
    files: PairFiles
    if isinstance(split, str):
        found = split_files(split, corpora)
        for language in (source, target):
            if language not in found:
                raise DataError(f"{split}: has no language {language!r}; it has {', '.join(sorted(found))}")
        files, description = Lines(found[source], found[target]), split
    elif isinstance(split, FileSplit):
        files = Lines(Path(split.source), Path(split.target))
        description = f"{files.source.name} and {files.target.name}"
    else:
        assert isinstance(split, TableSplit)
        path, columns = Path(split.table), (split.source_column or source, split.target_column or target)
        if kind_of(path) in ENDINGS:
            content = identity_of([path]) + repr((columns, split.columns, UNITS_VERSION))
            return Source(read_units(path, columns, split.columns), _hash(content), path.name)
        files, description = Table(path, *columns, split.columns), path.name
    content = identity_of([files.path]) + repr(files[1:]) if isinstance(files, Table) else identity_of(files)
    return Source(lambda: read_pairs(files), _hash(content), description)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


class Held(NamedTuple):
    """The pairs of a split that have words on both sides, in memory."""

    pairs: list[tuple[str, str]]
    tags: list[str | None]
    """of each source"""
    blank: int
    """how many pairs were left out, since a side is blank"""


def held_pairs(split: Pairs) -> Held:
    """The pairs of a split to score a translator on."""
    every = [(pair, part.tag) for part in split.parts or (split,) for pair in part.read()]
    kept = [each for each in every if has_words(each[0])]
    return Held([pair for pair, _ in kept], [tag for _, tag in kept], len(every) - len(kept))


def has_words(pair: tuple[str, str]) -> bool:
    """Whether a pair has words on both sides, without which it is in no training."""
    return all(side.strip() for side in pair)


def warn_of_learned(splits: Mapping[str, Pairs]) -> None:
    """Say so where many of the validation pairs, in files, are training pairs too."""
    train, validation = splits["train"], splits["validation"]
    if validation.is_written or train.identity == validation.identity:
        return
    key, named = ("learned", train.identity, validation.identity), f"{validation.description} in {train.description}"
    _, found = encoded_folder(cache_root(), key, lambda _: {"share": _share_learned(train, validation)}, named)
    share = found["share"]
    if share > MANY_LEARNED:
        log.warning(
            "data.validation: %.0f%% of the pairs of %s are pairs of %s too, so validation scores are partly those of"
            " training data; leave them out of one",
            100 * share, validation.description, train.description,
        )  # fmt: skip


def _share_learned(train: Pairs, validation: Pairs) -> float:
    held = set(validation.read())
    return len(held.intersection(train.read())) / len(held)


def share_in(training: Source[Any] | None, sources: set[tuple[str | None, str]]) -> float | None:
    """Share of some tags and sources that are those of training pairs; None where these cannot be read."""
    if training is None:
        return None
    try:
        parts = training.parts or (training,)
        every = ((part.tag, source) for part in parts for source, _ in part.read())
        return len({each for each in every if each in sources}) / len(sources)
    except S2SError as problem:
        log.warning("whether sources were trained on cannot be checked: data.train: %s", problem)
        return None
