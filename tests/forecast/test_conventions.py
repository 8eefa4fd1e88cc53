"""Conventions of other programs in a table: each is told of once, with column, value and what to do."""

from pathlib import Path
from typing import Any

import pytest

from s2s.errors import DataError
from s2s.forecast.data import SeriesData
from s2s.forecast.table import SeriesTable, read_series

STORES = [("north", 1), ("south", 5), ("east", 9)]
YEARS = range(2001, 2006)


def table(folder: Path, text: str, *targets: str, **data: Any) -> SeriesTable:
    (folder / "x.csv").write_text(text)
    return read_series(SeriesData(series="x/all", targets=targets or ("sold",), **data), folder / "x.csv")


def refused(folder: Path, text: str, **data: Any) -> str:
    with pytest.raises(DataError) as problem:
        table(folder, text, **data)
    assert "keep one" not in str(problem.value)
    return str(problem.value)


BY_STORE = "store,year,sold\n" + "".join(f"{store},{year},{sold + year}\n" for store, sold in STORES for year in YEARS)
BY_YEAR = "store,year,sold\n" + "".join(f"{store},{year},{sold + year}\n" for year in YEARS for store, sold in STORES)


@pytest.mark.parametrize("text", [BY_STORE, BY_YEAR])
def test_several_series_in_one_table_are_named_by_their_column(text: str, tmp_path: Path) -> None:
    said = refused(tmp_path, text, time="year")
    assert "seems to hold 3 series, told apart by column store (north, south, east): set data.series_id" in said
    assert 'set data.series_id="store" to train on all of them; if store is a part of the time' in said
    assert ": have one time, but other values; " in said


def test_two_columns_may_tell_series_apart_together(tmp_path: Path) -> None:
    rows = [f"{store},{item},{year},{len(item)}" for store, _ in STORES for item in ("a", "bb") for year in YEARS]
    said = refused(tmp_path, "\n".join(["store,item,year,sold", *rows]), time="year")
    assert "6 series, told apart by column store and item (north a, north bb, south a and 3 more)" in said


def test_series_below_each_other_are_seen_without_a_time_column_too(tmp_path: Path) -> None:
    said = refused(tmp_path, BY_STORE)
    assert "x.csv, line 7: column year goes back in time where store changes; the table seems to hold 3 series" in said
    numbered = BY_STORE.replace("north", "1").replace("south", "2").replace("east", "3")
    assert "told apart by column store (1, 2, 3)" in refused(tmp_path, numbered)


@pytest.mark.parametrize(
    "rows",
    [
        [f"{year},{month},3" for year in YEARS for month in range(1, 13)],
        [f"{year},{month},3" for year in YEARS for month in ("Jan", "Feb", "Mar")],
        [f"{month},{day},3" for month in ("Jan", "Feb", "Mar") for day in range(1, 29)],
        [f"2020-01-{day:02},{hour},3" for day in range(1, 10) for hour in range(24)],
    ],
)
def test_parts_of_the_time_are_not_taken_for_several_series(rows: list[str], tmp_path: Path) -> None:
    assert len(table(tmp_path, "\n".join(["one,other,sold", *rows]))) == len(rows)


def test_rows_of_one_time_that_nothing_tells_apart_are_said(tmp_path: Path) -> None:
    said = refused(tmp_path, "year,sold\n2001,1\n2001,2\n", time="year")
    assert "x.csv, lines 2 and 3: have one time, but other values; a series has one row for each time" in said


def test_equal_rows_are_one_remark(tmp_path: Path) -> None:
    rows = [f"{year},{year}" for year in range(1900, 1930)]
    read = table(tmp_path, "\n".join(["year,sold", *rows, *rows[5:25]]), time="year")
    assert len(read) == 30
    assert len(read.remarks) == 1
    assert "x.csv: 20 rows left out that repeat another, the first in line 32 as line 7" in read.remarks[0]


def known(*codes: tuple[int, object], rows: int = 40) -> str:
    values: list[object] = [20 + row % 7 for row in range(rows)]
    for place, code in codes:
        values[place] = code
    return "".join(f"{value}\n" for value in ["sold", *values])


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([(5, -9999)], "column sold has -9999 once, first in line 7, where all other values are from 20 to 26"),
        ([(5, -999), (9, "-999.0"), (11, "-9.99e2")], "column sold has -999 3 times, first in line 7"),
        ([(0, 9999)], "column sold has 9999 once, first in line 2"),
        ([(5, 999), (6, 999)], "column sold has 999 2 times, first in line 7"),
        ([(3, -1), (8, -1)], "column sold has -1 2 times, first in line 5"),
    ],
)
def test_a_number_that_stands_for_missing_is_told_of_and_can_be_declared(
    codes: list[tuple[int, object]], said: str, tmp_path: Path
) -> None:
    read = table(tmp_path, known(*codes))
    (remark,) = read.remarks
    code = float(str(codes[0][1]))
    assert said in remark
    assert f"set data.missing='[{code:g}]'" in remark
    declared = table(tmp_path, known(*codes), missing=(code,))
    assert len(declared) == 40 - len(codes)
    assert f"{len(codes)} rows left out for a value in data.missing".replace("1 rows", "1 row") in declared.remarks[0]
    assert set(declared.columns["sold"]) == set(range(20, 27))


@pytest.mark.parametrize(
    "codes", [[], [(3, -1)], [(3, 99)], [(3, 27)], [(3, 5000), (7, -4000)], [(at, at + 960) for at in range(40)]]
)
def test_other_values_are_not_taken_for_missing(codes: list[tuple[int, object]], tmp_path: Path) -> None:
    codes = [each for each in codes if each != (3, 99)] or [(3, 30)]
    assert table(tmp_path, known(*codes)).remarks == ()


def test_what_is_declared_missing_is_a_hole(tmp_path: Path) -> None:
    text = known((5, "NA"), (9, ""), (10, -9999)).replace("sold", "a,sold").replace("\n", "\n1,", 40)
    read = table(tmp_path, text, missing=("na", "", -9999))
    assert read.starts.tolist() == [5, 8]
    assert read.hole == "a row with a value in data.missing"
    assert len(read) == 37


def test_days_without_a_value_are_a_hole_in_a_working_week_too(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02},{'' if day == 10 else day}" for day in range(1, 29) if day % 7 not in (6, 0)]
    text = "\n".join(["day,sold", *days])
    assert table(tmp_path, text.replace("2024-01-10,\n", ""), time="day").starts.tolist() == []
    read = table(tmp_path, text, time="day", missing=("",))
    assert [read.times[row] for row in read.starts] == ["2024-01-11"]


PROMOTED = "day,promotion,sold\n" + "".join(f"2024-01-{day:02},{day % 3},{day}\n" for day in range(1, 11))


def test_inputs_that_the_last_rows_alone_have_are_said_to_be_known_ahead(tmp_path: Path) -> None:
    future = PROMOTED + "2024-01-11,1,\n2024-01-12,0,NA\n"
    said = refused(tmp_path, future, time="day", inputs=("sold", "promotion"))
    assert "x.csv, lines 12 to 13: the table ends in 2 rows without a value of sold, but with promotion: if" in said
    assert "name it with data.known instead of data.inputs, and forecasts read it; or leave them out: s2s" in said
    assert "fill" not in said
    assert len(table(tmp_path, future, time="day", inputs=("sold", "promotion"), missing=("", "NA"))) == 10


def test_rows_for_the_steps_to_forecast_are_said_to_be_needless(tmp_path: Path) -> None:
    said = refused(tmp_path, PROMOTED + "2024-01-11,,\n", time="day")
    assert "line 12: the table ends in 1 row without a value of sold; leave it out: s2s forecast goes on" in said


def test_a_value_that_lacks_before_the_end_is_still_an_error_of_its_line(tmp_path: Path) -> None:
    text = PROMOTED.replace("2024-01-05,2,5", "2024-01-05,2,")
    assert "x.csv, line 6: column sold has no value ('')" in refused(tmp_path, text, time="day")


@pytest.mark.parametrize(
    ("column", "count"),
    [
        (["A", "A", "A", "B", "B", "B"], 2),
        (["A", "B", "A", "B", "A", "B", "A"], 2),
        (["north", "south", "east"] * 3, 3),
        (["A", "A", "B"], 0),  # too few rows to say
        (["a note", "", "", "", ""], 0),
        (["low", "low", "high", "low", "low", "high", "high"], 0),
        (["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"] * 3, 0),
        (["1", "1", "1", "2", "2", "2"], 0),
    ],
)
def test_without_times_a_column_of_text_that_seems_to_tell_series_apart_is_told(
    column: list[str], count: int, tmp_path: Path
) -> None:
    rows = [f"{store},{number}.5" for number, store in enumerate(column)]
    told = table(tmp_path, "\n".join(["store,sold", *rows])).remarks
    assert len(told) == (count > 0)
    assert all(f"seems to hold {count} series, told apart by column store ({column[0]}, " in each for each in told)
