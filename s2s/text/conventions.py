"""Conventions of other programs, recognised where they would be taken for text: encodings, separators, escapes."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from s2s.errors import DataError

SAMPLE_BYTES = 4096
"""Bytes at the beginning of a text that its encoding is recognised by."""
_MARKS = {
    BOM_UTF8: None,
    BOM_UTF32_LE: "UTF-32LE",  # begins with the mark of UTF-16LE
    BOM_UTF32_BE: "UTF-32BE",
    BOM_UTF16_LE: "UTF-16LE",
    BOM_UTF16_BE: "UTF-16BE",
}
_PACKED = {
    b"\x1f\x8b\x08": "gzip",
    b"PK\x03\x04": "zip, as of a spreadsheet such as .xlsx",
    b"BZh91AY&SY": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_FEWEST_CHARACTERS = 4
_FEWEST_RETURNS = 2
_SEPARATORS = {",": "commas", ";": "semicolons", "|": "vertical bars"}
_CELL = re.compile(r'(?:^|\t)"((?:[^"\t]|"")*+)"(?=\t|$)')
_UNQUOTE = (
    """python3 -c 'import csv, sys; [print(*row, sep="\\t") for row in csv.reader(sys.stdin%s)]' < %s > table.tsv"""
)


def encoding_of(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 with its byte order, as iconv names it, by the beginning of a text; None for all others.

    Without a byte-order mark a sample has to read as letters and line ends in it: a NUL byte in UTF-8 is no sign.
    """
    for mark, encoding in _MARKS.items():
        if sample.startswith(mark):
            return encoding
    if 0 not in sample:
        return None
    return next((name for name in _MARKS.values() if name and _reads_as(sample, name)), None)


def _reads_as(sample: bytes, encoding: str) -> bool:
    try:
        text = getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    if len(text) < _FEWEST_CHARACTERS or not any(map(str.isalnum, text)):
        return False
    if not all(each.isprintable() or each.isspace() for each in text):
        return False
    narrow = sum(each < "\u0100" for each in text)
    ends = sample.count(b"\n")
    return 2 * narrow >= len(text) or 2 * text.count("\n") > ends > 0


def require_text(sample: bytes, origin: str) -> None:
    """DataError, which says how to convert it, for what begins as text in UTF-16 or UTF-32, or as a packed file."""
    for mark, kind in _PACKED.items():
        if sample.startswith(mark):
            ending = {"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}.get(kind)
            remedy = f"give it a name that ends in {ending}" if ending and not origin.endswith(ending) else "unpack it"
            raise DataError(f"{origin}: this is no text, but packed ({kind}); {remedy}")
    if encoding := encoding_of(sample):
        raise DataError(
            f"{origin}: the text is in {encoding}, and s2s reads UTF-8; save it as UTF-8, or convert it"
            f" (iconv -f {encoding} -t UTF-8)"
        )


def require_line_ends(sample: bytes, origin: str) -> None:
    """DataError for a text that begins as lines with the ends of an old Mac."""
    if b"\n" not in sample and sample.count(b"\r") >= _FEWEST_RETURNS:
        raise DataError(
            f"{origin}: its lines end in a lone carriage return, as on an old Mac, and s2s reads \\n or \\r\\n; convert"
            f" it (tr '\\r' '\\n' < {origin})"
        )


def quoted_cell(line: str) -> str | None:
    """Cell of a line of tab-separated cells that a spreadsheet wrote with its escapes: "a ""b""." for a "b"."""
    if '""' not in line:
        return None
    cells = (cell[0].strip("\t") for cell in _CELL.finditer(line) if '""' in cell[1])
    return next(cells, None)


def unquoting(path: str, separator: str = "\t") -> str:
    """Command that turns a spreadsheet's file into one that s2s reads."""
    return _UNQUOTE % (', delimiter="\\t"' if separator == "\t" else f', delimiter="{separator}"', path)


def other_separator(line: str, fits: Callable[[list[str]], bool]) -> tuple[str, str] | None:
    """Character between the cells of a line without tabs, and its name, where these cells fit."""
    if "\t" not in line:
        for separator, called in _SEPARATORS.items():
            if fits([cell.strip().strip('"') for cell in line.split(separator)]):
                return separator, called
    return None


class _Marks(NamedTuple):
    """What another program leaves in many lines."""

    name: str
    pattern: re.Pattern[str]
    remedy: str
    share: float = 0.01
    """of the lines that are not blank, from which it is no accident"""


_FEWEST_LINES = 5
_SHOWN_CHARACTERS = 20
_TAIL = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_MARKS_OF_OTHERS = (
    _Marks(
        "HTML entities",
        re.compile(
            r"&(?:amp|lt|gt|quot|apos|nbsp|hellip|euro|copy|reg|deg|#[0-9]{2,7}|#[xX][0-9a-fA-F]{2,6}"
            r"|[a-zA-Z]{1,6}(?:uml|acute|grave|circ|tilde|cedil|ring|lig|slash|dash|quo));"
        ),
        "python3 -c 'import html, sys; sys.stdout.writelines(map(html.unescape, sys.stdin))'",
    ),
    _Marks(
        "HTML tags",
        re.compile(r"</?(?:br|p|b|i|u|em|strong|span|div|a|font|sub|sup|li|ul|td|tr|h[1-6])(?:\s[^<>]*)?/?>", re.I),
        "sed -E 's/<[^<>]*>/ /g'",
    ),
    _Marks(
        "a backslash and a letter in the place of a tab or line break",
        re.compile(r"(?<![\\:])\\[tnr](?![a-z]*[{\\])(?!(?:au|imes|heta|o|u|e|eq|i|abla|ho|ight)\b)"),
        "sed 's/\\\\[tnr]/ /g'",
    ),
    _Marks("single quotes around the whole cell", re.compile(r"'.*'", re.S), "sed -E \"s/^'(.*)'$/\\1/\"", 0.9),
    _Marks(
        "letters that were encoded in UTF-8 twice",
        re.compile(f"[ÂÃÐÑ]{_TAIL}|â[€‚]{_TAIL}|ã[\u0081-\u0083ƒ‚]{_TAIL}|(?:[ØÙ]{_TAIL}){{3}}"),
        "iconv -f UTF-8 -t CP1252",
    ),
)


def marks_of_others(lines: Iterable[str], name: str) -> list[str]:
    """Warnings, which begin with a name, of what other programs write and s2s keeps as text, where many lines have it.

    A mark of which most lines consist has to fill them; all others may stand anywhere in a line.
    """
    count, found, first = 0, Counter[str](), dict[str, tuple[int, str]]()
    for number, line in enumerate(lines, start=1):
        if not (line := line.strip()):
            continue
        count += 1
        for marks in _MARKS_OF_OTHERS:
            if match := marks.pattern.fullmatch(line) if marks.share > 0.5 else marks.pattern.search(line):
                found[marks.name] += 1
                first.setdefault(marks.name, (number, match[0]))
    warnings = []
    for marks in _MARKS_OF_OTHERS:
        if found[marks.name] >= max(_FEWEST_LINES, marks.share * count):
            number, shown = first[marks.name]
            shown = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
            warnings.append(
                f"{name}: {found[marks.name] / count:.1%} of {count:,} lines have {marks.name}, first line {number:,}"
                f" ({shown}); they are kept as text; where they are none, convert the file: {marks.remedy}"
            )
    return warnings
