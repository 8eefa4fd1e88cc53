"""Drawn segmentations: subword regularisation with a random generator that is ours.

SentencePiece can draw them too, but version 0.2.3 mixes something of the process into its seed, so that a resumed
training would read other tokens than an undisturbed one. Both ways below draw a unit, such as a word with the low
line before it, by itself: pieces never reach over white space, so a line's probability is the product of its units'.
"""

import math
from bisect import bisect
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from typing import NamedTuple, Protocol

_REMEMBERED_UNITS = 16_384
_LONGEST_REMEMBERED_UNIT = 24  # characters; longer ones seldom come twice and take much room


class Sampler(Protocol):
    """Draws the pieces of a unit whose characters are all pieces."""

    def sample(self, unit: str, alpha: float, generator: Random) -> list[str]:
        """Pieces that spell the unit."""
        ...


class _Arrivals(NamedTuple):
    """The pieces that end at one position, with the probabilities of coming there by them."""

    pieces: list[str]
    cumulative: list[float]


class UnigramSampler:
    """Draws a segmentation with its probability to the power of `alpha` (Kudo 2018, section 3.2, with all candidates).

    Forward filtering, backward sampling: the sums over all ways to each position, then steps back from the end.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        """Takes the log-probability of each piece."""
        self._scores = scores
        self._longest_piece = max(map(len, scores))
        self._remembered = lru_cache(maxsize=_REMEMBERED_UNITS)(self._arrivals)

    def sample(self, unit: str, alpha: float, generator: Random) -> list[str]:
        """Pieces that spell the unit."""
        find = self._remembered if len(unit) <= _LONGEST_REMEMBERED_UNIT else self._arrivals
        arrivals = find(unit, alpha)
        pieces: list[str] = []
        end = len(unit)
        while end:
            choices, cumulative = arrivals[end]
            position = bisect(cumulative, generator.random()) if len(choices) > 1 else 0
            pieces.append(choices[min(position, len(choices) - 1)])
            end -= len(pieces[-1])
        return pieces[::-1]

    def _arrivals(self, unit: str, alpha: float) -> list[_Arrivals]:
        """What can end at each position of the unit, from 0 to its length."""
        ways = [0.0]  # log of the sum over all segmentations of unit[:end]
        arrivals = [_Arrivals([], [])]
        for end in range(1, len(unit) + 1):
            starts = range(max(end - self._longest_piece, 0), end)
            starts_of_pieces = [start for start in starts if unit[start:end] in self._scores]
            pieces = [unit[start:end] for start in starts_of_pieces]
            terms = [
                ways[start] + alpha * self._scores[piece] for start, piece in zip(starts_of_pieces, pieces, strict=True)
            ]
            highest = max(terms)
            ways.append(highest + math.log(sum(math.exp(term - highest) for term in terms)))
            arrivals.append(_Arrivals(pieces, list(accumulate(math.exp(term - ways[end]) for term in terms))))
        return arrivals


class MergeSampler:
    """Draws a segmentation by BPE-dropout: at each step each merge is left out with probability `alpha`.

    Provilkov et al. (2020), algorithm 1: the best merge of those that remain is done, and none remaining ends it.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        """Takes the score of each piece; of two merges the one to the piece of higher score is done first."""
        self._scores = scores

    def sample(self, unit: str, alpha: float, generator: Random) -> list[str]:
        """Pieces that spell the unit."""
        symbols = list(unit)
        score, draw = self._scores.get, generator.random
        while True:
            merges = [
                (merged, -position)
                for position, pair in enumerate(pairwise(symbols))
                if (merged := score(pair[0] + pair[1])) is not None and draw() >= alpha
            ]
            if not merges:
                return symbols
            left = -max(merges)[1]
            symbols[left : left + 2] = [symbols[left] + symbols[left + 1]]
