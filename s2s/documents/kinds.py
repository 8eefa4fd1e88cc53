"""Bytes of a file to text and back, and who reads each kind."""

import re
from collections.abc import Callable
from typing import NamedTuple

from s2s.documents.endings import Kind
from s2s.documents.markdown import read_markdown
from s2s.documents.pages import read_html, read_paragraphs
from s2s.documents.po import read_po
from s2s.documents.subtitles import read_subtitles
from s2s.documents.tmx import read_tmx
from s2s.documents.units import Found
from s2s.documents.xliff import read_xliff
from s2s.errors import DataError
from s2s.translation.reading import Reading

READERS: dict[Kind, Callable[[str, Reading, bool], Found]] = {
    "po": read_po,
    "xliff": read_xliff,
    "tmx": read_tmx,
    "subtitles": read_subtitles,
    "html": read_html,
    "markdown": read_markdown,
    "paragraphs": read_paragraphs,
}
_DECLARED: dict[Kind, re.Pattern[bytes]] = {
    "po": re.compile(rb'^"Content-Type:[^"\n]*charset=([\w-]+)', re.MULTILINE | re.IGNORECASE),
    "html": re.compile(rb"<(?:meta\b[^>]*?charset|\?xml[^>]*?encoding)\s*=\s*[\"']?([\w-]+)", re.IGNORECASE),
    "xliff": (_XML := re.compile(rb"\A(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*[\"']([\w-]+)")),
    "tmx": _XML,
}
"""Where a kind of file names its encoding."""
_MARKS = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}


class Encoding(NamedTuple):
    """How a file's text is written as bytes."""

    name: str
    escapes: bool = False
    """whether what it has no bytes for is written as a character reference"""

    def encoded(self, text: str) -> bytes:
        """The bytes of a text; DataError for what has none."""
        try:
            return text.encode(self.name, "xmlcharrefreplace" if self.escapes else "strict")
        except UnicodeEncodeError as problem:
            raise DataError(
                f"is in {self.name}, which has no {text[problem.start]!r}; convert it to UTF-8, and its header too"
            ) from None


def decoded(data: bytes, kind: Kind) -> tuple[str, Encoding]:
    """The text of a file, its byte-order mark too, and its encoding; DataError with the line that is in another."""
    declared = _DECLARED[kind].search(data[:8192]) if kind in _DECLARED else None
    name = declared[1].decode() if declared and declared[1].upper() != b"CHARSET" else "utf-8"
    name = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), name)
    try:
        text = data.decode(name)
        if text.encode(name) != data:
            raise DataError(f"is in {name}, which cannot be written again byte for byte; convert it to UTF-8")
    except LookupError:
        raise DataError(f"names an encoding that is not known ({name}); convert it to UTF-8") from None
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise DataError(
            f"line {line:,}: byte 0x{data[problem.start]:02x} is not valid {name.upper()}; convert the text (from"
            " Latin-1: iconv -f latin1 -t utf-8), or name its encoding where such a file does"
        ) from None
    return text, Encoding(name, kind in ("html", "xliff", "tmx"))
