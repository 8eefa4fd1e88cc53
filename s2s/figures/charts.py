"""Charts that several parts of a report have in common."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from s2s.figures.axes import HEIGHT, WIDTH, Axis, Plot, Point, axis_of, named_axis, text_at
from s2s.figures.page import figure, folded, scrolled, table

STYLES = ("one", "two", "three", "four")
"""Classes of lines, which differ in colour and in their dashes."""
CELL, MARGIN = 24, 5.6
"""Side of a cell of a matrix, and width of a small letter beside it."""
CUT = 18
"""Letters of a token that are written beside a matrix."""


class Line(NamedTuple):
    """A line of a chart."""

    label: str
    points: Sequence[Point]
    style: str = STYLES[0]
    dots: bool = False


def line_chart(
    title: str,
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    said: str,
    rule: tuple[float, str] | None = None,
    band: tuple[Sequence[Point], Sequence[Point], str] | None = None,
    more: Sequence[Markup] = (),
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Markup:
    """Lines over common axes, with a rule at an x, and a band, low and high and their label, behind them."""
    plot = Plot(x, y, width=size[0], height=size[1])
    legend = [(line.style, line.label) for line in lines if line.label and line.points]
    if band is not None:
        plot.band(*band[:2])
        legend.append(("wash", band[2]))
    if rule is not None:
        plot.rule(*rule)
    for line in lines:
        plot.line(line.points, line.style, dots=line.dots)
    shown = legend if len(legend) > 1 else ()
    return figure(title, plot.svg(f"{title}. {said}"), legend=shown, more=more, wide=size[0] > WIDTH)


def bar_chart(
    title: str,
    names: Sequence[str],
    values: Sequence[float | None],
    *,
    axes: tuple[str, str],
    high: float | None,
    form: str,
) -> Markup:
    """A bar for each name, from zero, with its value written above; None has no bar."""
    x, y = named_axis(axes[0], names), axis_of(axes[1], values, low=0.0, high=high)
    plot = Plot(x, y)
    for place, value in enumerate(values):
        if value is not None:
            plot.bar(place - 0.36, place + 0.36, value, STYLES[0], format(value, form))
    told = "; ".join(
        f"{name}: {'–' if value is None else format(value, form)}" for name, value in zip(names, values, strict=True)
    )
    return figure(title, plot.svg(f"{title}, {axes[1]} by {axes[0]}. {told}"))


def matrix(title: str, weights: Sequence[Sequence[float]], columns: Sequence[str], rows: Sequence[str]) -> Markup:
    """Weights from 0 to 1 as cells that are darker the larger they are, with the largest of each row in a table."""
    columns, rows = (
        [label if len(label) <= CUT else label[: CUT - 1] + "…" for label in each] for each in (columns, rows)
    )
    left, top = (12 + MARGIN * max(map(_letters, each)) for each in (rows, columns))
    width, height = round(left + CELL * len(columns) + top * 0.6), round(top + CELL * len(rows) + 6)
    marks = []
    for row, name in enumerate(rows):
        y = top + CELL * row
        marks.append(text_at(left - 6, y + CELL * 0.68, name, "end"))
        for column, weight in enumerate(weights[row]):
            place = f'x="{left + CELL * column:.1f}" y="{y:.1f}" width="{CELL - 1}" height="{CELL - 1}"'
            marks.append(Markup(f'<rect {place} class="cell" fill-opacity="{weight:.2f}"/>'))
    for column, name in enumerate(columns):
        x = left + CELL * (column + 0.55)
        turned = f'<g transform="translate({x:.1f} {top - 6:.1f}) rotate(-55)">{text_at(0, 0, name, "start")}</g>'
        marks.append(Markup(turned))
    form = Markup(
        '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" class="matrix" role="img" aria-label="{2}">{3}</svg>'
    )
    best = [max(range(len(columns)), key=lambda column, row=row: row[column]) for row in weights]  # type: ignore[misc]
    looked = [(name, columns[at], f"{row[at]:.2f}") for name, row, at in zip(rows, weights, best, strict=True)]
    drawing = form.format(
        width, height, f"Alignment of: {title}. The table below has its largest weights.", Markup("").join(marks)
    )
    more = folded("Largest weights", table(("target token", "looked most at", "weight"), looked))
    return figure(title, scrolled(drawing, f"alignment of: {title}"), more=[more])


def _letters(label: str) -> float:
    """Width of a label in letters; one beyond Latin and its neighbours is twice as wide."""
    return sum(1.0 if ord(letter) < 0x1100 else 2.1 for letter in label) + 1
