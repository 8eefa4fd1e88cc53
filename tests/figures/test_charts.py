"""Charts: their axes and what is drawn between them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.figures.charts import HEIGHT, LETTER, WIDE, Axis, Chart, Line, axis_of, bar_chart, number, row_axis

VALUES = st.lists(st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9), min_size=1, max_size=9)


@given(VALUES)
def test_an_axis_holds_its_values_between_its_outer_ticks_whose_labels_differ(values: list[float]) -> None:
    axis = axis_of("", values)
    ticks, labels = zip(*axis.ticks, strict=True)
    rounding = 1e-8 * (axis.high - axis.low)
    assert axis.low == ticks[0] <= min(values) + rounding
    assert axis.high == ticks[-1] >= max(values) - rounding
    assert list(ticks) == sorted(ticks)
    assert 2 <= len(ticks) <= 9
    if (max(values) - min(values)) > 1e-2 * max(map(abs, values)):
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("values", [[], [None], [math.nan, math.inf], [0.0], [100.0, 100.00000000000004], [-3.0]])
def test_without_a_range_of_values_there_is_an_axis(values: list[float | None]) -> None:
    axis = axis_of("", values, low=0.0)
    assert axis.low == 0.0 < axis.high


def test_an_end_that_is_given_stays() -> None:
    assert axis_of("", [3.0, 77.0], low=0.0, high=80.0)[1:3] == (0.0, 80.0)
    assert [label for _, label in axis_of("", (), low=0.0, high=1.0, most=5).ticks] == [
        "0.0", "0.2", "0.4", "0.6", "0.8", "1.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (12345.6, "12,346"), (1234567, "1.23e6"), (5e-6, "5e-6"), (-3, "-3"), (1e100, "1e100")],
)
def test_numbers_have_few_digits(value: float, text: str) -> None:
    assert number(value) == text


@given(st.integers(1, 400), st.integers(1, 25))
def test_names_of_rows_leave_room_for_each_other(rows: int, letters: int) -> None:
    axis = row_axis("", ["x" * letters] * rows)
    if len(axis.ticks) > 1:
        assert len(axis.ticks) * LETTER * letters < WIDE + LETTER * letters


def test_a_line_is_broken_where_it_has_no_value_and_a_lone_point_is_a_dot() -> None:
    chart = Chart("", Axis("", 0.0, 4.0, ()), Axis("", 0.0, 1.0, ()))
    points = [(0.0, 0.0), (1.0, 1.0), (2.0, None), (3.0, 0.5), (4.0, math.nan)]
    line, dot = chart.path(Line("", points)).split("M")[1:]
    assert line.count("L") == 1
    assert dot.endswith("h0")
    band = chart.path(Line("", points, upper=points))
    assert band.count("Z") == 2
    assert band.count("L") == 3 + 1


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_whatever_is_drawn_lies_inside_of_the_drawing(x: float, y: float) -> None:
    chart = bar_chart("", ("", ""), [("a", 1.0), ("b", None)], 1.0)
    across, down = chart.at(x, y)
    assert chart.left <= across + 0.1
    assert across <= chart.right + 0.1
    assert 0 < down < HEIGHT


def test_bars_and_the_ends_of_lines_are_told() -> None:
    told = bar_chart("Quality", ("length", "chrF"), [("1-5", 71.6), ("6-10", None)], 100.0).said
    assert told == "Quality. chrF by length. 1-5: 72"
    axis = axis_of("x", [0.0, 4.0])
    told = Chart("Loss", axis, axis, [Line("training", [(0.0, 4.0), (2.0, 1.25), (4.0, None)])]).said
    assert told.endswith("training: 4 at 0 to 1.25 at 2")
