"""What a vocabulary spells badly in text that it was not learned from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from s2s.text.languages import LETTERS_WITHOUT_SPACES
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import ListTokenizer

LACKING, WORSE = 0.001, 1.2
"""Told of are a share of unknown tokens and bytes, and tokens per word, compared with the vocabulary's own text."""
MANY_TOKENS, NAMED = 4, 8
"""Tokens of a word that is named for them, and how many words or characters are named."""


class Spelling(NamedTuple):
    """Tokens of a text in all and per unit, which is a word, or a character in a script without spaces."""

    tokens: int
    lacking_share: float
    """of tokens that are unknown, or bytes of a character"""
    unit: str
    rate: float
    missing: Counter[str]
    """characters, or words, that the vocabulary lacks"""
    costly: Counter[str]
    """words with their number of tokens, by the tokens of all"""


def spelling_of(tokenizer: Tokenizer, lines: Sequence[str]) -> Spelling:
    """The spelling of a text."""
    words, missing, costly = Counter(word for line in lines for word in line.split()), Counter[str](), Counter[str]()
    tokens = lacking = 0
    for word, count in words.items():
        encoded = tokenizer.encode(word)
        tokens += count * len(encoded)
        if tokenizer.lacks(encoded):
            lacking += count * sum(tokenizer.lacks([token]) for token in encoded)
            for part in tokenizer.split(word) if isinstance(tokenizer, ListTokenizer) else word:
                missing[part] += count * tokenizer.lacks(tokenizer.encode(part))
        elif len(encoded) >= MANY_TOKENS:
            costly[f"{word!r} in {len(encoded)}"] = count * len(encoded)
    text = "".join(words.elements())
    is_unspaced = 2 * len(LETTERS_WITHOUT_SPACES.findall(text)) > len(text)
    unit, units = ("character", len(text)) if is_unspaced else ("word", words.total())
    return Spelling(tokens, lacking / max(tokens, 1), unit, tokens / max(units, 1), +missing, costly)


def spelled_badly(
    tokenizer: Tokenizer, text: Sequence[str], own: Sequence[str], name: str, start: str
) -> Iterator[str]:
    """A sentence on what a vocabulary spells badly in a text, and worse than in its `own`, if that is known.

    `name` is that of the text, `start` that of the run whose vocabulary it is.
    """
    new, old = spelling_of(tokenizer, text), spelling_of(tokenizer, own)
    is_dear = old.unit == new.unit == "word" and 0 < WORSE * old.rate < new.rate
    if new.lacking_share <= max(LACKING, WORSE * old.lacking_share) and not is_dear:
        return
    said = f"{new.lacking_share:.2%} of {new.tokens:,} tokens are unknown or bytes, {new.rate:.2f} per {new.unit}"
    compared = f" ({old.lacking_share:.2%}, {old.rate:.2f} per {old.unit} in its own)" if own else ""
    lacks = [f"{part!r} {count:,} times" for part, count in _most(new.missing)]
    worst = f"; it lacks {', '.join(lacks)}" if lacks else ""
    if is_dear and new.costly:
        worst += f"; words of many tokens: {', '.join(word for word, _ in _most(new.costly))}"
    yield f"{name}: the vocabulary of {start} spells it badly: {said}{compared}{worst}"


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NAMED]
