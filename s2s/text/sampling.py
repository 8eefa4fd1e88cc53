"""Sampled segmentations: subword regularisation with a random generator of our own.

SentencePiece can sample too, but version 0.2.3 mixes something of the process into its seed, so that a resumed
training would read other tokens than an undisturbed one. Both samplers below split one unit at a time, such as a word
with U+2581 before it: no piece contains white space, so a line's probability is the product of its units'.
"""

import math
from bisect import bisect
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from typing import TypeAlias

_REMEMBERED_UNITS = 16_384
_LONGEST_REMEMBERED_UNIT = 24  # characters; longer ones seldom come twice and take much room


_Arrivals: TypeAlias = tuple[list[str], list[float]]
"""Pieces that end at one position, and their cumulative probabilities."""


class UnigramSampler:
    """Samples segmentations by their probability to the power of `alpha` (Kudo 2018, section 3.2, all candidates).

    Forward filtering, backward sampling: sums over all segmentations up to each position, then steps from the end.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        """`scores` are log-probabilities of pieces."""
        self._scores = scores
        self._longest_piece = max(map(len, scores))
        self._remembered = lru_cache(maxsize=_REMEMBERED_UNITS)(self._arrivals)

    def sample(self, unit: str, alpha: float, generator: Random) -> list[str]:
        """Pieces that spell a unit whose characters are all pieces."""
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
        """The pieces that can end at each position of the unit, from 0 to its length."""
        ways = [0.0]  # log of the sum over all segmentations of unit[:end]
        arrivals: list[_Arrivals] = [([], [])]
        for end in range(1, len(unit) + 1):
            candidates = [unit[start:end] for start in range(max(end - self._longest_piece, 0), end)]
            pieces = [piece for piece in candidates if piece in self._scores]
            terms = [ways[end - len(piece)] + alpha * self._scores[piece] for piece in pieces]
            highest = max(terms)
            ways.append(highest + math.log(sum(math.exp(term - highest) for term in terms)))
            arrivals.append((pieces, list(accumulate(math.exp(term - ways[end]) for term in terms))))
        return arrivals


class MergeSampler:
    """Samples segmentations by BPE-dropout: at each step each merge is left out with probability `alpha`.

    Provilkov et al. (2020), algorithm 1: the best merge of those that remain is done, until none remains.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        """Of two merges the one to the piece of the higher score is done first."""
        self._scores = scores

    def sample(self, unit: str, alpha: float, generator: Random) -> list[str]:
        """Pieces that spell a unit whose characters are all pieces."""
        symbols = list(unit)
        score, uniform = self._scores.get, generator.random
        while True:
            merges = [
                (merged, -position)
                for position, pair in enumerate(pairwise(symbols))
                if (merged := score(pair[0] + pair[1])) is not None and uniform() >= alpha
            ]
            if not merges:
                return symbols
            left = -max(merges)[1]
            symbols[left : left + 2] = [symbols[left] + symbols[left + 1]]
