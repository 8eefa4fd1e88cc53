"""Whole answers that are right or wrong: exact match, and the error rates of symbol strings such as pronunciations.

A source that stands several times with different targets is one source with several right answers.
"""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

LONGEST_SYMBOL = 3
"""Letters of a symbol, not counting marks: AH0, t͡ɕʰ."""
MOST_SYMBOLS = 200
"""Symbols of the largest inventory."""


class Answer(NamedTuple):
    """The output for one source."""

    output: str
    right: tuple[str, ...]
    """its references, each once"""

    @property
    def exact(self) -> bool:
        """Whether the output is one of them."""
        return self.output in self.right


def answers(
    sources: Sequence[str],
    outputs: Sequence[str],
    references: Sequence[str],
    tags: Sequence[str | None] | None = None,
) -> list[Answer]:
    """The answer for each different source and tag, in their order; runs of white space count as one space."""
    found: dict[tuple[str | None, str], Answer] = {}
    for tag, source, output, reference in zip(
        tags or [None] * len(sources), *(map(_spaced, lines) for lines in (sources, outputs, references)), strict=True
    ):
        output, right = found.get((tag, source), Answer(output, ()))
        found[tag, source] = Answer(output, right if reference in right else (*right, reference))
    return list(found.values())


def exact_match(given: Sequence[Answer]) -> float:
    """Share of the sources whose output is a right answer."""
    return sum(answer.exact for answer in given) / len(given)


def word_error_rate(given: Sequence[Answer]) -> float:
    """Share of the sources, words to be pronounced, whose output is no right answer."""
    return 1.0 - exact_match(given)


def phone_error_rate(given: Sequence[Answer]) -> float:
    """Edits that make the outputs right, a symbol each, over the symbols of the right answers.

    Of several right answers the one counts that needs the fewest edits, and of these the longest (Yao & Zweig
    2015, arXiv:1506.00196).
    """
    edits = symbols = 0
    for answer in given:
        output, rights = answer.output.split(), [right.split() for right in answer.right]
        distance, negative_length = min((edit_distance(output, right), -len(right)) for right in rights)
        edits, symbols = edits + distance, symbols - negative_length
    return edits / max(symbols, 1)


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that make one sequence the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for i, symbol in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, compared in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (symbol != compared))
    return row[-1]


def are_symbols(references: Sequence[str]) -> bool:
    """Whether lines look like strings of symbols: several a line, short, and from a small inventory."""
    symbols = [symbol for line in references for symbol in line.split()]
    inventory = set(symbols)
    if len(inventory) > MOST_SYMBOLS or len(symbols) < 2 * len(references):
        return False
    marks = {symbol: sum(unicodedata.category(each) in ("Mn", "Lm") for each in symbol) for symbol in inventory}
    short = {symbol for symbol in inventory if len(symbol) - marks[symbol] <= LONGEST_SYMBOL}
    return sum(symbol in short for symbol in symbols) > 0.95 * len(symbols)


def _spaced(line: str) -> str:
    return " ".join(line.split())
