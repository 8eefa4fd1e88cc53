"""The text of tokens while they are written: what of it is certain, and where it stops."""

from collections.abc import Sequence
from typing import Literal

import torch

from s2s.text.special import END
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import ByteTokenizer, CharacterTokenizer, ListTokenizer

CONTEXT = 8
"""Tokens before a new one that decide how it is joined to them."""
LONGEST = 64
"""Tokens that are decoded again with each new one."""


class Writer:
    """The text of tokens that come one by one, each character as soon as no later token can change it.

    The pieces together are the decoded text. A character that is spelled in bytes comes with its last byte.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.closed = isinstance(tokenizer, ListTokenizer) and tokenizer.closed
        self.joined = not isinstance(tokenizer, CharacterTokenizer) or isinstance(tokenizer, ByteTokenizer)
        self.line: list[int] = []
        """the end of the line that is written"""
        self.given = 0
        """characters of it that have been given"""

    def add(self, token: int) -> str:
        """What a token makes certain."""
        if not self.joined:
            return self.tokenizer.decode([token])
        if token == END and not self.closed:
            rest = self.finish()
            self.line, self.given = [], 0
            return rest + "\n"
        self.line.append(token)
        waiting = _open_bytes([self.tokenizer.token(each) for each in self.line[-3:]])
        text = self.tokenizer.decode(self.line[: len(self.line) - waiting])
        new, self.given = text[self.given :], len(text)
        if len(self.line) > LONGEST and not waiting and (before := self.tokenizer.decode(self.line[-CONTEXT:])):
            self.line, self.given = self.line[-CONTEXT:], len(before)
        return new

    def finish(self) -> str:
        """The rest, where no token follows."""
        text = self.tokenizer.decode(self.line) if self.joined else ""
        new, self.given = text[self.given :], len(text)
        return new


def _open_bytes(pieces: Sequence[str]) -> int:
    """Number of the last pieces that are bytes of a character whose last byte is not there yet."""
    values = [int(piece[3:5], 16) if piece.startswith("<0x") and len(piece) == 6 else -1 for piece in pieces]
    for count, value in enumerate(reversed(values), start=1):
        if value >= 0xC2:  # the first byte, which says how many there are
            return count if count < 2 + (value >= 0xE0) + (value >= 0xF0) else 0
        if value < 0x80:
            return 0
    return 0


class Stops:
    """Finds the first of some texts in a text that comes in pieces, and holds back what may be the beginning of one."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self.held = ""
        self.found = False

    def add(self, piece: str) -> str:
        """What is certain not to be part of a stop; all that comes before one, once it is `found`."""
        text = self.held + piece
        places = [place for stop in self.texts if (place := text.find(stop)) >= 0]
        if places:
            self.found, self.held = True, ""
            return text[: min(places)]
        sizes = (size for stop in self.texts for size in range(1, len(stop)) if text.endswith(stop[:size]))
        size = max(sizes, default=0)
        self.held = text[len(text) - size :]
        return text[: len(text) - size]


class Text:
    """A text that is written: what it has of tokens, of characters, and of random numbers."""

    def __init__(self, prompt: str, begin: Sequence[int], given: str, writer: Writer, stops: Stops, seed: int) -> None:
        """`begin` are the tokens to read, `given` is their text."""
        self.prompt, self.begin, self.writer, self.stops, self.seed = prompt, begin, writer, stops, seed
        self.parts = [given]
        self.tokens: list[int] = []
        self.log_probability = 0.0
        self.stopped: Literal["length", "end", "stop"] | None = None
        self._random = torch.Generator().manual_seed(seed)

    def draw(self) -> float:
        """The next uniform number, which the seed alone decides."""
        return float(torch.rand((), generator=self._random, dtype=torch.float64))

    def add(self, token: int, log_probability: float, *, ends: bool) -> None:
        """Write a token, or end the text with it."""
        self.log_probability += log_probability
        if ends:
            self.finish("end")
        else:
            self.tokens.append(token)
            self._write(self.writer.add(token))

    def finish(self, why: Literal["length", "end"]) -> None:
        """Write what was held back."""
        self._write(self.writer.finish())
        if not self.stops.found:
            self.parts.append(self.stops.held)
            self.stopped = why

    def taken(self) -> str:
        """What is certain and was not taken yet."""
        text = "".join(self.parts)
        self.parts.clear()
        return text

    def _write(self, piece: str) -> None:
        self.parts.append(self.stops.add(piece))
        if self.stops.found:
            self.stopped = "stop"
