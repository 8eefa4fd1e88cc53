"""What a translator gives back. Imports no torch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.text.documents import Document


class Alternative(NamedTuple):
    """One of several translations of a line."""

    text: str
    score: float
    """log-probability over the length normaliser, in nats"""
    log_probability: float
    """of the whole sentence, in nats"""


class Translation(NamedTuple):
    """What became of one line."""

    text: str
    score: float
    log_probability: float
    flags: tuple[str, ...] = ()
    """`truncated` (cut off at the longest length), `repeats` (some words stand three times in a row), `long` (of more
    source tokens than any line of the training), `unknown` (with characters or words that the vocabulary lacks),
    `invented` (what programs read, such as {name}, that the source has not), `around` (translated in parts, around
    what must not change), `sentences` (several), and `capitals`, `title` or `full_width` (letters unlike those that
    were learned)"""
    tokens: tuple[str, ...] = ()
    """target tokens, END last unless truncated"""
    log_probabilities: tuple[float, ...] = ()
    """one for each of the tokens, in nats"""
    source_tokens: tuple[str, ...] = ()
    """with END last"""
    attention: NDArray[np.float32] | None = None
    """(target tokens, source tokens), where it was asked for and the model has attention"""
    nbest: tuple[Alternative, ...] = ()
    unknown: tuple[str, ...] = ()
    """words or characters of the source that the vocabulary lacks"""
    invented: tuple[str, ...] = ()
    """what programs read, and the source has not"""


BLANK = Translation("", 0.0, 0.0)


def united(document: Document, found: Sequence[Translation]) -> Translation:
    """The translation of a line by those of its sentences: sums of their log-probabilities, means of their scores."""

    def joined(rank: int) -> Alternative:
        chosen = [each.nbest[min(rank, len(each.nbest) - 1)] for each in found]
        score = sum(each.score for each in chosen) / max(len(chosen), 1)
        text = document.joined([each.text for each in chosen])
        text = text if text.strip() else ""
        return Alternative(text, score, sum((each.log_probability for each in chosen), 0.0))

    nbest = [joined(rank) for rank in range(max((len(each.nbest) for each in found), default=1))]
    return Translation(
        *nbest[0],
        tuple(dict.fromkeys(flag for each in found for flag in each.flags)),
        tuple(token for each in found for token in each.tokens),
        tuple(value for each in found for value in each.log_probabilities),
        tuple(token for each in found for token in each.source_tokens),
        nbest=tuple(nbest) if nbest[0].text else (),
        unknown=tuple(dict.fromkeys(text for each in found for text in each.unknown)),
        invented=tuple(text for each in found for text in each.invented),
    )
