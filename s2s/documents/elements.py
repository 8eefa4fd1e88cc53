"""Elements of an XML file by their places, so that it can be edited where it stands."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from xml.parsers.expat import ExpatError, ParserCreate

from s2s.documents.units import Found, Unit
from s2s.errors import DataError

_TAG = re.compile(rb"<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>")


@dataclass(slots=True)
class Element:
    """One element; places are bytes of the file in UTF-8."""

    name: str
    """without a prefix"""
    attributes: dict[str, str]
    parent: "Element | None"
    start: int
    inner: int
    """behind its first tag"""
    close: int = 0
    """before its last tag, or behind the only one"""
    end: int = 0
    children: list["Element"] = field(default_factory=list)

    def child(self, name: str) -> "Element | None":
        """Its first child of a name."""
        return next((each for each in self.children if each.name == name), None)

    def inherited(self, attribute: str) -> str | None:
        """The value of an attribute of the element, or of the nearest around it that has one."""
        if attribute in self.attributes:
            return self.attributes[attribute]
        return self.parent.inherited(attribute) if self.parent else None


class Source:
    """The bytes of an XML file, with what units need of them."""

    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def raw(self, start: int, end: int) -> str:
        """The text between two places."""
        return self.data[start:end].decode()

    def tag(self, element: Element, attributes: dict[str, str]) -> str:
        """The first tag of an element, open, with some attributes set."""
        tag = self.raw(element.start, element.inner)
        return with_attributes(re.sub(r"\s*/>\Z", ">", tag), attributes)

    def indent(self, element: Element) -> str:
        """The line end and white space before an element; nothing where it stands behind another on a line."""
        before = self.raw(self.data.rfind(b"\n", 0, element.start) + 1, element.start)
        return "" if before.strip() else self.newline + before

    def like(self, element: Element, name: str, attributes: dict[str, str]) -> tuple[str, str]:
        """First and last tag of an element with another name, and the same prefix."""
        prefix = self.raw(element.start, element.inner)[1:].partition(element.name)[0]
        return with_attributes(f"<{prefix}{name}>", attributes), f"</{prefix}{name}>"

    def placed(self, units: Iterable[Unit], kept: int, left: Iterable[tuple[int, str]] = ()) -> Found:
        """What is found, in its order, with places in characters."""
        last = characters = 0

        def place(byte: int) -> int:
            nonlocal last, characters
            last, characters = byte, characters + len(self.raw(last, byte))
            return characters

        ordered = [
            unit._replace(start=place(unit.start), end=place(unit.end))
            for unit in sorted(units, key=lambda unit: unit.start)
        ]
        last = characters = 0
        return Found(ordered, kept, [(place(byte), reason) for byte, reason in left])

    def read(self, whole: Iterable[str], use: Callable[[Element], None]) -> None:
        """Go through the file and use each element with one of the names as soon as it is whole.

        Only inside these are children remembered. DataError with the line of what is no XML, and for entities of its
        own, which are not read.
        """
        names = frozenset(whole)
        parser = ParserCreate("utf-8")
        parser.buffer_text = True
        opened: list[Element] = []
        inside = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            place, local = parser.CurrentByteIndex, name.rpartition(":")[2]
            tag = _TAG.match(self.data, place)
            assert tag is not None
            element = Element(local, attributes, opened[-1] if opened else None, place, tag.end())
            if inside:
                opened[-1].children.append(element)
            inside += local in names
            opened.append(element)

        def end(name: str) -> None:
            nonlocal inside
            element = opened.pop()
            empty = self.data[element.inner - 2 : element.inner] == b"/>"
            element.close = element.inner if empty else parser.CurrentByteIndex
            element.end = element.inner if empty else self.data.index(b">", element.close) + 1
            inside -= element.name in names
            if element.name in names:
                use(element)
                element.children = []

        def entity(name: str, *_: object) -> None:
            line = parser.CurrentLineNumber
            raise DataError(f"line {line:,}: declares the entity {name}, and entities of a file's own are not read")

        parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = start, end, entity
        try:
            parser.Parse(self.data, True)
        except ExpatError as problem:
            reason = str(problem).partition(":")[0]
            raise DataError(
                f"line {problem.lineno:,}: is no XML ({reason}); is the file damaged, or cut off?"
            ) from None


def with_attributes(tag: str, attributes: Mapping[str, str]) -> str:
    """A tag with some attributes set, where they are, or behind the others."""
    for name, value in attributes.items():
        found = re.search(rf"""\s{name}\s*=\s*(["'])(.*?)\1""", tag, re.DOTALL)
        before, after = (tag[: found.start(2)], tag[found.end(2) :]) if found else (f'{tag[:-1]} {name}="', '">')
        tag = before + value + after
    return tag
