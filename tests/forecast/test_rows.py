"""Rows of a CSV file: a number is read exactly, or said with its line, its column and the rule."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import DataError
from s2s.forecast.rows import Row, number_of, value_of


@pytest.mark.parametrize(
    ("cell", "number"),
    [("5", 5), (" -1200.5 ", -1200.5), ("+.5", 0.5), ("3.", 3), ("3e-4", 3e-4), ("1E+2", 100), ("007", 7)],
)
def test_digits_with_a_point_are_a_number(cell: str, number: float) -> None:
    assert number_of(cell) == number
    assert value_of(Row(Path("x.csv"), 7, ["a", cell]), 1, "b") == number


@pytest.mark.parametrize(
    "cell",
    [
        "1_000",
        "１２",
        "٣",
        "0x10",
        "infinity",
        "inf",
        "-Infinity",
        "1,5",
        "1 000",
        "1'000",
        "5%",
        "$5",
        "1e",
        ".",
        "1e5.0",
    ],
)
def test_nothing_else_is(cell: str) -> None:
    assert number_of(cell) is None
    with pytest.raises(
        DataError, match=r"x.csv, line 7: column b has .*, which is no number; write digits with a point"
    ):
        value_of(Row(Path("x.csv"), 7, ["a", cell]), 1, "b")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back_as_it_was_written(value: float) -> None:
    assert number_of(repr(value)) == value


def test_what_is_too_large_is_not_finite() -> None:
    with pytest.raises(DataError, match=r"x.csv, line 7: column b has 1e999, which is not finite; the largest"):
        value_of(Row(Path("x.csv"), 7, ["1e999"]), 0, "b")


def test_a_missing_value_is_said_with_all_remedies() -> None:
    with pytest.raises(
        DataError, match=r"no value \('NA'\); fill it in, leave the row out, or .* data.missing='\[\"NA\"\]'"
    ):
        value_of(Row(Path("x.csv"), 7, ["NA"]), 0, "b")
