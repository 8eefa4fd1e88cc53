"""Placeables: what programs put something in for, tags, addresses, numbers: letter for letter in a translation too."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from s2s.text.special import MASKS

STAND_IN = "\ufffc"
"""Stands for each character of a placeable where sentences are looked for."""

_LATIN = "a-z\u00c0-\u024f"
_URL = r"\w!$%&'*+,\-./:;=?@~()\[\]\#"
_NOT_IN_URL = "\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef"
"""Letters of Korean, Japanese and Chinese, which follow an address without a blank."""
PLACEABLE = re.compile(
    rf"""
    \[X\d{{1,9}}X\]                                                                     # Weblate's
    | (?a:(?<![\d%])%(?:\d{{1,2}}\$)?(?:[sd@%]|[-+]?\d{{0,3}}(?:\.\d)?(?:l?l?[dux]|[cfgis])(?![a-z])))   # printf's
    | %\([\w.-]{{1,100}}\)[-+\d.]{{0,9}}[a-z]
    | (?-i:\$[A-Z][A-Z_]+)(?![{_LATIN}\d])                                                  # a shell's
    | \{{\{{[^{{}}\n]{{1,100}}\}}\}} | \{{%[^{{}}\n]{{1,100}}%\}} | [$%\#@]?\{{[\w.:,!%+\[\]-]{{0,100}}\}}  # templates
    | </?[a-z][\w:-]{{0,40}}(?:\s[^<>\n]{{0,500}})?/?>                                  # tags
    | (?<!\w)(?:(?:https?|ftp)://|www\.)(?:(?![{_NOT_IN_URL}])[{_URL}])*(?![{_NOT_IN_URL}])[\w/=&~\#]
    | (?a:(?<![{_LATIN}\w.+-])[{_LATIN}\w.+-]{{1,64}}@(?:[{_LATIN}\w-]{{1,63}}\.){{1,8}}[a-z]{{2,24}})   # e-mail
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What programs read."""
_PICTURE = r"[\u203c-\u3299\U0001f000-\U0001faff](?:\ufe0f|[\U0001f3fb-\U0001f3ff]|[\U000e0020-\U000e007f]+)*"
_CURRENCY = "$€£¥₩₹₽₺"
_AMOUNT = r"(?:\d{1,3}(?:\ \d{3})+|\d+(?:[.,:/’'\u00a0\u202f-]\d+)+|\d{2,})"
NUMBER = re.compile(
    rf"""
    (?<![{_LATIN}\d_])(?<!\d[.,:/’'\u00a0\u202f-])(?<![{_CURRENCY}])[+-]?(?:
        [{_CURRENCY}]\ ?(?:{_AMOUNT}|\d) | (?:{_AMOUNT}|\d)\ ?(?:%(?![a-z\d(])|[{_CURRENCY}])
        | {_AMOUNT}                                                                     # not the one digit of a word
    )(?!\d|[.,:/]\d|(?:st|nd|rd|th|s)(?![{_LATIN}]))
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Numbers of several digits with their marks, dates, times, prices, shares; no ordinals, and no part of a word."""
EMOJI = re.compile(
    rf"(?:[\d#*]\ufe0f?\u20e3|[\U0001f1e6-\U0001f1ff]{{2}}"
    rf"|(?=[\U0001f000-\U0001faff\u231a\u231b\u23e9-\u23f3\u25fd\u25fe\u2600-\u27bf\u2b05-\u2b55]|.[\ufe0f\u200d]){_PICTURE}(?:\u200d{_PICTURE})*)+"
)
"""A run of emoji, each with what belongs to it: variation, skin, flags, and joined ones."""
_MASK = re.compile(f"[{''.join(MASKS)}]")


def cover(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with STAND_IN for each character of the spans."""
    pieces, place = [], 0
    for start, end in spans:
        pieces += [text[place:start], STAND_IN * (end - start)]
        place = end
    return "".join([*pieces, text[place:]])


class Masked(NamedTuple):
    """A text with masks in the place of its placeables."""

    text: str
    pieces: tuple[str, ...] = ()
    """what the masks stand for, by their number"""

    def keeps_all(self, output: str) -> bool:
        """Whether an output has the mask of each piece once, and no other."""
        return sorted(_MASK.findall(output)) == [*MASKS[: len(self.pieces)]]

    def filled(self, output: str) -> str:
        """An output with the pieces in the place of the masks."""
        return _MASK.sub(lambda found: "".join(self.pieces[MASKS.index(found[0]) :][:1]), output)


class Protection(NamedTuple):
    """What must not change."""

    patterns: tuple[re.Pattern[str], ...]
    masks: bool = False
    """whether a translator masks it, as data.protect has it"""
    around: tuple[re.Pattern[str], ...] = ()
    """what is never masked, and translated around"""

    def cuts(self, text: str) -> list[tuple[int, int]]:
        """Where the text is cut in parts that are translated by themselves."""
        return Protection(self.around).spans(text) if self.masks else self.spans(text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the placeables are, in order; of two that overlap the one that begins first, or else is longer."""
        found = sorted(
            (each.start(), -each.end())
            for pattern in (*self.patterns, *self.around)
            for each in pattern.finditer(text)
            if each[0]
        )
        spans: list[tuple[int, int]] = []
        for start, negative_end in found:
            if not spans or start >= spans[-1][1]:
                spans.append((start, -negative_end))
        return spans

    def masked(self, line: str) -> Masked | None:
        """The line with numbered masks; None where it has more placeables than there are masks."""
        spans = self.spans(line)
        pieces = tuple(line[start:end] for start, end in spans)
        return Masked(_replaced(line, spans, MASKS), pieces) if len(pieces) <= len(MASKS) else None

    def masked_target(self, masked: Masked, target: str) -> str:
        """A translation of a masked line with its masks, as it was found, where it has each piece once."""
        free, spans, masks = list(enumerate(masked.pieces)), [], []
        for start, end in self.spans(target):
            found = next((each for each in free if each[1] == target[start:end]), None)
            if found:
                free.remove(found)
                spans.append((start, end))
                masks.append(MASKS[found[0]])
        return target if free else _replaced(target, spans, masks)

    def masked_pair(self, source: str, target: str) -> tuple[str, str]:
        """A training pair with masks for the placeables that both sides have equally often; others stay.

        Their numbers begin where the source says, so that all masks are learned alike.
        """
        sides = [(text, self.spans(text)) for text in (source, target)]
        counts = [Counter(text[start:end] for start, end in spans) for text, spans in sides]
        agreed = {piece for piece, count in counts[0].items() if counts[1][piece] == count}
        shared = [[span for span in spans if text[slice(*span)] in agreed] for text, spans in sides]
        if not 0 < len(shared[0]) <= len(MASKS):
            return tuple(_MASK.sub("", text) for text in (source, target))  # type: ignore[return-value]
        first = crc32(source.encode("utf-8", "surrogatepass"))
        numbered = [MASKS[(first + place) % len(MASKS)] for place in range(len(shared[0]))]
        free: dict[str, list[str]] = {}
        for (start, end), mask in zip(shared[0], numbered, strict=True):
            free.setdefault(source[start:end], []).append(mask)
        answering = [free[target[start:end]].pop(0) for start, end in shared[1]]
        return _replaced(source, shared[0], numbered), _replaced(target, shared[1], answering)


def _replaced(text: str, spans: Sequence[tuple[int, int]], masks: Sequence[str]) -> str:
    """The text with masks for its spans, and no other mask that it may have had."""
    pieces, place = [], 0
    for (start, end), mask in zip(spans, masks, strict=False):
        pieces += [_MASK.sub("", text[place:start]), mask]
        place = end
    return "".join([*pieces, _MASK.sub("", text[place:])])


FOR_PROGRAMS = Protection((PLACEABLE,))
"""What programs read, and no numbers or emoji."""


@lru_cache
def protection(protect: bool | tuple[str, ...]) -> Protection:
    """That of data.protect: the default patterns, and regular expressions besides; re.error for what is none."""
    own = protect if isinstance(protect, tuple) else ()
    return Protection((*map(re.compile, own), _MASK, PLACEABLE, NUMBER, EMOJI), masks=bool(protect))


def invented(source: str, output: str) -> tuple[str, ...]:
    """What programs read in an output that its source has not, or not so often."""
    made = Counter(each[0] for each in PLACEABLE.finditer(output))
    return tuple((made - Counter(each[0] for each in PLACEABLE.finditer(source))).elements()) if made else ()
