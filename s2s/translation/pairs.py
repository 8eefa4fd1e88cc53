"""The sentence pairs that a recipe names: found, and as memory-mapped token ids. Torch is not needed for that."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from tqdm import tqdm

from s2s.corpus.find import Source, split_files
from s2s.errors import DataError
from s2s.text.encoded import Sequences, SequenceWriter, encoded_folder, identity_of, token_type
from s2s.text.lines import Lines, PairFiles, Table, read_pairs
from s2s.text.tokenizer import Tokenizer
from s2s.translation.recipe import FileSplit, PairSplit, Split, TableSplit

Pairs: TypeAlias = Source[Iterator[tuple[str, str]]]

_SIDES = ("source", "target")


def open_split(split: Split, *, source: str, target: str, corpora: Path | None) -> Pairs:
    """Pairs of a split by two languages or columns; CorpusError or DataError for what is missing, also when read."""
    if isinstance(split, PairSplit):
        pairs = split.pairs
        return Source(lambda: iter(pairs), _hash(repr(pairs)), "the pairs in the recipe")
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
        columns = split.source_column or source, split.target_column or target
        files, description = Table(Path(split.table), *columns, split.columns), Path(split.table).name
    content = identity_of([files.path]) + repr(files[1:]) if isinstance(files, Table) else identity_of(files)
    return Source(lambda: read_pairs(files), _hash(content), description)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


class EncodedPairs:
    """Sentence pairs as token ids without special ids, mapped from files and not held in memory."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        """Map the files of a folder that `encoded_folder` gave."""
        self.source, self.target = (Sequences(folder, side, meta["types"][side]) for side in _SIDES)
        self.dropped: dict[str, int] = dict(meta["dropped"])
        """How many pairs were left out, by reason."""

    def __len__(self) -> int:
        """N, the pairs."""
        return len(self.source)


def encode_pairs(
    pairs: Pairs, source: Tokenizer, target: Tokenizer, *, max_tokens: int, max_length_ratio: float, cache: Path
) -> EncodedPairs:
    """Token ids of the pairs that pass the filters, from the cache or else encoded into it.

    Dropped are pairs with an empty side, with a side of more than `max_tokens`, and those whose longer side has more
    than `max_length_ratio` times the tokens of the shorter plus 5. DataError when none are left, or the cache cannot
    be written.
    """

    def reason_to_drop(*lengths: int) -> str | None:
        shorter, longer = sorted(lengths)
        if shorter == 0:
            return "empty side"
        if longer > max_tokens:
            return f"longer than {max_tokens:,} tokens"
        return f"length ratio above {max_length_ratio:g}" if longer > max_length_ratio * shorter + 5 else None

    key = (pairs.identity, source.fingerprint, target.fingerprint, max_tokens, float(max_length_ratio))
    write = partial(_write, pairs, source, target, reason_to_drop)
    return EncodedPairs(*encoded_folder(cache, key, write, pairs.description))


def _write(
    pairs: Pairs, source: Tokenizer, target: Tokenizer, reason_to_drop: Callable[[int, int], str | None], folder: Path
) -> dict[str, Any]:
    """Encode the pairs that there is no reason to drop into the files of a folder."""
    types = {"source": token_type(source), "target": token_type(target)}
    dropped, read = Counter[str](), 0
    with ExitStack() as stack:
        sources, targets = (SequenceWriter(folder, side, types[side], stack) for side in _SIDES)
        bar = tqdm(pairs.read(), desc=pairs.description, unit=" pairs", disable=None, leave=False)
        for source_line, target_line in bar:
            read += 1
            source_tokens, target_tokens = source.encode(source_line), target.encode(target_line)
            if reason := reason_to_drop(len(source_tokens), len(target_tokens)):
                dropped[reason] += 1
            else:
                sources.append(source_tokens)
                targets.append(target_tokens)
    if not read:
        raise DataError(f"{pairs.description}: there are no pairs; check the files that the recipe names")
    if dropped.total() == read:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        raise DataError(
            f"{pairs.description}: none of {read:,} pairs is left ({reasons}); check the files, or raise"
            " data.max_tokens or data.max_length_ratio"
        )
    return {"types": types, "dropped": dict(dropped)}
