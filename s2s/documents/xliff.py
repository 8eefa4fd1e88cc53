"""XLIFF 1.2 and 2.x, told by the version: units without a target get one, which is marked as a machine's.

A target that is empty or, in a state from before translation, equal to its source counts as none; others stay. What
says translate="no" stays, and so do alternatives and notes; a target has the inline code of its source, in its order.
Version 1.2 marks state="needs-review-translation" state-qualifier="leveraged-mt", 2.x state="translated"
subState="s2s:machine".
"""

import re
from collections.abc import Iterator, Sequence
from html import escape

from s2s.documents.elements import Element, Source, with_attributes
from s2s.documents.units import Found, Unit, keeping, require_language
from s2s.formats.units import ICU_CHOICE
from s2s.text.codes import canonical
from s2s.text.documents import Document, xml
from s2s.translation.reading import Reading

CODE = ("bpt", "ept", "ph", "it", "ut", "cp")
"""Elements whose content is no text."""
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
BEFORE_TRANSLATION = ("new", "needs-translation", "initial")
MARKS = {"state": "needs-review-translation", "state-qualifier": "leveraged-mt"}
MARKS_OF_2 = {"state": "translated", "subState": "s2s:machine"}


def read_xliff(text: str, reading: Reading, overwrite: bool) -> Found:
    """The units of an XLIFF file; DataError with the line of what is no XML, and for other languages than the run's."""
    source = Source(text)
    units: list[Unit] = []
    heads: dict[int, Element] = {}
    left: list[tuple[int, str]] = []
    kept = 0

    def use(element: Element) -> None:
        nonlocal kept
        original, target = element.child("source"), element.child("target")
        if original is None or element.inherited("translate") == "no":
            return
        original = element.child("seg-source") or original
        raw = source.raw(original.inner, original.close)
        there = source.raw(target.inner, target.close) if target else ""
        of_2 = element.name == "segment"
        state = (element if of_2 else target or element).attributes.get("state", "initial" if of_2 else "")
        if not overwrite and there.strip() and not (there == raw and state in BEFORE_TRANSLATION):
            kept += 1
        elif ICU_CHOICE.search(raw):
            left.append((element.start, "it chooses among several texts, as an ICU message"))
        else:
            head = _head(element, "xliff" if of_2 else "file")
            heads.setdefault(head.start, head)
            units.append(_unit(source, element, original, target))

    source.read(("trans-unit", "segment"), use)
    for head in heads.values():
        units += _filled_in(source, head, reading)
    return source.placed(units, kept, left)


def _head(element: Element, name: str) -> Element:
    """The element around that names the languages."""
    while element.name != name and element.parent:
        element = element.parent
    return element


def _filled_in(source: Source, head: Element, reading: Reading) -> Iterator[Unit]:
    """The head with the language of its targets, where it names none; DataError where it names others."""
    first, second = ("srcLang", "trgLang") if head.name == "xliff" else ("source-language", "target-language")
    require_language(head.attributes.get(first, ""), reading.source, first)
    require_language(head.attributes.get(second, ""), reading.target, second)
    if second not in head.attributes:
        tag = source.tag(head, {second: canonical(reading.target)})
        yield Unit(head.start, head.inner, lambda _: (), lambda _: tag)


def _unit(source: Source, element: Element, original: Element, target: Element | None) -> Unit:
    of_2, raw = element.name == "segment", source.raw(original.inner, original.close)
    tag = source.raw(element.start, element.inner)
    if of_2:
        tag = with_attributes(tag, MARKS_OF_2)
    elif element.attributes.get("approved") == "yes":
        tag = with_attributes(tag, {"approved": "no"})
    marks = {} if of_2 else MARKS
    first, last = source.like(original, "target", marks)
    first = source.tag(target, marks) if target else source.indent(original) + first
    between = source.raw(element.inner, target.start if target else original.end)

    def documents(reading: Reading) -> list[Document]:
        return [coded(raw, reading, lines=original.inherited("xml:space") == "preserve" or "&#10;" in raw)]

    def written(translations: Sequence[str]) -> str:
        return f"{tag}{between}{first}{translations[0]}{last}"

    return Unit(element.start, target.end if target else original.end, documents, written)


def coded(raw: str, reading: Reading, *, lines: bool = False) -> Document:
    """A text with the inline elements of files for translators, whose `lines` stay; CDATA is text as any other."""
    raw = _CDATA.sub(lambda found: escape(found[1], quote=False), raw)
    return xml(raw, reading.source, ignored=CODE, target=reading.target, kept=keeping(reading), lines=lines)
