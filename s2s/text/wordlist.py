"""Vocabularies that are plain lists: words split at white space, and characters."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar, Self

from tqdm import tqdm

from s2s.errors import DataError
from s2s.text.special import END, PAD, SPECIAL_LABELS, START, UNKNOWN, UNKNOWN_SURFACE


class ListTokenizer:
    """Entries in a list, most frequent first, after the four special ids.

    A `closed` one has its entries alone, from id 0 on, in an order that somebody chose.
    """

    kind: ClassVar[str]

    def __init__(self, entries: Sequence[str], *, closed: bool = False) -> None:
        """Takes the entries that ids stand for; ValueError when one is repeated or is no unit of this tokenizer."""
        self.closed = closed
        self._entries = list(entries)
        self._specials = () if closed else SPECIAL_LABELS
        self._ids = {entry: token for token, entry in enumerate(self._entries, start=len(self._specials))}
        if len(self._ids) != len(self._entries):
            raise ValueError("it lists an entry twice")
        wrong = [entry for entry in self._entries if self.units(entry) != [entry]]
        if wrong:
            raise ValueError(f"its entry {wrong[0]!r} is not one of {self.kind}")

    @classmethod
    def train(cls, lines: Iterable[str], *, vocabulary_size: int, minimum_count: int) -> Self:
        """Keeps the most frequent units seen at least `minimum_count` times; DataError when there are none."""
        counts: Counter[str] = Counter()
        for line in tqdm(lines, desc=f"counting {cls.kind}", unit=" lines", disable=None, leave=False):
            counts.update(cls.units(line))
        if not counts:
            raise DataError("tokenizer: the training text is empty; check the files that data.train names")
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [unit for unit, count in ranked if count >= minimum_count]
        if not kept:
            raise DataError(
                f"tokenizer.minimum_count: none of {len(counts):,} {cls.kind} occurs {minimum_count:,} times;"
                f" the most frequent occurs {ranked[0][1]:,} times; choose a smaller count"
            )
        return cls(kept[: vocabulary_size - len(SPECIAL_LABELS)])

    @staticmethod
    def units(line: str) -> list[str]:
        """The line in the pieces that may become entries."""
        raise NotImplementedError

    @staticmethod
    def join(units: Iterable[str]) -> str:
        """A line of units: undoes `units`."""
        raise NotImplementedError

    @property
    def vocabulary_size(self) -> int:
        """V: the entries, and the four special ids unless it is closed."""
        return len(self._entries) + len(self._specials)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the JSON, in hexadecimal."""
        return hashlib.sha256(self.serialize()).hexdigest()

    def encode(self, line: str) -> list[int]:
        """Ids of the units of a line; DataError names one that a closed vocabulary lacks."""
        if not self.closed:
            return [self._ids.get(unit, UNKNOWN) for unit in self.units(line)]
        lacking = self.lacking(line)
        if lacking:
            raise DataError(
                f"tokenizer.symbols: {lacking[0]!r} stands in the text, but not among them ({', '.join(self._entries)})"
            )
        return [self._ids[unit] for unit in self.units(line)]

    def lacking(self, line: str) -> list[str]:
        """The units of a line that the vocabulary lacks, each once."""
        return list(dict.fromkeys(unit for unit in self.units(line) if unit not in self._ids))

    def encode_sampled(self, lines: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """The same as `encode`: there is one segmentation only."""
        return [self.encode(line) for line in lines]

    def decode(self, tokens: Sequence[int]) -> str:
        """The units of some ids, joined."""
        if self.closed:
            return self.join(self.token(int(token)) for token in tokens)
        shown = (int(token) for token in tokens if token not in (PAD, START, END))
        return self.join(UNKNOWN_SURFACE if token == UNKNOWN else self.token(token) for token in shown)

    def token(self, token: int) -> str:
        """The unit itself, or the name of a special id; IndexError beyond the vocabulary."""
        if not 0 <= token < self.vocabulary_size:
            raise IndexError(f"token {token} is not in a vocabulary of {self.vocabulary_size}")
        specials = len(self._specials)
        return self._specials[token] if token < specials else self._entries[token - specials]

    def normalize(self, line: str) -> str:
        """The line, joined again from its units."""
        return self.join(self.units(line))

    def serialize(self) -> bytes:
        """UTF-8 JSON that says its kind and lists the entries in the order of their ids."""
        content: dict[str, object] = {"kind": self.kind, "entries": self._entries}
        if self.closed:
            content["closed"] = True
        return (json.dumps(content, ensure_ascii=False, indent=0) + "\n").encode()


class WordTokenizer(ListTokenizer):
    """Words between white space; runs of white space become one space."""

    kind = "words"

    @staticmethod
    def units(line: str) -> list[str]:
        """The words of a line."""
        return line.split()

    @staticmethod
    def join(units: Iterable[str]) -> str:
        """Words with one space between them."""
        return " ".join(units)


class PunctuationTokenizer(WordTokenizer):
    """Words and marks of punctuation: no space stands before a closing mark, and none after an opening one.

    Straight quotation marks and slashes, which can be either, stand with spaces on both sides.
    """

    kind = "words and punctuation"
    _UNIT = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
    _CLOSING, _OPENING = frozenset(",.;:!?)]}…%"), frozenset("([{")

    @staticmethod
    def units(line: str) -> list[str]:
        """The words and marks of a line."""
        return PunctuationTokenizer._UNIT.findall(line)

    @staticmethod
    def join(units: Iterable[str]) -> str:
        """Units with a space between them, but not before a closing mark or after an opening one."""
        text, opened = "", True
        for unit in units:
            text += unit if opened or unit in PunctuationTokenizer._CLOSING else f" {unit}"
            opened = unit in PunctuationTokenizer._OPENING
        return text


class CharacterTokenizer(ListTokenizer):
    """Characters (Unicode code points), white space among them; a line comes back exactly."""

    kind = "characters"

    @staticmethod
    def units(line: str) -> list[str]:
        """The characters of a line."""
        return list(line)

    @staticmethod
    def join(units: Iterable[str]) -> str:
        """Characters with nothing between them."""
        return "".join(units)


def read_entries(content: bytes) -> ListTokenizer:
    """The tokenizer of a JSON that `serialize` made; ValueError says what is wrong with another."""
    read = json.loads(content)
    if not isinstance(read, dict) or set(read) - {"closed"} != {"kind", "entries"}:
        raise ValueError('it is no JSON object of "kind" and "entries"')
    entries = read["entries"]
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError("its entries are no list of strings")
    kinds = {kind.kind: kind for kind in (WordTokenizer, PunctuationTokenizer, CharacterTokenizer)}
    if read["kind"] not in kinds:
        raise ValueError(f"its kind is {read['kind']!r}, not one of {', '.join(kinds)}")
    return kinds[read["kind"]](entries, closed=read.get("closed") is True)
