"""The sentence pairs that a recipe names: found, and as memory-mapped token ids. Torch is not needed for that."""

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from s2s.cache import cache_root
from s2s.corpus.find import split_files
from s2s.corpus.sources import Source
from s2s.errors import DataError, S2SError
from s2s.files import write_text
from s2s.formats.read import ENDINGS, kind_of, read_units
from s2s.text.encoded import (
    PROGRESS,
    Joined,
    Sequences,
    SequenceWriter,
    encoded_folder,
    identity_of,
    progress_of,
    token_type,
)
from s2s.text.lines import Lines, PairFiles, Table, read_pairs
from s2s.text.tokenizer import Tokenizer
from s2s.translation.data import FileSplit, Mixture, PairSplit, Split, TableSplit, portions
from s2s.translation.lengths import EXTRA_TOKENS

Pairs: TypeAlias = Source[Iterator[tuple[str, str]]]

log = logging.getLogger("s2s")
UNITS_VERSION = 1
"""To be raised when other pairs are read of the same file, so that no old encoded ones are taken for them."""
MANY_LEARNED = 0.1
"""Share of the validation pairs that are training pairs which is a warning."""

_SIDES = ("source", "target")
_BLOCK = 1 << 13
"""Pairs that are encoded at once."""
_SAVED = 1 << 19
"""Pairs, blocks of them, after which a killed process need not begin anew."""
_MEASURED_LINES = 1000
"""Lines whose sampled lengths are looked at before batches are planned."""
_PLANNED_SHARE = 0.99
"""Share of the lines whose sampled segmentation should be as short as planned."""


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


class EncodedPairs:
    """Sentence pairs as token ids without special ids, mapped from files and not held in memory."""

    rows: Callable[[int], NDArray[np.int64]] | None = None
    """Numbers of the pairs of an epoch, where it has not each once"""
    tags: NDArray[np.int32] | None = None
    """(N,) token before each source, -1 for none; where no pair has one, None"""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        """Map the files of a folder that `encoded_folder` gave."""
        self.source: Sequences | Joined
        self.target: Sequences | Joined
        self.source, self.target = (Sequences(folder, side, meta["types"][side]) for side in _SIDES)
        self.dropped: dict[str, int] = dict(meta["dropped"])
        """How many pairs were left out, by reason."""
        self.longest_ratio: float = meta["longest_ratio"]
        """Least decoding.max_length_ratio that allows every target"""
        self.texts: list[Sequences] | list[Joined] | None
        self.texts = [Sequences(folder, f"{side}.text", "uint8") for side in _SIDES] if meta["text"] else None
        """Source and target lines in UTF-8, where they were asked for"""

    def __len__(self) -> int:
        """N, the pairs."""
        return len(self.source)


def encode_pairs(
    pairs: Pairs,
    source: Tokenizer,
    target: Tokenizer,
    *,
    max_tokens: int,
    max_length_ratio: float,
    cache: Path,
    keep_text: bool = False,
) -> EncodedPairs:
    """Token ids of the pairs that pass the filters, from the cache or else encoded into it.

    Dropped are pairs with an empty side, with a side of more than `max_tokens`, and those whose longer side has more
    than `max_length_ratio` times the tokens of the shorter plus 5. With `keep_text` the lines themselves are there too.
    DataError when none are left, or the cache cannot be written.
    """
    reason = partial(reason_to_drop, max_tokens=max_tokens, max_length_ratio=max_length_ratio)
    key = (pairs.identity, source.fingerprint, target.fingerprint, max_tokens, float(max_length_ratio), keep_text)
    write = partial(_write, pairs, source, target, reason, keep_text)
    return EncodedPairs(*encoded_folder(cache, key, write, pairs.description))


def reason_to_drop(*lengths: int, max_tokens: int, max_length_ratio: float) -> str | None:
    """Why a pair is left out whose sides have so many tokens; None for one that is kept."""
    shorter, longer = sorted(lengths)
    if shorter == 0:
        return "empty side"
    if longer > max_tokens:
        return f"longer than {max_tokens:,} tokens"
    return f"length ratio above {max_length_ratio:g}" if longer > max_length_ratio * shorter + 5 else None


def _write(
    pairs: Pairs,
    source: Tokenizer,
    target: Tokenizer,
    reason_to_drop: Callable[[int, int], str | None],
    keep_text: bool,
    folder: Path,
) -> dict[str, Any]:
    """Encode the pairs that there is no reason to drop into the files of a folder."""
    types = {"source": token_type(source), "target": token_type(target)}
    before = progress_of(folder)
    dropped, read, longest_ratio = Counter[str](before.get("dropped")), before.get("read", 0), before.get("ratio", 0.0)
    sides = [(side, types[side]) for side in _SIDES] + [(f"{side}.text", "uint8") for side in _SIDES if keep_text]
    with ExitStack() as stack:
        writers = [SequenceWriter(folder, *side, stack, before.get(side[0], ())) for side in sides]
        bar = tqdm(desc=pairs.description, unit=" pairs", initial=read, disable=None, leave=False)
        stack.callback(bar.close)
        lines = islice(pairs.read(), read, None)
        while block := list(islice(lines, _BLOCK)):
            sources, targets = zip(*block, strict=True)
            encoded = source.encode_all(sources), target.encode_all(targets)
            for pair, *tokens in zip(block, *encoded, strict=True):
                if reason := reason_to_drop(*map(len, tokens)):
                    dropped[reason] += 1
                    continue
                # both with END, which is counted in the longest output too
                longest_ratio = max(longest_ratio, (len(tokens[1]) + 1 - EXTRA_TOKENS) / (len(tokens[0]) + 1))
                for writer, row in zip(writers, (*tokens, *(line.encode() for line in pair)), strict=False):
                    writer.append(row)
            bar.update(len(block))
            read += len(block)
            if read % _SAVED == 0:
                done = {side: writer.written() for (side, _), writer in zip(sides, writers, strict=True)}
                write_text(
                    folder / PROGRESS, json.dumps({"read": read, "dropped": dropped, "ratio": longest_ratio, **done})
                )
    if not read:
        raise DataError(f"{pairs.description}: there are no pairs; check the files that the recipe names")
    if dropped.total() == read:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        raise DataError(
            f"{pairs.description}: none of {read:,} pairs is left ({reasons}); check the files, or raise"
            " data.max_tokens or data.max_length_ratio"
        )
    ratio = math.ceil(100 * longest_ratio) / 100
    return {"types": types, "dropped": dict(dropped), "longest_ratio": ratio, "text": keep_text}


class SampledSide:
    """Sampled segmentations of the lines of one side, none longer than planned (Kudo 2018; Provilkov et al. 2020)."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        best: Sequences | Joined,
        texts: Sequences | Joined,
        *,
        alpha: float,
        longest: int,
        seed: int,
    ) -> None:
        """`best` are the best segmentations of the `texts`; none that is sampled has more than `longest` tokens."""
        self._tokenizer, self._best, self._texts, self._alpha = tokenizer, best, texts, alpha
        rows = np.unique(np.linspace(0, len(best) - 1, _MEASURED_LINES).astype(np.int64))
        lengths = best.lengths[rows].astype(float)
        sampled = np.array([len(row) for row in self._sample(rows, seed)])
        growth = sampled.sum() / lengths.sum()
        # Words are sampled one by one, so that the variance of a line's length grows with its length.
        spread = np.quantile((sampled - growth * lengths) / np.sqrt(lengths), _PLANNED_SHARE)
        planned = np.ceil(growth * best.lengths + spread * np.sqrt(best.lengths))
        self.planned: NDArray[np.int64] = np.maximum(np.minimum(planned, longest), best.lengths).astype(np.int64)
        """(N,) most tokens of each line"""

    def rows(self, rows: NDArray[np.int64], seed: int) -> list[list[int]]:
        """Token ids of lines by number; the best segmentation where a sampled one is longer than planned."""
        return [
            sampled if len(sampled) <= self.planned[row] else self._best[row].tolist()
            for row, sampled in zip(rows, self._sample(rows, seed), strict=True)
        ]

    def _sample(self, rows: NDArray[np.int64], seed: int) -> list[list[int]]:
        lines = [self._texts[row].tobytes().decode() for row in rows]
        return self._tokenizer.encode_sampled(lines, self._alpha, seed)
