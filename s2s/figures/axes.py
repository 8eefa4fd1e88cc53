"""A drawing with two axes, as SVG.

Sizes are in the units of the drawing, which is as wide as its place on the page; on a narrow screen text is a quarter
larger in these units, and margins have room for that.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from s2s.figures.page import join, scrolled

WIDTH, WIDE, HEIGHT = 460, 940, 280
LETTER = 8.2
"""Width of a digit of the largest text."""
TOP, BOTTOM = 42, 50
"""Margins: the title of the y axis stands above it, that of the x axis below its numbers."""
Point = tuple[float, float | None]


class Axis(NamedTuple):
    """What a drawing shows along one side."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    """values and their labels"""

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


def number(value: float) -> str:
    """A number of at most four digits, or a whole one below a million."""
    if not math.isfinite(value):
        return "undefined"
    if value and not 1e-3 <= abs(value) < 1e6:
        return re.sub(r"e([-+])0*", lambda sign: f"e{sign[1].strip('+')}", f"{value:.3g}")
    whole = abs(value) >= 1000 or abs(value - round(value)) < 1e-9
    return f"{value:,.0f}" if whole else f"{value:.4g}"


def axis_of(
    title: str, values: Sequence[float | None], *, low: float | None = None, high: float | None = None, most: int = 6
) -> Axis:
    """Axis over the finite ones of some values, with at most so many round ticks; an end that is given stays."""
    known = [value for value in values if value is not None and math.isfinite(value)] or [0.0, 1.0]
    least = min(known) if low is None else low
    largest = max(known) if high is None else high
    if largest - least <= 1e-9 * max(abs(least), abs(largest)):  # one value, but for rounding
        around = max(abs(least), abs(largest)) / 2 or 0.5
        least = least - around if low is None else low
        largest = largest if largest > least else least + around
    rough = (largest - least) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(least / step + 1e-9) if low is None else math.ceil(least / step - 1e-9)
    last = math.ceil(largest / step - 1e-9) if high is None else math.floor(largest / step + 1e-9)
    digits = next((digits for digits in range(6) if abs(step - round(step, digits)) < step * 1e-6), None)
    plain = digits is not None and largest < 1e6
    ticks = [(k * step, f"{k * step:,.{digits}f}" if plain else number(k * step)) for k in range(first, last + 1)]
    return Axis(title, ticks[0][0] if low is None else low, ticks[-1][0] if high is None else high, ticks)


def steps_axis(title: str, values: Sequence[float]) -> Axis:
    """Axis that ends where its values do, such as that of optimizer steps, which begins at 0."""
    return axis_of(title, values, low=0.0, high=max([*values, 1.0]), most=5)


def named_axis(title: str, names: Sequence[str]) -> Axis:
    """Axis of things that have names and no values, with room for four at least: the k-th stands at k."""
    return Axis(title, -0.5, max(len(names), 4) - 0.5, list(enumerate(names)))


def row_axis(title: str, names: Sequence[str], width: int) -> Axis:
    """Axis of many rows, of which as many are named as there is room for."""
    room = width / (LETTER * (max(map(len, names), default=1) + 2))
    every = max(1, math.ceil(len(names) / max(room, 1)))
    return Axis(title, 0.0, max(len(names) - 1.0, 1.0), [(k, names[k]) for k in range(0, len(names), every)])


def text_at(x: float, y: float, text: str, kind: str) -> Markup:
    """A text of a drawing: `start`, `middle` (and `value`) or `end` says which part of it stands at x."""
    return Markup(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>')


class Plot:
    """A drawing area; what is drawn later lies above."""

    def __init__(self, x: Axis, y: Axis, *, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height
        self.left = 10 + LETTER * max((len(label) for _, label in y.ticks), default=1)
        last = max((len(label) for value, label in x.ticks if x.share(value) > 0.9), default=1)
        self.right = width - max(10.0, LETTER * last / 2)
        self.marks: list[Markup] = []

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a point in the drawing; what lies outside of the axes is moved to their ends."""
        across, up = (min(max(axis.share(value), 0.0), 1.0) for axis, value in ((self.x, x), (self.y, y)))
        bottom = self.height - BOTTOM
        return round(self.left + across * (self.right - self.left), 1), round(bottom - up * (bottom - TOP), 1)

    def line(self, points: Sequence[Point], style: str, *, dots: bool = False) -> None:
        """Draw a line through points, broken where one has no value; a point that stands alone is a dot."""
        runs: list[list[tuple[float, float]]] = [[]]
        for x, y in points:
            if y is None or not math.isfinite(y):
                runs.append([])
            else:
                runs[-1].append(self.at(x, y))
        for run in filter(None, runs):
            path = "M" + "L".join(f"{x:g} {y:g}" for x, y in run)
            self.marks.append(Markup(f'<path d="{path}" class="line {style}"/>'))
            self.marks += [self._dot(*place, style) for place in run if dots or len(run) == 1]

    def _dot(self, x: float, y: float, style: str) -> Markup:
        return Markup(f'<circle cx="{x}" cy="{y}" r="3" class="dot {style}"/>')

    def band(self, low: Sequence[Point], high: Sequence[Point]) -> None:
        """Fill the area between two lines of the same x, but for places without a value."""
        run: list[tuple[tuple[float, float], tuple[float, float]]] = []
        for (x, below), (_, above) in [*zip(low, high, strict=True), ((0.0, None), (0.0, None))]:
            if below is not None and above is not None:
                run.append((self.at(x, below), self.at(x, above)))
            elif run:
                outline = [lower for lower, _ in run] + [upper for _, upper in reversed(run)]
                path = "M" + "L".join(f"{x:g} {y:g}" for x, y in outline) + "Z"
                self.marks.append(Markup(f'<path d="{path}" class="band"/>'))
                run = []

    def bar(self, low: float, high: float, value: float, style: str, label: str = "") -> None:
        """Draw a bar over a range of x, from zero to a value, with a label at its end."""
        (left, base), (right, top) = self.at(low, max(self.y.low, 0.0)), self.at(high, value)
        width, height = round(right - left, 1), round(abs(base - top), 1)
        place = f'x="{left}" y="{min(base, top)}" width="{width}" height="{height}"'
        self.marks.append(Markup(f'<rect {place} class="bar {style}"/>'))
        if label:
            self.text((left + right) / 2, min(base, top) - 5, label, "value")

    def rule(self, x: float, label: str) -> None:
        """Draw a line from the x axis up, with a label at its upper end."""
        (across, top), (_, bottom) = self.at(x, self.y.high), self.at(x, self.y.low)
        self.marks.append(Markup(f'<path d="M{across} {bottom}V{top}" class="rule"/>'))
        before = across + LETTER * len(label) > self.width
        self.text(across, top - 5, label, "end" if before else "start")

    def text(self, x: float, y: float, text: str, kind: str) -> None:
        """Write a text, as `text_at` does."""
        self.marks.append(text_at(x, y, text, kind))

    def svg(self, said: str) -> Markup:
        """The drawing with its axes; `said` is what those who do not see it are told."""
        marks, self.marks = self.marks, []
        (left, bottom), (right, _) = self.at(self.x.low, self.y.low), self.at(self.x.high, self.y.low)
        for value, label in self.y.ticks:
            _, y = self.at(self.x.low, value)
            self.marks.append(Markup(f'<path d="M{left} {y}H{right}" class="grid"/>'))
            self.text(left - 6, y + 4, label, "end")
        for value, label in self.x.ticks:
            x, _ = self.at(value, self.y.low)
            self.marks.append(Markup(f'<path d="M{x} {bottom}v5" class="axis"/>'))
            self.text(x, bottom + 19, label, "middle")
        self.marks.append(Markup(f'<path d="M{left} {bottom}H{right}" class="axis"/>'))
        self.text(2, 14, self.y.title, "start")
        self.text(right, self.height - 8, self.x.title, "end")
        inner = join([*self.marks, *marks])
        form = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
        drawing = form.format(self.width, self.height, said, inner)
        return scrolled(drawing, self.y.title) if self.width > WIDTH else drawing
