"""TMX 1.1 to 1.4b, the translation memories of tools and of OPUS: which units are pairs.

- Of each unit one text in each of the two languages is taken, whatever others it has, in whatever order, by the
  recipe's direction. A unit that lacks one is counted as `without` it.
- Of several variants in one language the first is taken, and the others are counted.
- The content of bpt, ept, ph, it, ut is code and left out; that of hi, sub, and of all other elements, is text.
- TMX knows no fuzzy units.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from s2s.formats.plain import PlainUnits
from s2s.formats.units import NOTE, fault_of
from s2s.formats.xml import LONGEST, Elements
from s2s.text.packed import opened

CODE = frozenset(("bpt", "ept", "ph", "it", "ut"))
"""Elements of a text that hold code, which is left out; `sub` in them, `hi` and others hold text."""
_LANGUAGE = re.compile(rb"""<tuv\s[^<>]*?\blang\s*=\s*["']\s*([^"'<>]*?)\s*["']""")
_UTF8 = re.compile(
    rb"(?:\xef\xbb\xbf)?<(?:[!t]|\?xml(?:(?!encoding)[^>])*(?:encoding\s*=\s*[\"']utf-8[\"'][^>]*)?>)", re.I
)
_END = b"</tu>"
_BLOCK = 1 << 20


def languages(path: Path) -> list[str]:
    """Codes of the variants of a file, each once, found without reading it as XML."""
    found, rest = set[bytes](), b""
    with opened(path) as file:
        for block in iter(partial(file.read, _BLOCK), b""):
            block = rest + (block.replace(b"\0", b"") if b"\0" in block else block)  # UTF-16, but the codes are ASCII
            tags = [b'<tuv xml:lang="%b">' % code for code in [*found][:2]]
            if block.count(b"<tuv") > sum(map(block.count, tags)):  # which takes half of the time of the search
                found.update(_LANGUAGE.findall(block))
            rest = block[block.rfind(b"<") :][:_BLOCK]
    return sorted(code.decode("ascii", "replace") for code in found)


def pairs(path: Path, wanted: Sequence[str], codes: Sequence[str], counts: Counter[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a file by the codes of their languages there."""
    units = Units(path, wanted, codes, counts)
    with opened(path) as file:
        yield from units.parse(file, units.found)


class Units(Elements):
    """The units of a file as pairs; those that give none are counted by their reason."""

    code = CODE

    def __init__(self, path: Path, wanted: Sequence[str], codes: Sequence[str], counts: Counter[str]) -> None:
        super().__init__(path)
        self.wanted, self.counts = wanted, counts
        self.sides = {code: side for side, code in enumerate(codes)}
        self.found: list[tuple[str, str]] = []
        self.texts: list[str | None] = []
        """of source and target; empty outside of units"""
        self.side: int | None = None
        """of the variant that is read, where it is wanted"""
        self.plain = PlainUnits(codes)
        self.is_utf8 = self.is_between = False
        self.ended, self.held = -1, b""

    def feed(self, block: bytes, *, final: bool = False) -> None:
        """Parse the next bytes, without those of plain units, which is ten times as fast.

        Such units are taken only right behind the end of a unit that the parser saw, so in no comment or CDATA; it gets
        their line breaks, for the line numbers of messages.
        """
        if not self.fed:
            self.is_utf8 = _UTF8.match(block) is not None
        data, place = self.held + block, 0
        while self.is_utf8 and not final:
            while self.is_between and (end := self._take_plain(data, place)) > place:
                super().feed(b"\n" * data.count(b"\n", place, end))
                place = end
            end = data.find(_END, place) + len(_END)
            if end < len(_END):
                break
            super().feed(data[place:end])
            self.is_between, place = self.ended == self.fed - len(_END), end
        if self.is_utf8 and not final and len(data) - place < LONGEST:
            self.held = data[place:]
        else:
            self.held, self.is_between = b"", False
            super().feed(data[place:], final=final)

    def _take_plain(self, data: bytes, place: int) -> int:
        """End of the plain units from a place on, which are found or counted."""
        pairs, end = self.plain.found(data, place)
        for pair in pairs:
            is_odd = "{" in pair[0] or not (pair[0].strip() and pair[1].strip())
            if is_odd and (fault := fault_of(*pair, self.wanted)):
                self.counts[fault] += 1
            else:
                self.found.append(pair)
        return end

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "seg":
            if self.side is not None:
                self.listen()
        elif name == "tuv":
            code = attributes.get("xml:lang") or attributes.get("lang") or ""
            self.side = self.sides.get(code.strip()) if self.texts else None
        elif name == "tu":
            if self.texts:
                self.fault("a unit begins in another; close the one before with </tu>")
            self.texts = [None, None]
        else:
            self.deeper()

    def finish(self, name: str) -> None:
        if name == "seg":
            if self.side is not None:
                text = self.heard()
                if self.texts[self.side] is None:
                    self.texts[self.side] = text
                else:
                    self.counts[NOTE + "other variants"] += 1
        elif name == "tu":
            source, target = self.texts
            self.texts, has_code, self.has_code = [], self.has_code, False
            self.ended = self.parser.CurrentByteIndex
            if fault := fault_of(source, target, self.wanted):
                self.counts[fault] += 1
            elif source and target:
                self.counts[NOTE + "with code"] += has_code
                self.found.append((source, target))
        elif name == "tuv":
            self.side = None
        else:
            self.deeper(-1)
