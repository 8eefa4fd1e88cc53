"""Charts with two axes, in the units of an SVG drawing, whose marks a template writes.

A drawing is as wide as its place on the page; on a narrow screen text is a quarter larger in its units, and margins
have room for that. Colours are classes of the style sheet, so that light, dark and paper have their own.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, WIDE, HEIGHT = 460, 940, 280
LETTER = 8.2
"""Width of a digit of the largest text."""
TOP, BOTTOM = 42, 50
"""Margins: the title of the y axis stands above it, that of the x axis below its numbers."""
STYLES = ("one", "two", "three", "four")
"""Classes of lines, which differ in colour and in their dashes."""
Point = tuple[float, float | None]


class Axis(NamedTuple):
    """What a drawing shows along one side."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    """values and their labels"""

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one, for what lies between them."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


class Line(NamedTuple):
    """A line, broken where it has no value, or with an upper one the band between both."""

    label: str
    points: Sequence[Point]
    style: str = STYLES[0]
    dots: bool = False
    upper: Sequence[Point] = ()


class Bar(NamedTuple):
    """A bar from zero to a value, over a range of x."""

    low: float
    high: float
    value: float
    name: str
    label: str = ""
    """written above it"""


class Chart(NamedTuple):
    """Lines and bars over common axes, later ones above, with a rule at an x and its label."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    rule: tuple[float, str] | None = None
    width: int = WIDTH

    @property
    def left(self) -> float:
        """Where the x axis begins."""
        return 10 + LETTER * max((len(label) for _, label in self.y.ticks), default=1)

    @property
    def right(self) -> float:
        """Where it ends."""
        last = max((len(label) for value, label in self.x.ticks if self.x.share(value) > 0.9), default=1)
        return self.width - max(10.0, LETTER * last / 2)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a point in the drawing; what lies outside of the axes is moved to their ends."""
        across, down = self.x.share(x) * (self.right - self.left), (1 - self.y.share(y)) * (HEIGHT - TOP - BOTTOM)
        return round(self.left + across, 1), round(TOP + down, 1)

    def path(self, line: Line) -> str:
        """Outline of a line or band as SVG has it; a point that stands alone is a dot."""
        runs: list[list[tuple[Point, Point]]] = [[]]
        for low, high in zip(line.points, line.upper or line.points, strict=True):
            if all(value is not None and math.isfinite(value) for _, value in (low, high)):
                runs[-1].append((low, high))
            else:
                runs.append([])
        outlines = []
        for run in filter(None, runs):
            turns = [low for low, _ in run] + [high for _, high in run[::-1] if line.upper]
            places = [self.at(x, y or 0.0) for x, y in turns]
            begin, *others = [f"{x:g} {y:g}" for x, y in places]
            outlines.append(f"M{begin}h0" + "".join(f"L{place}" for place in others) + "Z" * bool(line.upper))
        return "".join(outlines)

    @property
    def said(self) -> str:
        """What those are told who do not see the drawing."""
        told = [f"{bar.name}: {bar.label or number(bar.value)}" for bar in self.bars]
        for line in self.lines:
            known = [(x, y) for x, y in line.points if y is not None]
            if known:
                ends = [f"{number(y)} at {number(x)}" for x, y in (known[0], known[-1])]
                told.append(f"{line.label or self.title}: {ends[0]} to {ends[1]}")
        return f"{self.title}. {self.y.title} by {self.x.title}. {'; '.join(told)}"


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


def row_axis(title: str, names: Sequence[str]) -> Axis:
    """Axis of many rows in a wide chart, of which as many are named as there is room for."""
    every = math.ceil(len(names) * LETTER * (max(map(len, names), default=1) + 2) / WIDE) or 1
    return Axis(title, 0.0, max(len(names) - 1.0, 1.0), list(enumerate(names))[::every])


def bar_chart(title: str, axes: tuple[str, str], bars: Sequence[tuple[str, float | None]], high: float) -> Chart:
    """A bar for each name, with its value written above; there is room for four at least, and None has no bar."""
    x = Axis(axes[0], -0.5, max(len(bars), 4) - 0.5, [(place, name) for place, (name, _) in enumerate(bars)])
    drawn = [
        Bar(place - 0.36, place + 0.36, value, name, f"{value:.0f}")
        for place, (name, value) in enumerate(bars)
        if value is not None
    ]
    return Chart(title, x, axis_of(axes[1], (), low=0.0, high=high), bars=drawn)


def diagonal_chart(title: str, axes: tuple[str, str], wanted: str, label: str, points: Sequence[Point]) -> Chart:
    """Shares by what they should be, beside the line on which they would be so."""
    x, y = (axis_of(axis, (), low=0.0, high=1.0, most=5) for axis in axes)
    even = Line(wanted, [(0.0, 0.0), (1.0, 1.0)], "even")
    return Chart(title, x, y, [even, Line(label, points, dots=True)])
