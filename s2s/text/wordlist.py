"""Tokenizers whose vocabulary is a plain list: words split at white space, characters, and bytes."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar, Self

from s2s.errors import DataError
from s2s.text.normalization import RULES, Normalization, normalizer
from s2s.text.special import END, MASKS, PAD, SPECIAL_LABELS, START, UNKNOWN, UNKNOWN_SURFACE, label_of

_SPACES = re.compile("[ \\t-\\r]+")
BYTES = tuple(chr(byte) if byte in b"\t\n" or 0x20 <= byte < 0x7F else f"<0x{byte:02X}>" for byte in range(256))
"""Names of the bytes, those of printed ASCII, tab and line end the characters themselves."""
_BYTE = {name: bytes([byte]) for byte, name in enumerate(BYTES)}


class ListTokenizer:
    """Tokenizer with a list of units, most frequent first, after the four special ids.

    A closed vocabulary has no special ids; ids start at 0 in the given order. Symbols, which no text spells, come last.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        closed: bool = False,
        symbols: Sequence[str] = (),
        normalization: Normalization | None = "none",
    ) -> None:
        """ValueError when a unit of the vocabulary is repeated, or is no unit of this tokenizer.

        Without a `normalization`, as in files of earlier versions, all white space is alike.
        """
        self.closed = closed
        self.normalization = normalization
        self._prepared = normalizer(normalization or "none")
        specials = () if closed else SPECIAL_LABELS
        self._listed = list(vocabulary)
        self._labels: list[str] = [*specials, *vocabulary, *map(label_of, symbols)]
        self.symbols = {name: token for token, name in enumerate(symbols, start=len(self._labels) - len(symbols))}
        self._ids = {unit: token for token, unit in enumerate(vocabulary, start=len(specials))}
        if len(self._ids) != len(vocabulary):
            raise ValueError("its vocabulary lists a unit twice")
        wrong = [unit for unit in vocabulary if self.units(self.join([unit])) != [unit]]
        if wrong:
            raise ValueError(f"{wrong[0]!r} in its vocabulary is not one of {self.kind}")

    @classmethod
    def train(
        cls, lines: Iterable[str], *, vocabulary_size: int, minimum_count: int, symbols: Sequence[str] = ()
    ) -> Self:
        """Keeps the most frequent units seen at least `minimum_count` times in lines, taken as they are.

        DataError when there are none.
        """
        from tqdm import tqdm

        counts: Counter[str] = Counter()
        for line in tqdm(lines, desc=f"counting {cls.kind}", unit=" lines", disable=None, leave=False):
            counts.update(cls.units(line))
        if not counts:
            raise DataError("tokenizer: the training text is empty; check the files that data.train names")
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [unit for unit, count in ranked if count >= minimum_count and unit not in MASKS]
        if not kept:
            raise DataError(
                f"tokenizer.minimum_count: none of {len(counts):,} {cls.kind} occurs {minimum_count:,} times;"
                f" the most frequent occurs {ranked[0][1]:,} times; choose a smaller count"
            )
        kept = kept[: max(vocabulary_size - len(SPECIAL_LABELS) - len(symbols), 1)]
        masks = [symbol for symbol in symbols if symbol in MASKS]
        return cls([*masks, *kept], symbols=[symbol for symbol in symbols if symbol not in MASKS])

    def under(self, rule: Normalization) -> Self:
        """The same units for text that a rule normalises."""
        return type(self)(self._listed, closed=self.closed, symbols=list(self.symbols), normalization=rule)

    def split(self, text: str) -> list[str]:
        """Units of a text after the rule."""
        return self.units(self._prepared(text))

    @staticmethod
    def units(line: str) -> list[str]:
        """Units of a line that is normalised."""
        raise NotImplementedError

    @staticmethod
    def join(units: Iterable[str]) -> str:
        """Line of some units, the inverse of `units`."""
        raise NotImplementedError

    @property
    def vocabulary_size(self) -> int:
        """V: the units and symbols, and the four special ids unless it is closed."""
        return len(self._labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the JSON, in hexadecimal."""
        return hashlib.sha256(self.serialize()).hexdigest()

    def encode(self, line: str) -> list[int]:
        """Ids of the units of a line; DataError names one that a closed vocabulary lacks."""
        if self.closed and (lacking := self.lacking(line)):
            symbols = ", ".join(self._listed)
            raise DataError(f"the text contains {lacking[0]!r}, which is not in tokenizer.symbols ({symbols})")
        return [self._ids.get(unit, UNKNOWN) for unit in self.split(line)]

    def lacking(self, line: str) -> list[str]:
        """Units of a line that the vocabulary lacks, each once."""
        return list(dict.fromkeys(unit for unit in self.split(line) if unit not in self._ids))

    def encode_all(self, lines: Sequence[str]) -> list[list[int]]:
        """`encode` of each line."""
        return [*map(self.encode, lines)]

    def encode_sampled(self, lines: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """The same as `encode`: there is one segmentation only."""
        return [self.encode(line) for line in lines]

    def decode(self, tokens: Sequence[int]) -> str:
        """Line of the units of some ids."""
        if self.closed:
            return self.join(self.token(token) for token in tokens)
        hidden = (PAD, START, END, *self.symbols.values())
        shown = (token for token in tokens if token not in hidden)
        return self.join(UNKNOWN_SURFACE if token == UNKNOWN else self.token(token) for token in shown)

    def token(self, token: int) -> str:
        """The unit itself, or the name of a special id; IndexError beyond the vocabulary."""
        if not 0 <= token < self.vocabulary_size:
            raise IndexError(f"token {token} is not in a vocabulary of {self.vocabulary_size}")
        return self._labels[token]

    def lacks(self, tokens: Sequence[int]) -> bool:
        """Whether one of the ids is UNKNOWN."""
        return not self.closed and UNKNOWN in tokens

    def normalize(self, line: str) -> str:
        """The line, joined again from its units."""
        return self.join(self.split(line))

    def serialize(self) -> bytes:
        """UTF-8 JSON with the kind and the units, then the symbols, in the order of their ids."""
        content: dict[str, object] = {"kind": self.kind, "entries": self._listed}
        content |= {"closed": True} if self.closed else {}
        content |= {"symbols": list(self.symbols)} if self.symbols else {}
        content |= {"normalization": self.normalization} if self.normalization else {}
        return (json.dumps(content, ensure_ascii=False, indent=0) + "\n").encode()


class WordTokenizer(ListTokenizer):
    """Words between white space of ASCII; runs of it become one space."""

    kind = "words"

    def split(self, text: str) -> list[str]:
        """Units of a text after the rule."""
        return super().split(text if self.normalization else " ".join(text.split()))

    @staticmethod
    def units(line: str) -> list[str]:
        return [word for word in _SPACES.split(line) if word]

    @staticmethod
    def join(units: Iterable[str]) -> str:
        return " ".join(units)


class PunctuationTokenizer(WordTokenizer):
    """Words and punctuation marks, joined without a space before a closing mark and after an opening one.

    Straight quotation marks and slashes, which can be either, have spaces on both sides.
    """

    kind = "words and punctuation"
    _UNIT = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
    _CLOSING, _OPENING = frozenset(",.;:!?)]}…%"), frozenset("([{")

    @staticmethod
    def units(line: str) -> list[str]:
        return PunctuationTokenizer._UNIT.findall(line)

    @staticmethod
    def join(units: Iterable[str]) -> str:
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
        return list(line)

    @staticmethod
    def join(units: Iterable[str]) -> str:
        return "".join(units)


class ByteTokenizer(CharacterTokenizer):
    """Bytes of UTF-8, all 256 whatever the text has; one that is none of UTF-8 is a lone surrogate (PEP 383)."""

    kind = "bytes"

    @classmethod
    def train(
        cls, lines: Iterable[str], *, vocabulary_size: int, minimum_count: int, symbols: Sequence[str] = ()
    ) -> Self:
        """The same for every text."""
        return cls(BYTES, symbols=symbols)

    @staticmethod
    def units(line: str) -> list[str]:
        return [BYTES[byte] for byte in bytes_of(line)]

    @staticmethod
    def join(units: Iterable[str]) -> str:
        return b"".join(_BYTE.get(unit) or unit.encode() for unit in units).decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes that a text was read from; DataError for half of a character, which has none."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        raise DataError(f"the text has {code}, half of a character, which has no bytes; mend the text") from None


def read_wordlist(content: bytes) -> ListTokenizer:
    """Tokenizer of the JSON of `serialize`; ValueError says what is wrong with other content."""
    read = json.loads(content)
    if not isinstance(read, dict) or set(read) - {"closed", "symbols", "normalization"} != {"kind", "entries"}:
        raise ValueError('it is no JSON object of "kind" and "entries"')
    entries, symbols = read["entries"], read.get("symbols", [])
    for name, listed in (("entries", entries), ("symbols", symbols)):
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            raise ValueError(f"its {name} are no list of strings")
    kinds = {each.kind: each for each in (WordTokenizer, PunctuationTokenizer, CharacterTokenizer, ByteTokenizer)}
    if read["kind"] not in kinds:
        raise ValueError(f"its kind is {read['kind']!r}, not one of {', '.join(kinds)}")
    rule = read.get("normalization")
    if rule not in (None, *RULES):
        raise ValueError(f"its normalization is {rule!r}, not one of {', '.join(RULES)}")
    return kinds[read["kind"]](entries, closed=read.get("closed") is True, symbols=symbols, normalization=rule)
