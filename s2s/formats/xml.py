"""XML read as a stream by expat, under the rules of defusedxml: no entity is declared, nothing outside is opened."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar
from xml.parsers import expat

from s2s.errors import DataError
from s2s.formats.units import one_line

Found = TypeVar("Found")
LONGEST = 1 << 24
"""Bytes of a tag, or characters of a text, that are held in memory."""
DEEPEST = 1000
"""Elements that may be open in one another."""
_BLOCK = 1 << 16
_CODES = expat.errors.codes
_CUT_OFF = "the file is cut off; get it again"
_REMEDIES = {
    _CODES[expat.errors.XML_ERROR_NO_ELEMENTS]: _CUT_OFF,
    _CODES[expat.errors.XML_ERROR_UNCLOSED_TOKEN]: _CUT_OFF,
    _CODES[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION]: _CUT_OFF,
    _CODES[expat.errors.XML_ERROR_UNDEFINED_ENTITY]: "write the character itself, or its number (&#160; for &nbsp;)",
    _CODES[expat.errors.XML_ERROR_BAD_CHAR_REF]: "XML has no such character; remove it",
    _CODES[expat.errors.XML_ERROR_INVALID_TOKEN]: "the bytes there are not of the encoding that the first line names"
    " (UTF-8 where none), or a character that XML has not, or a bare & or <; mend it, or save the file anew",
    _CODES[expat.errors.XML_ERROR_INCORRECT_ENCODING]: "the first line names another encoding than the file has",
}


class Elements:
    """A parser, and the text of an element that is listened to, without the code in it.

    `begin` and `finish` of a format get each element, but for those in such a text.
    """

    code: frozenset[str]
    """Elements in a text that hold code, which is left out, but for what stands in `sub`"""

    def __init__(self, path: Path) -> None:
        self.path, self.fed, self.depth, self.has_code = path, 0, 0, False
        self.text: list[str] = []
        self.open: list[bool] = []
        """In a text, whether the characters in each element that is open are of it"""
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self.begin, self.finish
        parser.EntityDeclHandler = parser.ExternalEntityRefHandler = parser.SkippedEntityHandler = self._refuse

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Called with an element that begins."""
        raise NotImplementedError

    def finish(self, name: str) -> None:
        """Called with an element that ends."""
        raise NotImplementedError

    def listen(self) -> None:
        """Gather the text of the element that has begun."""
        parser = self.parser
        parser.CharacterDataHandler = self.text.append
        parser.StartElementHandler, parser.EndElementHandler = self._begin_inside, self._finish_inside

    def heard(self) -> str:
        """The text that was gathered; line breaks and tabs in it, and the blanks around these, are one blank."""
        text = "".join(self.text)
        self.text.clear()
        return one_line(text)

    def _begin_inside(self, name: str, _: dict[str, str]) -> None:
        is_text = name == "sub" or (name not in self.code and (not self.open or self.open[-1]))
        self.has_code = self.has_code or name in self.code
        self.deeper()
        self.open.append(is_text)
        self.parser.CharacterDataHandler = self.text.append if is_text else None

    def _finish_inside(self, name: str) -> None:
        parser = self.parser
        if self.open:
            self.deeper(-1)
            self.open.pop()
            parser.CharacterDataHandler = self.text.append if not self.open or self.open[-1] else None
        else:
            parser.CharacterDataHandler = None
            parser.StartElementHandler, parser.EndElementHandler = self.begin, self.finish
            self.finish(name)

    def deeper(self, by: int = 1) -> None:
        """Count an element that is of no use as open or, with -1, as closed."""
        self.depth += by
        if self.depth > DEEPEST:
            self.fault(f"more than {DEEPEST:,} elements are open in one another; is a closing tag missing?")

    def fault(self, problem: str) -> NoReturn:
        """DataError for what stands in the current line."""
        raise DataError(f"{self.path}, line {self.parser.CurrentLineNumber:,}: {problem}")

    def parse(self, file: BinaryIO, found: list[Found]) -> Iterator[Found]:
        """What the handlers append to a list, as they do; DataError for what is not XML, or more than is held."""
        try:
            for block in iter(partial(file.read, _BLOCK), b""):
                self.feed(block)
                yield from found
                found.clear()
            self.feed(b"", final=True)
            yield from found
        except expat.ExpatError as error:
            remedy = _REMEDIES.get(error.code, "mend it there, or get the file again")
            raise DataError(
                f"{self.path}, line {error.lineno:,}, column {error.offset + 1:,}: not XML:"
                f" {expat.ErrorString(error.code)}; {remedy}"
            ) from None
        except (ValueError, LookupError) as error:  # of several bytes a character, or unknown to Python
            raise DataError(f"{self.path}: its encoding cannot be read ({error}); save the file as UTF-8") from None

    def feed(self, block: bytes, *, final: bool = False) -> None:
        """Parse the next bytes of the file."""
        self.parser.Parse(block, final)
        self.fed += len(block)
        if self.fed - self.parser.CurrentByteIndex > LONGEST or sum(map(len, self.text)) > LONGEST:
            self.fault(f"a tag or text goes on for more than {LONGEST:,} characters; is its end missing?")

    def _refuse(self, name: str, *_: object) -> NoReturn:
        self.fault(
            f"names an entity ({name}) that is declared in the file or outside, which s2s does not look up, since it"
            " could stand for any file, or for text without end; write what it stands for"
        )
