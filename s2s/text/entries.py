"""Vocabularies that are plain lists: words split at white space, and characters."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar, Self

from tqdm import tqdm

from s2s.errors import DataError
from s2s.text.special import END, PAD, SPECIAL_LABELS, START, UNKNOWN, UNKNOWN_SURFACE


class _ListTokenizer:
    """Entries in a list, most frequent first, after the four special ids."""

    kind: ClassVar[str]

    def __init__(self, entries: Sequence[str]) -> None:
        """Takes the entries of ids 4 and above; ValueError when one is repeated or is no unit of this tokenizer."""
        self._entries = list(entries)
        self._ids = {entry: token for token, entry in enumerate(self._entries, start=len(SPECIAL_LABELS))}
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
        """V: the entries and the four special ids."""
        return len(self._entries) + len(SPECIAL_LABELS)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the JSON, in hexadecimal."""
        return hashlib.sha256(self.serialize()).hexdigest()

    def encode(self, line: str) -> list[int]:
        """Ids of the units of a line."""
        return [self._ids.get(unit, UNKNOWN) for unit in self.units(line)]

    def encode_sampled(self, lines: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """The same as `encode`: there is one segmentation only."""
        return [self.encode(line) for line in lines]

    def decode(self, tokens: Sequence[int]) -> str:
        """The units of some ids, joined."""
        shown = (int(token) for token in tokens if token not in (PAD, START, END))
        return self.join(UNKNOWN_SURFACE if token == UNKNOWN else self.token(token) for token in shown)

    def token(self, token: int) -> str:
        """The unit itself, or the name of a special id; IndexError beyond the vocabulary."""
        if not 0 <= token < self.vocabulary_size:
            raise IndexError(f"token {token} is not in a vocabulary of {self.vocabulary_size}")
        return SPECIAL_LABELS[token] if token < len(SPECIAL_LABELS) else self._entries[token - len(SPECIAL_LABELS)]

    def normalize(self, line: str) -> str:
        """The line, joined again from its units."""
        return self.join(self.units(line))

    def serialize(self) -> bytes:
        """UTF-8 JSON that says its kind and lists the entries in the order of their ids."""
        content = {"kind": self.kind, "entries": self._entries}
        return (json.dumps(content, ensure_ascii=False, indent=0) + "\n").encode()


class WordTokenizer(_ListTokenizer):
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


class CharacterTokenizer(_ListTokenizer):
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


def read_entries(content: bytes) -> WordTokenizer | CharacterTokenizer:
    """The tokenizer of a JSON that `serialize` made; ValueError says what is wrong with another."""
    read = json.loads(content)
    if not isinstance(read, dict) or set(read) != {"kind", "entries"}:
        raise ValueError('it is no JSON object of "kind" and "entries"')
    entries = read["entries"]
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError("its entries are no list of strings")
    if read["kind"] == WordTokenizer.kind:
        return WordTokenizer(entries)
    if read["kind"] == CharacterTokenizer.kind:
        return CharacterTokenizer(entries)
    raise ValueError(f"its kind is {read['kind']!r}, not words or characters")
