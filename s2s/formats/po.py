"""PO files of gettext: entries with their lines, and which of them are pairs.

- Left out are the header, entries that are `obsolete` (#~) or `fuzzy`, and those without a translation (`empty`).
- The charset is that of the header, else UTF-8; a byte-order mark is dropped; escapes are decoded (\\n, \\", \\t).
- Translations are in the header's Language, or else in the target language. Where that is the recipe's source, the
  pairs are turned round. What they are translated from is X-Source-Language, which most files leave unsaid.
- Of plurals there are two pairs: msgid with the form of 1, and msgid_plural with that of 100, by Plural-Forms; where
  these are one form, as in Japanese, only the second. Each counts as a unit.
- Contexts (msgctxt) tell entries apart, and are no part of a text.
"""

import gettext
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from s2s.errors import DataError
from s2s.formats.units import NOTE, fault_of, one_line
from s2s.text.lines import BYTE_ORDER_MARK
from s2s.text.packed import opened

LONGEST = 1 << 24
"""Bytes of a line, and characters of an entry, that are held in memory."""
_HEAD_BYTES = 1 << 16
_CHARSET = re.compile(rb"charset=([\w.:+-]+)")
_LINE = re.compile(r'(?:(msgctxt|msgid_plural|msgid|msgstr(?:\[\d{1,3}\])?)\s*)?"((?:[^"\\]|\\.)*)"\s*')
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))")
_ORDER = "an entry is msgctxt, msgid, msgid_plural, msgstr in this order, each once at most"
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Entry(NamedTuple):
    """An entry, decoded."""

    line: int
    """of its first text"""
    is_obsolete: bool
    flags: frozenset[str]
    texts: dict[str, str]
    """by keyword: msgctxt, msgid, msgid_plural, msgstr or msgstr[0] and so on"""

    @property
    def is_header(self) -> bool:
        """Whether its msgid is empty, and it has no context."""
        return not (self.texts["msgid"] or self.is_obsolete or "msgctxt" in self.texts)

    @property
    def fault(self) -> str | None:
        """Why its translations do not count."""
        return "obsolete" if self.is_obsolete else "fuzzy" if "fuzzy" in self.flags else None

    def translations(self, forms: tuple[int, int]) -> list[tuple[str, str]]:
        """Texts and their translations, by the numbers of the plural forms of 1 and of 100."""
        texts = self.texts
        if "msgid_plural" not in texts:
            return [(texts["msgid"], texts.get("msgstr", ""))]
        one, many = (texts.get(f"msgstr[{form}]", "") for form in forms)
        return [(texts["msgid"], one)] * (forms[0] != forms[1]) + [(texts["msgid_plural"], many)]

    @property
    def fields(self) -> dict[str, str]:
        """Those of a header, by their names in small letters."""
        lines = (line.partition(":") for line in self.texts.get("msgstr", "").split("\n"))
        return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def charset_of(head: bytes) -> str:
    """The charset that the beginning of a file names."""
    found = _CHARSET.search(head)
    return found[1].decode() if found and found[1] != b"CHARSET" else "utf-8"


def entries(file: BufferedReader, path: Path) -> Iterator[Entry]:
    """The entries of a file in their order; DataError, with its line, for what is not PO or not of its charset."""
    texts, flags, key, begun, size = dict[str, list[str]](), set[str](), "", (0, False), 0
    for number, is_obsolete, keyword, value in chain(_parts(file, path), [(0, False, "#", "")]):
        if key.startswith("msgstr") and keyword in ("#", ",", "msgctxt", "msgid"):
            yield Entry(*begun, frozenset(flags), {name: "".join(parts) for name, parts in texts.items()})
            texts, flags, key, size = {}, set(), "", 0
        if keyword == ",":
            flags.update(flag.strip() for flag in value.split(","))
        elif keyword != "#":
            if not texts:
                begun = number, is_obsolete
            key, size = keyword or key, size + len(value)
            is_new = bool(keyword) and keyword not in texts
            if not (is_new or (key and not keyword)) or ("msgid" in texts) < key.startswith("msgstr"):
                raise DataError(f"{path}, line {number:,}: {_ORDER}")
            if size > LONGEST:
                raise DataError(f"{path}, line {number:,}: the entry has more than {LONGEST:,} characters; split it")
            texts.setdefault(key, []).append(value)
    if texts:
        raise DataError(f"{path}, line {begun[0]:,}: the entry has no msgstr; is the file cut off? {_ORDER}")


def languages(path: Path) -> tuple[list[str], list[str]]:
    """The languages that a file is translated from and to, as far as its header says."""
    with opened(path) as file:
        first = next(entries(file, path), None)
    fields = first.fields if first and first.is_header else {}
    source, target = fields.get("x-source-language"), fields.get("language")
    return [source] if source else [], [target] if target else []


def pairs(path: Path, wanted: Sequence[str], counts: Counter[str], *, is_turned: bool) -> Iterator[tuple[str, str]]:
    """Pairs of a file; with `is_turned` from the translations to what they are made of."""
    forms = (0, 1)
    with opened(path) as file:
        for entry in entries(file, path):
            if entry.is_header:
                forms = _forms(entry, path)
                continue
            for source, target in entry.translations(forms):
                pair = one_line(source), one_line(target)
                fault = entry.fault or fault_of(*pair, wanted)
                if fault:
                    counts[fault] += 1
                else:
                    counts[NOTE + "of plurals"] += "msgid_plural" in entry.texts
                    yield pair[::-1] if is_turned else pair


def _forms(header: Entry, path: Path) -> tuple[int, int]:
    """Numbers of the forms of 1 and of 100."""
    rule = re.search(r"plural\s*=\s*([^;]*)", header.fields.get("plural-forms", "").partition(";")[2])
    said = rule[1].strip() if rule else "EXPRESSION"  # as in a template
    try:
        form = gettext.c2py("n != 1" if said == "EXPRESSION" else said)
        return form(1), form(100)
    except (ValueError, RecursionError, ArithmeticError) as problem:
        raise DataError(f"{path}, line {header.line:,}: Plural-Forms cannot be read: {problem}; mend them") from None


def _parts(file: BufferedReader, path: Path) -> Iterator[tuple[int, bool, str, str]]:
    """Number of each line of use, whether it is obsolete, its keyword, and its text.

    The keyword is `,` for flags, nothing for a text that goes on, and `#` for what can only stand before an entry.
    """
    charset = charset_of(file.peek(_HEAD_BYTES))
    for number, data in enumerate(iter(partial(file.readline, LONGEST), b""), start=1):
        try:
            line = data.removeprefix(BYTE_ORDER_MARK if number == 1 else b"").decode(charset).strip()
        except (UnicodeDecodeError, LookupError) as problem:
            raise DataError(
                f"{path}, line {number:,}: is not in the charset of the file's header, {charset} ({problem}); mend the"
                " header, or save the file in that charset"
            ) from None
        is_obsolete = line.startswith("#~")
        line = line[2:].strip() if is_obsolete else line
        if not line or line[0] == "|":
            continue
        if line[0] == "#":
            yield number, is_obsolete, "," if line[1:2] in (",", "=") else "#", line[2:]
        elif match := _LINE.fullmatch(line):
            yield number, is_obsolete, match[1] or "", unescaped(match[2])
        else:
            shown = line if len(line) <= 40 else f"{line[:39]}…"
            raise DataError(
                f"{path}, line {number:,}: is no line of a PO file: {shown}; texts stand in quotes behind msgid or"
                " msgstr, and close in their line, with a backslash before quotes in them"
            )


def unescaped(text: str) -> str:
    """What stands between quotes, without backslashes."""
    return _ESCAPE.sub(_char, text)


def _char(match: re.Match[str]) -> str:
    octal, hexadecimal, letter = match.groups()
    return chr(int(octal, 8)) if octal else chr(int(hexadecimal, 16)) if hexadecimal else ESCAPES.get(letter, letter)
