"""CSV files to columns: strict, in the order of time, and what cannot be read is said with its line."""

from pathlib import Path
from typing import Any

import pytest

from s2s.errors import DataError
from s2s.forecast.data import SeriesData
from s2s.forecast.table import SeriesTable, read_series


def table(tmp_path: Path, text: str, *wanted: str, **data: Any) -> SeriesTable:
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    return read_series(SeriesData(series="x/all", targets=wanted or ("b",), **data), path)


def test_columns_are_read_by_name_and_comments_left_out(tmp_path: Path) -> None:
    read = table(tmp_path, "# a remark\na,b\n1,2.5\n# another\n3,-4e1\n", "b", "a")
    assert read.columns["a"].tolist() == [1, 3]
    assert read.columns["b"].tolist() == [2.5, -40]
    assert len(read) == 2


def test_the_last_comment_names_the_columns_where_no_header_does(tmp_path: Path) -> None:
    read = table(tmp_path, "# http://somewhere\n# Open,Close\n1,2\n3,4\n", "Close", newest_first=True)
    assert read.columns["Close"].tolist() == [4, 2]


def test_below_the_header_what_may_be_a_row_is_none_the_less_for_its_sharp(tmp_path: Path) -> None:
    read = table(tmp_path, 'id,b\n#1,1\n"#2",2\n# a remark\n# its "quotes, too", and more\n#3,3\n')
    assert read.columns["b"].tolist() == [1, 2, 3]
    assert read.lines.tolist() == [2, 3, 6]
    assert table(tmp_path, '"#id",b\n#1,1\n').columns["b"].tolist() == [1]


@pytest.mark.parametrize(
    "times",
    [
        ("1958", "1957"),
        ("2020-02", "2020-01"),
        ("20200102", "20200101"),
        ("02.01.2020", "01.01.2020"),
        ("2020-01-15", "2020-01"),
        ("20000000", "19991231"),  # numbers, since one of them is no date
        ("2020-10-25T02:30+01:00", "2020-10-25T02:45+02:00"),  # the night when summer time ends
        ("2020-01-01T00:00Z", "2020-01-01T00:30+01:00"),
        ("1/2/2020", "31/1/2020"),
        ("2/1/2020", "1/31/2020"),
    ],
)
def test_rows_are_sorted_by_time(times: tuple[str, str], tmp_path: Path) -> None:
    read = table(tmp_path, f"t,b\n{times[0]},2\n{times[1]},1\n", time="t")
    assert read.columns["b"].tolist() == [1, 2]
    assert read.times == times[::-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"x.csv: the file is empty"),
        ("a,b\n", "there are no rows below the header"),
        ("a,c\n1,2\n", "no column is named 'b'; there are: a, c"),
        ("b,b\n1,2\n", "2 columns are named 'b'"),
        ("a,b\n1,2\n1,2,3\n", r"line 3: has 3 cells, but there are 2 columns \(a, b\)"),
        ("a,b\n1,\n", "line 2: column b has no value"),
        ("a,b\n1,NA\n", r"line 2: column b has no value \('NA'\)"),
        ("a,b\n1,high\n", "line 2: column b has 'high', which is no number"),
        ("a,b\n1,inf\n", "line 2: column b has 'inf', which is no number"),
        ("1,2\n3,4\n", "line 1: the first row must name the columns"),
        ("a,b\r1,2\r3,4\r", "x.csv: its lines end in a lone carriage return, as on an old Mac"),
        ("a;b\n1,5;2\n1.5;2\n", "line 3: column a has 1.5 with a point, and in line 2 a decimal comma"),
        ("a|b\n1|2\n", "line 2: columns are separated by vertical bars; separate them by commas"),
        ('a,b\n1,"2\n', "line 2: is no line of comma-separated values .* close each quote in its line"),
        ('a,b\n"1"5,2\n', "line 2: is no line of comma-separated values"),
        (f"a,b\n{'1' * 140_000},2\n", "line 2: is no line of comma-separated values"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,b\n2020-01,1\nsoon,2\n", "line 3: column t has 'soon', which is no date and no number"),
        ("t,b\n5/1/2020,1\n6/1/2020,2\n", "line 2: column t has dates such as 5/1/2020, of which none tells whether"),
        ("t,b\n2000,1\nnan,2\n", "line 3: column t has 'nan', which is no date and no number"),
        ("t,b\ninf,1\n2000,2\n", "line 2: column t has 'inf', which is no date and no number"),
        ("t,b\n2020-01,1\n2019,2\n", "line 3: column t has '2019', a plain number, but dates in other lines"),
        ("t,b\n2020-01,1\n2020-01,2\n", "lines 2 and 3: have one time, but other values"),
    ],
)
def test_times_that_cannot_be_are_said_with_their_lines(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, text, time="t")
