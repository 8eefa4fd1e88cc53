"""Sentence pairs as memory-mapped token ids."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s2s.errors import DataError
from s2s.text.encoded import Sequences, SequenceWriter, encoded_folder, token_type
from s2s.text.tokenizer import Tokenizer

Pairs = Callable[[], Iterator[tuple[str, str]]]

_SIDES = ("source", "target")


class EncodedPairs:
    """Sentence pairs as token ids without special ids, mapped from files and not held in memory."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        """Maps the files of a folder that `encoded_folder` gave."""
        self.source, self.target = (Sequences(folder, side, meta["types"][side]) for side in _SIDES)
        self.dropped: dict[str, int] = dict(meta["dropped"])
        """How many pairs were left out, by reason."""

    def __len__(self) -> int:
        """N, the pairs."""
        return len(self.source)


def encode_pairs(
    pairs: Pairs,
    identity: str,
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    *,
    max_tokens: int,
    max_length_ratio: float,
    cache: Path,
    description: str,
) -> EncodedPairs:
    """Token ids of the pairs that pass the filters, from the cache or else encoded into it.

    `identity` stands for the content of `pairs`: it, the tokenizers and the filters are the key. Dropped are pairs
    with an empty side, with a side of more than `max_tokens`, and those whose longer side has more than
    `max_length_ratio` times the tokens of the shorter plus 5. DataError when none are left, or the cache cannot be
    written.
    """
    prints = source_tokenizer.fingerprint, target_tokenizer.fingerprint
    key = (identity, *prints, max_tokens, float(max_length_ratio))
    keep = _Filter(max_tokens, max_length_ratio)
    return EncodedPairs(
        *encoded_folder(
            cache,
            key,
            lambda folder: _write(folder, pairs, source_tokenizer, target_tokenizer, keep, description),
            description,
        )
    )


class _Filter:
    """Decides which pairs are kept, and counts the others by reason."""

    def __init__(self, max_tokens: int, max_length_ratio: float) -> None:
        self.dropped: Counter[str] = Counter()
        self._max_tokens = max_tokens
        self._max_length_ratio = max_length_ratio

    def passes(self, source_length: int, target_length: int) -> bool:
        """Whether a pair of these lengths, in tokens, is kept."""
        shorter, longer = sorted((source_length, target_length))
        if shorter == 0:
            reason = "empty side"
        elif longer > self._max_tokens:
            reason = f"longer than {self._max_tokens:,} tokens"
        elif longer > self._max_length_ratio * shorter + 5:
            reason = f"length ratio above {self._max_length_ratio:g}"
        else:
            return True
        self.dropped[reason] += 1
        return False


def _write(
    folder: Path, pairs: Pairs, source: Tokenizer, target: Tokenizer, keep: _Filter, description: str
) -> dict[str, Any]:
    """Encodes the pairs that `keep` lets through into the files of a folder."""
    types = {side: token_type(tokenizer) for side, tokenizer in zip(_SIDES, (source, target), strict=True)}
    read = kept = 0
    with ExitStack() as stack:
        sources, targets = (SequenceWriter(folder, side, types[side], stack) for side in _SIDES)
        for source_line, target_line in tqdm(pairs(), desc=description, unit=" pairs", disable=None, leave=False):
            read += 1
            source_tokens, target_tokens = source.encode(source_line), target.encode(target_line)
            if keep.passes(len(source_tokens), len(target_tokens)):
                kept += 1
                sources.append(source_tokens)
                targets.append(target_tokens)
        sources.finish()
        targets.finish()
    if not kept:
        raise DataError(_nothing_left(description, read, keep.dropped))
    return {"types": types, "dropped": dict(keep.dropped)}


def _nothing_left(description: str, read: int, dropped: Counter[str]) -> str:
    if not read:
        return f"{description}: there are no pairs; check the files that the recipe names"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    return (
        f"{description}: none of {read:,} pairs is left ({reasons}); check the files, or raise data.max_tokens or"
        " data.max_length_ratio"
    )
