"""Forms that people write a line in and corpora seldom have: capitals, title case, small letters, no final mark."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from s2s.text.placeables import cover, protection
from s2s.text.sentences import MARKS

_WORD_BEGINS = re.compile(r"(?<![\w'’\u0300-\u036f])[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FEWEST_WORDS, _FEWEST_TITLED = 3, 5
"""In a line of fewer, capitals may be those of an abbreviation or a name."""


def _title(text: str) -> str:
    return _WORD_BEGINS.sub(lambda found: found[0].title(), text)


_FORMS: Final[Mapping[str, Callable[[str], str]]] = {"capitals": str.upper, "title": _title, "small": str.lower}


def formed(line: str, form: str) -> str:
    """A line in a form, its placeables as they are."""
    if form == "unmarked":
        return line.rstrip().rstrip(MARKS).rstrip()
    pieces, place = [], 0
    for start, end in protection(True).spans(line):
        pieces += [_FORMS[form](line[place:start]), line[start:end]]
        place = end
    return "".join([*pieces, _FORMS[form](line[place:])])


def formed_pairs(pairs: Iterator[tuple[str, str]], form: str) -> Iterator[tuple[str, str]]:
    """The pairs whose source a form changes, with it; targets have capitals and title case too.

    Who leaves out capitals or a mark does not ask for a translation without them.
    """
    for source, target in pairs:
        given = formed(source, form)
        if given != source and given.strip():
            yield given, formed(target, form) if form in ("capitals", "title") else target


def form_of(line: str) -> str | None:
    """What the letters of a line are unlike those of most text in: capitals, title (case), or full_width (letters)."""
    composed = unicodedata.normalize("NFC", line)
    words = _WORD.findall(cover(composed, protection(True).spans(composed)))
    if not composed.isascii() and "F" in map(unicodedata.east_asian_width, "".join(words)):
        return "full_width"
    if len(words) < _FEWEST_WORDS or not any(map(str.islower, map(str.lower, words))):
        return None
    if all(word.replace("ß", "").isupper() for word in words):
        return "capitals"
    return "title" if len(words) >= _FEWEST_TITLED and all(word[0].isupper() for word in words) else None
