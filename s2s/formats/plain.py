"""Units of a memory whose variants hold nothing but text, found by patterns, many times as fast as by a parser.

What the patterns leave alone, and where they may look, is for the parser to say: what they find is as it would read it.
"""

import re
import sys
from collections.abc import Sequence
from itertools import chain

from s2s.formats.units import one_line

_BLANKS = rb"[ \t\r\n]*+"
_KEPT = rb"(?:[^<&\x00-\x08\x0b\x0c\x0e-\x1f]++|&(?:lt|gt|quot|apos|amp);)*+"
"""A text that is of no use."""
_MORE = rb"""(?:[ \t\r\n]++(?!(?:xml:)?lang=)[A-Za-z_:][\w:.-]*+="[^"<&\x00-\x1f]*+")*+"""
"""Other attributes of an element."""
_NOTES = rb"(?:<(?:note%b>%b</note|prop%b>%b</prop)>%b)*+" % (_MORE, _KEPT, _MORE, _KEPT, _BLANKS)
_CONTROLS = bytes({*range(1, 32)} - {*b"\t\r\n"})
_REFERENCE = re.compile(rb"&(?:#0*(\d{1,7});|#x0*([\da-fA-F]{1,6});|(?:lt|gt|quot|apos|amp);)?")
_REFERENCES = {b"&lt;": b"<", b"&gt;": b">", b"&quot;": b'"', b"&apos;": b"'", b"&amp;": b"&"}
_NO_CHARACTER = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class PlainUnits:
    """Those with one text in each of two languages."""

    def __init__(self, codes: Sequence[str]) -> None:
        """Codes of the source and the target, as they stand in the file."""
        self.source, code = codes[0], b"|".join(re.escape(code.encode()) for code in codes)

        def variant(language: bytes, text: bytes, more: bytes = b"", notes: bytes = b"") -> bytes:
            tag = rb"""<tuv%b (?:xml:)?lang="%b"%b>%b""" % (more, language, more, _BLANKS)
            return rb"%b%b<seg>%b</seg>%b</tuv>%b" % (tag, notes, text, _BLANKS, _BLANKS)

        def unit(more: bytes = b"", notes: bytes = b"", others: bytes = b"") -> re.Pattern[bytes]:
            first = variant(b"(%b)" % code, b"([^<]*+)", more, notes)
            second = variant(rb"(?!\1\")(?:%b)" % code, b"([^<]*+)", more, notes)
            begin = rb"%b<tu%b>%b" % (_BLANKS, more, _BLANKS)
            return re.compile(begin + notes + others + first + others + second + others + b"</tu>")

        others = variant(rb"""(?! *(?:%b) *")[^"<&\x00-\x1f]*+""" % code, _KEPT, _MORE, _NOTES)
        self.patterns = unit(), unit(_MORE, _NOTES, b"(?:%b)*+" % others)
        """without anything else in a unit, which is twice as fast, and with what may stand there"""

    def found(self, data: bytes, place: int, end: int = sys.maxsize) -> tuple[list[tuple[str, str]], int]:
        """Source and target of each from a place on, in one line each, and where they end; at most to an end."""
        for pattern in self.patterns:
            if units := [*iter(pattern.scanner(data, place, end).match, None)]:  # type: ignore[attr-defined]
                break
        else:
            return [], place
        try:
            _require_characters(data[place : units[-1].end()], decode=pattern is not self.patterns[0])
            texts = iter(_texts([*chain.from_iterable(unit.groups() for unit in units)]))
        except ValueError:  # that the parser will say, once it comes to the unit
            return self.found(data, place, units[len(units) // 2 - 1].end()) if len(units) > 1 else ([], place)
        triples = zip(texts, texts, texts, strict=True)
        pairs = [(one, other) if code == self.source else (other, one) for code, one, other in triples]
        return pairs, units[-1].end()


def _require_characters(raw: bytes, *, decode: bool) -> None:
    """ValueError for what XML does not have in a text, of use or not; `decode` where not all will be decoded."""
    if (b"]" in raw and b"]]>" in raw) or (b"\xef" in raw and (b"\xef\xbf\xbe" in raw or b"\xef\xbf\xbf" in raw)):
        raise ValueError("no text")
    if decode:
        raw.decode()


def _texts(pieces: Sequence[bytes]) -> list[str]:
    """Pieces of XML as texts, in one line each; ValueError for a control character."""
    raw = b"\0".join(pieces)
    if len(raw.translate(None, _CONTROLS)) < len(raw):
        raise ValueError("no text")
    raw = _REFERENCE.sub(_character, raw) if b"&" in raw else raw
    if raw.count(b"\0") >= len(pieces):
        raise ValueError("NUL bytes")
    texts = [each.decode().strip(" ") for each in raw.split(b"\0")]
    return [*map(one_line, texts)] if b"\n" in raw or b"\t" in raw or b"\r" in raw else texts


def _character(reference: re.Match[bytes]) -> bytes:
    if reference[0] in _REFERENCES:
        return _REFERENCES[reference[0]]
    decimal, hexadecimal = reference.groups()
    character = chr(int(decimal) if decimal else int(hexadecimal or b"none", 16))
    if _NO_CHARACTER.match(character):
        raise ValueError("no text")
    return character.encode()
