"""Sentence pairs as memory-mapped token ids, encoded once, and sampled segmentations of them. Needs no torch."""

import json
import math
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from s2s.errors import DataError
from s2s.files import write_text
from s2s.text.encoded import PROGRESS, Joined, Sequences, SequenceWriter, encoded_folder, progress_of, token_type
from s2s.text.tokenizer import Tokenizer
from s2s.translation.lengths import EXTRA_TOKENS
from s2s.translation.pairs import Pairs

_SIDES = ("source", "target")
_BLOCK = 1 << 13
"""Pairs that are encoded at once."""
_SAVED = 1 << 19
"""Pairs, blocks of them, after which a killed process need not begin anew."""
_MEASURED_LINES = 1000
"""Lines whose sampled lengths are looked at before batches are planned."""
_PLANNED_SHARE = 0.99
"""Share of the lines whose sampled segmentation should be as short as planned."""


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
