"""How long a text is, in characters and bytes, of what a model predicts of it: the units of scores that compare."""

from collections.abc import Sequence
from typing import NamedTuple

from s2s.text.special import END, UNKNOWN
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import ByteTokenizer, ListTokenizer, bytes_of


class Size(NamedTuple):
    """Size of what is predicted of a text, counted as it stands in the file, before any normalisation.

    The end of a line is one character and one byte. What is given and not predicted is left out: the first token of
    running text, and of lines of a closed list their first symbols, and their ends.
    """

    characters: int = 0
    """Unicode code points; a byte that is none of UTF-8 is one"""
    bytes: int = 0
    """of UTF-8; a lone surrogate, which JSON can have, has three"""
    spelled_bytes: int = 0
    """of what the vocabulary lacks, with one byte more after each unknown token"""

    def plus(self, other: "Size") -> "Size":
        """Sum of the counts."""
        return Size(*map(sum, zip(self, other, strict=True)))


def size_of(tokenizer: Tokenizer, piece: str, tokens: Sequence[int], *, lines: bool, begins: bool) -> Size:
    """Size of a piece of text: a line of `lines`, or part of running text, which it may begin."""
    closed = isinstance(tokenizer, ListTokenizer) and tokenizer.closed
    if lines:
        piece = piece.removesuffix("\n") + "\n" * (not closed)
        begins = closed
        if closed and len(tokens) < 2:  # nothing is predicted
            return Size()
    if isinstance(tokenizer, ByteTokenizer):
        return Size(len(piece) - begins, len(bytes_of(piece)) - begins)
    text = piece.replace(_first(tokenizer, piece, tokens[0]), "", 1) if begins else piece
    unknown = () if closed else [token for token in tokens[begins:] if token == UNKNOWN]
    spelled = len(unknown) + _bytes(_unknown(tokenizer, text.removesuffix("\n") if lines else text)) if unknown else 0
    return Size(len(text), _bytes(text), spelled)


def _first(tokenizer: Tokenizer, piece: str, token: int) -> str:
    """Text of the first token of a piece; the whole character of a byte."""
    if isinstance(tokenizer, ListTokenizer):
        return next(iter(tokenizer.split(piece)), "") if tokenizer.closed or token != END else "\n"
    if token == END:
        return "\n"
    return piece[:1] if tokenizer.lacks([token]) else tokenizer.decode([token])


def _unknown(tokenizer: Tokenizer, text: str) -> str:
    lacking = set(tokenizer.lacking(text))
    if isinstance(tokenizer, ListTokenizer):
        return "".join(unit for unit in tokenizer.split(text) if unit in lacking)
    return "".join(character for character in tokenizer.normalize(text) if character in set("".join(lacking)))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
