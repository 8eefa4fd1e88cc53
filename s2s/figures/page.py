"""What a report is made of: sections with texts, tables and figures, as HTML that is complete without a script.

Everything that is not markup is escaped. Colours are classes of the style sheet, so that light, dark and paper have
their own; the page forbids styles inside of elements.
"""

import locale
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

NUMBER = re.compile(r"[-+−]?[\d,.]+(e[-+]?\d+)?%?|–")
"""A cell that is written to the right of its column."""


class Section(NamedTuple):
    """A part of a report with a heading."""

    title: str
    blocks: Sequence[Markup]


def join(blocks: Iterable[Markup]) -> Markup:
    """Blocks one after another."""
    return Markup("\n").join(blocks)


def paragraph(text: str) -> Markup:
    """A text, such as what a section shows and from what it was computed."""
    return Markup("<p>{}</p>").format(text)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> Markup:
    """A table whose first column names its rows; a column of numbers stands to the right."""
    cells = [[cell if isinstance(cell, Markup) else str(cell) for cell in row] for row in rows]
    right = [bool(cells) and all(NUMBER.fullmatch(cell) for cell in column) for column in zip(*cells, strict=True)]
    right = right or [False] * len(headings)
    kinds = [Markup(' class="number"') if each else Markup("") for each in right]
    head = join(Markup('<th scope="col"{}>{}</th>').format(*each) for each in zip(kinds, headings, strict=True))
    body = [
        Markup('<tr><th scope="row"{}>{}</th>{}</tr>').format(
            kinds[0],
            row[0],
            join(Markup("<td{}>{}</td>").format(*each) for each in zip(kinds[1:], row[1:], strict=True)),
        )
        for row in cells
    ]
    title = Markup("<caption>{}</caption>").format(caption) if caption else Markup("")
    inner = Markup("<table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(title, head, join(body))
    return scrolled(inner, caption or f"table by {headings[0]}")


def heading(text: str) -> Markup:
    """Heading of a part of a section."""
    return Markup("<h3>{}</h3>").format(text)


def scrolled(inner: Markup, label: str) -> Markup:
    """What may be wider than a screen, in a region of its own that keys can scroll."""
    form = Markup('<div class="scrolled" role="group" tabindex="0" aria-label="{}">{}</div>')
    return form.format(label, inner)


def folded(summary: str, *blocks: Markup) -> Markup:
    """Blocks that open when they are asked for."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, join(blocks))


def figure(
    title: str,
    drawing: Markup,
    *,
    legend: Sequence[tuple[str, str]] = (),
    more: Sequence[Markup] = (),
    wide: bool = False,
) -> Markup:
    """A drawing below its title and its legend, (style, label) of each mark; `more` stands below it."""
    keys = Markup("")
    if legend:
        sample = Markup('<svg viewBox="0 0 28 10" aria-hidden="true"><path d="M1 5h26" class="line {}"/></svg>')
        items = [Markup("<li>{}{}</li>").format(sample.format(style), label) for style, label in legend]
        keys = Markup('<ul class="legend">{}</ul>').format(join(items))
    kind = Markup(' class="wide"') if wide else Markup("")
    form = Markup("<figure{}><figcaption>{}</figcaption>{}{}{}</figure>")
    return form.format(kind, title, keys, drawing, join(more))


def figures(*each: Markup) -> Markup:
    """Figures side by side where there is room."""
    return Markup('<div class="figures">{}</div>').format(join(each))


def in_language(text: str | Markup, name: str) -> Markup:
    """A text marked with the language that a recipe names, where that is one that is known, by code or in English."""
    code = locale.locale_alias.get(name.lower(), "").split("_")[0]
    known = Markup(' lang="{}"').format(code) if re.fullmatch("[a-z]{2,3}", code) else Markup("")
    return Markup('<span dir="auto"{}>{}</span>').format(known, text)
