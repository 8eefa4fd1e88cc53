"""Units of a file: what is translated together, and what its translation takes the place of."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from s2s.errors import DataError
from s2s.text.codes import NAMES, base
from s2s.text.documents import Document, plain
from s2s.text.placeables import Protection
from s2s.translation.reading import Reading

ENTITY = re.compile(r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]\w{1,30});", re.IGNORECASE)
NUMBERED = re.compile(r"%L?\d{1,2}(?!\d|\s?%)|%n(?![a-z])", re.IGNORECASE)
"""Qt's placeholders."""
_TAG = re.compile(r"<(/?)([a-z][\w:-]*)[^<>]*?(/?)>", re.IGNORECASE)


class Unfit(ValueError):
    """A translation that cannot stand in its place; the message says why."""


class Unit(NamedTuple):
    """Something to be translated: a message, a segment, a paragraph, some subtitles."""

    start: int
    end: int
    """characters of the file that are written anew"""
    documents: Callable[[Reading], Sequence[Document]]
    """its texts, of which a message with a plural has two; none where something else than text is filled in"""
    written: Callable[[Sequence[str]], str]
    """what stands from start to end with translations of its texts; Unfit where these cannot"""


class Found(NamedTuple):
    """What is in a file."""

    units: Sequence[Unit]
    kept: int = 0
    """units that have a translation already"""
    left: Sequence[tuple[int, str]] = ()
    """place and reason of each that cannot be translated"""


def missing(what: str) -> DataError:
    """The error where the package that reads something is not installed."""
    return DataError(f"{what}, which is not installed: pip install 's2s[files]'")


def require_language(found: str, language: str, name: str) -> None:
    """DataError where a file says that it is in another language than the run's."""
    codes = base(found), base(language)
    if found and codes[0] != codes[1] and {*codes} <= NAMES.keys():
        raise DataError(f"{name} is {found}, and the run has {language} there; take a run for these languages")


def keeping(reading: Reading, *around: re.Pattern[str]) -> Protection:
    """What must not change in files, besides what must not in lines."""
    return reading.kept._replace(around=(ENTITY, NUMBERED, *around))


def message(text: str, reading: Reading, *around: re.Pattern[str]) -> Document:
    """A text whose line ends stay, as those of a program's messages."""
    return plain(text, reading.source, target=reading.target, kept=keeping(reading, *around))


def paragraph(text: str, reading: Reading, *around: re.Pattern[str]) -> Document:
    """A text whose sentences go on over line ends."""
    return plain(text, reading.source, split="nonewlines", target=reading.target, kept=keeping(reading, *around))


def fault(sentence: str, output: str, kept: Protection) -> str | None:
    """What a translation has lost, doubled, invented or put where it cannot stand; None where all is well."""
    if not output.strip():
        return "its translation is empty"
    before, after = (Counter(text[start:end] for start, end in kept.spans(text)) for text in (sentence, output))
    for piece in {**before, **after}:
        if before[piece] != after[piece]:
            return f"{piece[:60]!r}: {before[piece]} in the source, {after[piece]} in the translation"
    if _is_nested(sentence) and not _is_nested(output):
        return "its tags came back in another order, one across the other"
    return None


def _is_nested(text: str) -> bool:
    """Whether each tag that ends an element ends the one that was opened last."""
    opened: list[str] = []
    for found in _TAG.finditer(text):
        end, name, closed = found.groups()
        if not end and not closed:
            opened.append(name)
        elif end and (not opened or opened.pop() != name):
            return False
    return not opened
