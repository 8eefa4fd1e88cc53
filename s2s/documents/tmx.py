"""TMX 1.1 to 1.4b: each unit without the target's language gets a variant of it, whose creationid says MT.

The variant stands behind the last one, with the inline code of the source in its order. One that is there stays, unless
its segment is empty.
"""

from collections.abc import Sequence

from s2s.documents.elements import Element, Source
from s2s.documents.units import Found, Unit
from s2s.documents.xliff import coded
from s2s.errors import DataError
from s2s.text.codes import base, canonical
from s2s.text.documents import Document
from s2s.translation.reading import Reading

MARKS = {"creationtool": "s2s", "creationid": "MT"}


def read_tmx(text: str, reading: Reading, overwrite: bool) -> Found:
    """The units of a translation memory; DataError with the line of what is no XML, or if none is in the source."""
    source = Source(text)
    units: list[Unit] = []
    kept, languages, spelled = 0, set[str](), list[str]()

    def use(element: Element) -> None:
        nonlocal kept
        variants = [(_language(each), each) for each in element.children if each.name == "tuv"]
        languages.update(language for language, _ in variants)
        original, target = (_variant(variants, language) for language in (reading.source, reading.target))
        segment = original and original.child("seg")
        there = target and target.child("seg")
        if target and not spelled:
            spelled.append(_language(target))
        if there and not overwrite and source.raw(there.inner, there.close).strip():
            kept += 1
        elif original and segment and (there or not target):
            units.append(_unit(source, element, original, segment, there, spelled))

    source.read(("tu",), use)
    spelled.append(canonical(reading.target))
    if languages and not any(base(language) == base(reading.source) for language in languages):
        names = ", ".join(sorted(languages))
        raise DataError(f"has no text in {reading.source}, which the run translates from; it has {names}")
    return source.placed(units, kept)


def _language(variant: Element) -> str:
    return variant.attributes.get("xml:lang") or variant.attributes.get("lang", "")


def _variant(variants: Sequence[tuple[str, Element]], language: str) -> Element | None:
    """The variant in a language, or else in one of its regions or scripts."""
    exact = [each for code, each in variants if canonical(code) == canonical(language)]
    return next(iter(exact + [each for code, each in variants if base(code) == base(language)]), None)


def _unit(
    source: Source, element: Element, original: Element, segment: Element, there: Element | None, spelled: Sequence[str]
) -> Unit:
    raw = source.raw(segment.inner, segment.close)
    target, name = there and there.parent, "xml:lang" if "xml:lang" in original.attributes else "lang"
    opened, closed = source.like(segment, "seg", {})
    indent, end = source.indent(original), element.children[-1].end

    def documents(reading: Reading) -> list[Document]:
        return [coded(raw, reading)]

    def written(translations: Sequence[str]) -> str:
        segment = f"{opened}{translations[0]}{closed}"
        if there and target:
            return source.tag(target, MARKS) + source.raw(target.inner, there.start) + segment
        code = spelled[0]
        first, last = source.like(original, "tuv", {name: code, **MARKS})
        return f"{indent}{first}{segment}{last}"

    return Unit(target.start, there.end, documents, written) if there and target else Unit(end, end, documents, written)
