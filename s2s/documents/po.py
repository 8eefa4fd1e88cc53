r"""PO files of gettext: messages without a translation get one, and are marked as fuzzy.

The header, obsolete messages and those with a translation, fuzzy or not, stay. A message with a plural gets as many
forms as the header says: the first from the singular, if that is for one thing alone or has the places to fill in that
the plural has, the others from the plural. In a template the header's places for charset, language and plural forms are
filled in. Strings are broken behind `\n`, and no wider than those of a msgid that is broken.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from s2s.documents.units import Found, Unfit, Unit, message, missing, require_language
from s2s.errors import DataError
from s2s.formats.po import ESCAPES, unescaped
from s2s.text.codes import canonical
from s2s.text.documents import Document
from s2s.text.placeables import PLACEABLE
from s2s.translation.reading import Reading

PRINTF = re.compile(
    r"%(?:\d{1,2}\$|\(\w{1,99}\))?[-+ #0']{0,5}(?:\d{1,4}|\*)?(?:\.(?:\d{1,4}|\*))?"
    r"(?:<PRI\w+>|(?:hh|ll|[hlLqjzt])?[a-zA-Z@%])"
)
"""What messages flagged as formats of C, Python and others leave to be filled in."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_KEYWORD = re.compile(r"(msgctxt|msgid_plural|msgid|msgstr(?:\[\d{1,2}\])?)\s*(?=\")")
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"\s*')
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', **{char: f"\\{name}" for name, char in ESCAPES.items()}})
_OPEN_FORMS = "nplurals=INTEGER; plural=EXPRESSION;"


@dataclass
class _Message:
    """One message, as it stands in the file."""

    start: int = -1
    """where its line of flags is, or would be"""
    flags: str = ""
    """the whole line"""
    forms: int = -1
    """where msgstr begins"""
    end: int = -1
    strings: dict[str, list[str]] = field(default_factory=dict)
    """escaped, by keyword, in the pieces that they stand in"""

    def text(self, keyword: str) -> str:
        return unescaped("".join(self.strings[keyword]))

    @property
    def translations(self) -> list[str]:
        return ["".join(self.strings[keyword]) for keyword in self.strings if keyword.startswith("msgstr")]


def read_po(text: str, reading: Reading, overwrite: bool) -> Found:
    """The messages of a PO file or a template; DataError with the line of what is none."""
    filled: list[Unit] = []
    units: list[Unit] = []
    kept, header = 0, _Header("", None, False)
    newline = "\r\n" if "\r\n" in text else "\n"
    for each in _messages(text):
        if not any(each.strings["msgid"]) and "msgctxt" not in each.strings:
            header = _filled_in(text[each.forms : each.end], reading.target)
            filled = [Unit(each.forms, each.end, lambda _: (), lambda _, header=header: header.text)]  # type: ignore[misc]
        elif overwrite or not any(each.translations):
            units.append(_unit(text, each, header, newline))
        else:
            kept += 1
    return Found(sorted(filled + units, key=lambda unit: unit.start) if units else (), kept)


class _Header(NamedTuple):
    """The header's msgstr."""

    text: str
    forms: int | None
    """of a plural, None where it does not say"""
    singular: bool
    """whether the first is for one thing and nothing else"""


def _filled_in(header: str, target: str) -> _Header:
    """The header, with what a template leaves open."""
    header = header.replace("charset=CHARSET", "charset=UTF-8")
    if _OPEN_FORMS in header:
        try:
            from translate.lang import data  # knows the plurals of most languages
        except ImportError:
            raise missing("a template's plural forms are filled in from translate-toolkit") from None
        code = canonical(target).replace("-", "_")
        _, known, rule = data.languages.get(code) or data.languages.get(code.split("_")[0]) or ("", 0, "")
        if known:
            header = header.replace(_OPEN_FORMS, f"nplurals={known}; plural={rule};")
        header = header.replace('"Language: \\n"', f'"Language: {code}\\n"')
    language = re.search(r'"Language: *([\w@-]+)', header)
    require_language(language[1] if language else "", target, "its Language")
    forms = re.search(r"nplurals\s*=\s*(\d{1,2})\s*;", header)
    singular = re.search(r"plural\s*=\s*\(*\s*n\s*(?:!=\s*1\b|==\s*1\b\s*\)*\s*\?\s*0)", header)
    return _Header(header, int(forms[1]) if forms else None, singular is not None)


def _filled(text: str) -> list[str]:
    """What a program puts something in for."""
    return sorted(found[0] for pattern in (PRINTF, PLACEABLE) for found in pattern.finditer(text))


def _unit(text: str, each: _Message, header: _Header, newline: str) -> Unit:
    plural = "msgid_plural" in each.strings
    count = header.forms or len(each.translations)
    around = [PRINTF] if re.search(r"(?<!no-)\b\w+-format", each.flags) else []
    asked = ["msgid_plural" if plural else "msgid"]
    if plural and count > 1 and (header.singular or _filled(each.text("msgid")) == _filled(each.text("msgid_plural"))):
        asked = ["msgid", "msgid_plural"]

    def documents(reading: Reading) -> list[Document]:
        return [message(each.text(keyword), reading, *around) for keyword in asked]

    def written(translations: Sequence[str]) -> str:
        for keyword, translation in zip(asked, translations, strict=True) if around else ():
            if _filled(translation) != _filled(each.text(keyword)):
                raise Unfit(f"it has other places to fill in than {each.flags[2:].strip()} has")
        flags = each.flags or f"#,{newline}"
        flags = flags if "fuzzy" in flags else flags.replace("#,", "#, fuzzy,", 1).replace(f",{newline}", newline)
        strings = [
            _string(each.strings[keyword], translation)
            for keyword, translation in zip(asked, translations, strict=True)
        ]
        lines = [f"msgstr[{form}] {strings[min(form, len(strings) - 1)]}" for form in range(count)]
        lines = lines if plural else [f"msgstr {strings[0]}"]
        return flags + text[each.start + len(each.flags) : each.forms] + "\n".join(lines).replace("\n", newline)

    return Unit(each.start, each.end, documents, written)


def _string(like: Sequence[str], text: str) -> str:
    """A text in quotation marks, on several lines where it has line ends, or where another one is broken."""
    lines = [line.translate(_ESCAPED) for line in re.findall(r"[^\n]*\n|[^\n]+", text)]
    if len(like) > 1:
        width = max(20, *map(len, like))
        lines = [piece for line in lines for piece in _wrapped(line, width)]
    return f'"{lines[0]}"' if len(lines) == 1 else "\n".join(['""', *(f'"{line}"' for line in lines)])


def _wrapped(line: str, width: int) -> Iterator[str]:
    """A line in pieces that end behind a space, none longer than the width but for a long word."""
    while len(line) > width:
        end = line.rfind(" ", 0, width) + 1 or line.find(" ") + 1
        if not 0 < end < len(line):
            break
        yield line[:end]
        line = line[end:]
    yield line


def _messages(text: str) -> Iterator[_Message]:
    """The messages, but for obsolete ones."""
    now, keyword = _Message(), ""
    for number, line in enumerate(_LINE.finditer(text), start=1):
        raw = line[0].strip("\ufeff \t\r\n")
        found = _KEYWORD.match(raw)
        begins = raw[:1] == "#" or (found and found[1] in ("msgctxt", "msgid"))
        if now.forms >= 0 and (begins or not raw):
            yield now
            now, keyword = _Message(), ""
        if raw.startswith("#"):
            now = _Message() if raw.startswith("#~") else now
            if raw.startswith("#,") and not now.flags:
                now.start, now.flags = line.start(), line[0]
            elif raw.startswith("#|") and now.start < 0:
                now.start = line.start()
        elif raw:
            now.start = line.start() if now.start < 0 else now.start
            _add(
                now,
                number,
                keyword := found[1] if found else keyword,
                raw[found.end() :] if found else raw,
                bool(found),
            )
            if keyword.startswith("msgstr"):
                now.forms = line.start() if now.forms < 0 else now.forms
                now.end = line.start() + len(line[0].rstrip())
    if now.forms >= 0:
        yield now
    elif now.strings:
        raise DataError(f"line {number:,}: the last message has no msgstr; is the file cut off?")


def _add(message: _Message, number: int, keyword: str, quoted: str, begins: bool) -> None:
    """Add a line of a string to a message."""
    pieces = _STRING.findall(quoted)
    if not keyword or not re.fullmatch(f"(?:{_STRING.pattern})+", quoted):
        raise DataError(f"line {number:,}: is no part of a PO file ({quoted!r:.40}); is it damaged, or cut off?")
    if begins and keyword in message.strings:
        raise DataError(f"line {number:,}: the message has another {keyword} already; remove one")
    if keyword.startswith("msgstr") and "msgid" not in message.strings:
        raise DataError(f"line {number:,}: {keyword} stands without a msgid; is a line missing?")
    message.strings.setdefault(keyword, []).extend(pieces)
