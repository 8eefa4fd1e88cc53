"""The four token ids that mean the same in every vocabulary."""

from collections.abc import Mapping
from typing import Final

PAD: Final = 0
"""Fills a batch beyond the end of a row."""
UNKNOWN: Final = 1
"""A unit that the vocabulary lacks."""
START: Final = 2
"""First input of a decoder."""
END: Final = 3
"""Closes every sequence."""
TOKENS: Final = {"pad": PAD, "unknown": UNKNOWN, "start": START, "end": END}
"""All of them, as readers without this module know them."""

SPECIAL_LABELS: Final = ("<pad>", "<unk>", "<s>", "</s>")
"""Their names, in the order of the ids."""
UNKNOWN_SURFACE: Final = "\N{DOUBLE QUESTION MARK}"
"""How UNKNOWN reads in decoded text."""
TAG: Final = "tag:"
"""Beginning of the name of a symbol that says what a source is, before its first token."""
MASKS: Final = tuple(map(chr, range(0xF0001, 0xF0009)))
"""Characters, of private use, that stand for what must not change: symbols that only masked text has."""


def label_of(symbol: str) -> str:
    """How a symbol, an entry of a vocabulary that no text spells, reads in lists of tokens."""
    return f"<{symbol}>"


def tags_of(symbols: Mapping[str, int]) -> dict[str, int]:
    """Token ids of the tags among the symbols of a vocabulary, by name."""
    return {name.removeprefix(TAG): token for name, token in symbols.items() if name.startswith(TAG)}
