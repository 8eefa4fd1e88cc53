"""HTML and XML as a sequence of texts and markup, which joined are the document, in linear time.

Parsers that write a document again change it; here is what tells text from markup, and no more.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from html import unescape
from typing import Literal, NamedTuple

_ATTRIBUTES = r"""(?:[^<>=]++|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))?+)*+"""
_MARKUP = re.compile(
    rf"""<!--(?:-?>|[\s\S]*?(?:-->|\Z))
    |<!\[CDATA\[[\s\S]*?(?:\]\]>|\Z)
    |<[!?][^>]*+>?
    |<(?P<end>/?)(?P<name>[a-z][^\s/<>]*+)(?P<attributes>{_ATTRIBUTES})>?""",
    re.IGNORECASE | re.VERBOSE,
)
_TRANSLATE = re.compile(r"\stranslate\s*=\s*[\"']?(yes|no)\b", re.IGNORECASE)
_CLASS = re.compile(r"\sclass\s*=\s*(?:\"[^\"]*\bnotranslate\b|'[^']*\bnotranslate\b|notranslate\b)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\w{1,10}|\w{1,40});?", re.ASCII)

RAW_TEXT = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in ("script", "style", "textarea", "xmp")}
"""Elements of HTML with no markup in them, and where each ends."""
UNTOUCHED = frozenset([*RAW_TEXT, "code", "pre", "kbd", "samp", "var", "svg", "math"])
"""Elements of HTML whose content is no text of a natural language."""
VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])
INLINE = (
    "a abbr b bdi bdo big cite code data del dfn em font g i ins kbd label mark q s samp small span strike strong sub"
    " sup time tt u var wbr x"
)
"""Elements that a sentence goes on through."""
INLINE_OF_XML = f"{INLINE} x g bx ex bpt ept ph it mrk hi ut pc sc ec cp sm".split()
"""Those, and the ones of files for translators."""
_ATTRIBUTE = re.compile(r"""\s([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|[^\s"'>]+)""")


class Part(NamedTuple):
    """A text, markup, or what stays as it is."""

    raw: str
    kind: Literal["text", "attribute", "inline", "block", "kept"]
    """text to be translated, and one in a tag; a tag within a line, or one that ends it; text that must not be
    translated"""


def parts_of_markup(
    text: str, *, xml: bool, ignored: Collection[str] = (), attributes: Collection[str] = ()
) -> Iterator[Part]:
    """The parts of a document, which joined are the document; the content of `ignored` elements is kept.

    The values of `attributes` are texts, but in what is kept and in tags that say whether they are translated.
    """
    opened = _Open(frozenset(ignored) if xml else UNTOUCHED)
    inline = INLINE_OF_XML if xml else INLINE.split()
    place = after = 0
    while found := _MARKUP.search(text, after):
        after = found.end()
        if not _is_markup(found):
            continue
        if place < found.start():
            yield Part(text[place : found.start()], opened.kind)
        place, name = after, found["name"] or ""
        tag = Part(found[0], "block" if name and name.lower() not in inline else "inline")
        if attributes and opened.kind == "text" and found["attributes"] and "translat" not in found[0].lower():
            yield from _parts_of_tag(tag, attributes)
        else:
            yield tag
        name = name if xml else name.lower()
        if found["end"]:
            opened.close(name)
        elif name and not found["attributes"].endswith("/") and (xml or name not in VOID):
            opened.open(name, found["attributes"])
            if not xml and name in RAW_TEXT:
                end = RAW_TEXT[name].search(text, place)
                content = text[place : end.start() if end else len(text)]
                place = after = place + len(content)
                yield Part(content, "kept")
    yield Part(text[place:], opened.kind)


def _parts_of_tag(tag: Part, attributes: Collection[str]) -> Iterator[Part]:
    """A tag with the values of some attributes as parts of their own."""
    place = 0
    for found in _ATTRIBUTE.finditer(tag.raw):
        if found.lastindex and found.lastindex > 1 and found[1].lower() in attributes:
            start, end = found.span(found.lastindex)
            yield tag._replace(raw=tag.raw[place:start])
            yield Part(tag.raw[start:end], "attribute")
            place = end
    yield tag._replace(raw=tag.raw[place:])


def _is_markup(found: re.Match[str]) -> bool:
    """Whether it is no text such as a <b, where no tag ends; an open quote has swallowed the rest of the document."""
    return found["name"] is None or found[0].endswith(">") or bool({'"', "'"}.intersection(found["attributes"]))


class _Open:
    """The elements that are open, and whether their text is translated."""

    def __init__(self, untouched: Collection[str]) -> None:
        self.names = untouched
        self.stack: list[tuple[str, bool]] = []
        self.counts: Counter[str] = Counter()

    @property
    def kind(self) -> Literal["text", "kept"]:
        """What text is here."""
        return "kept" if self.stack and self.stack[-1][1] else "text"

    def open(self, name: str, attributes: str) -> None:
        untouched = self.kind == "kept" or name in self.names
        if "translat" in attributes.lower():
            asked = _TRANSLATE.search(attributes)
            untouched = asked[1].lower() == "no" if asked else untouched or bool(_CLASS.search(attributes))
        self.stack.append((name, untouched))
        self.counts[name] += 1

    def close(self, name: str) -> None:
        """Close an element with all that is open in it; nothing happens where there is none of the name."""
        while self.counts[name]:
            last, _ = self.stack.pop()
            self.counts[last] -= 1
            if last == name:
                return


def decoded(raw: str) -> tuple[str, Sequence[str]]:
    """The text with its entities as characters, and what stands for each character."""
    if "&" not in raw:
        return raw, raw
    text: list[str] = []
    letters: list[str] = []
    place = 0
    for found in _ENTITY.finditer(raw):
        plain = unescape(found[0]) or "\ufffd"
        text += (raw[place : found.start()], plain)
        letters += (*raw[place : found.start()], found[0], *[""] * (len(plain) - 1))
        place = found.end()
    return "".join([*text, raw[place:]]), [*letters, *raw[place:]]
