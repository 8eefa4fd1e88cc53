"""HTML pages, and plain paragraphs.

What stands in script, style, code, pre, kbd, samp, var, svg, math, textarea, comments and translate="no" stays. Of the
attributes, alt, title, placeholder and aria-label are translated where they stand in quotation marks; others stay.
"""

import re

from s2s.documents.units import Found, Unit, keeping, paragraph
from s2s.text.documents import marked_up
from s2s.text.markup import Part, parts_of_markup
from s2s.translation.reading import Reading

ATTRIBUTES = ("alt", "title", "placeholder", "aria-label")
_PARAGRAPH = re.compile(r"\S(?:[^\n]|\n(?![ \t\r]*\n))*")


def read_html(text: str, reading: Reading, overwrite: bool) -> Found:
    """The blocks of a page that have a text."""
    units: list[Unit] = []
    run: list[Part] = []
    place = start = 0
    for part in (*parts_of_markup(text, xml=False, attributes=ATTRIBUTES), Part("", "block")):
        if part.kind != "block":
            run.append(part)
        else:
            if any(each.kind in ("text", "attribute") and any(map(str.isalpha, each.raw)) for each in run):
                units.append(_unit(start, place, tuple(run)))
            run, start = [], place + len(part.raw)
        place += len(part.raw)
    return Found(units)


def _unit(start: int, end: int, parts: tuple[Part, ...]) -> Unit:
    return Unit(
        start,
        end,
        lambda reading: [marked_up(parts, reading.source, reading.target, keeping(reading))],
        lambda translations: translations[0],
    )


def read_paragraphs(text: str, reading: Reading, overwrite: bool) -> Found:
    """Paragraphs, with blank lines between them: sentences go on over line ends, and come back on one line each."""
    return Found([_paragraph(found.start(), found[0].rstrip()) for found in _PARAGRAPH.finditer(text)])


def _paragraph(start: int, text: str) -> Unit:
    return Unit(
        start, start + len(text), lambda reading: [paragraph(text, reading)], lambda translations: translations[0]
    )
