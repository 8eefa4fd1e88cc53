"""Times: every form that people write is the moment that was meant, and what two forms could mean is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import DataError
from s2s.forecast.rows import Row
from s2s.forecast.times import EPOCH, Times, read_times

MINUTES = st.datetimes(datetime(1800, 1, 1), datetime(2199, 12, 31)).map(
    lambda each: each.replace(second=0, microsecond=0)
)
FORMS = [
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%Y/%m/%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y.%m.%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%d %H:%M+00:00",
    "%Y%m%d%H%M",
    "%Y%m%d%H%M%S",
    "%Y%m%dT%H%M",
    "%Y/%m/%d %I:%M %p",
    "%d.%m.%Y, %H:%M",
]
"""Forms that say by themselves which number is the day."""


def times(*cells: str, form: str | None = None) -> Times:
    rows = [Row(Path("x.csv"), line, [cell]) for line, cell in enumerate(cells, start=2)]
    return read_times(rows, 0, "t", form)


def days(*moments: datetime) -> list[float]:
    return [(moment.replace(tzinfo=UTC) - EPOCH) / timedelta(days=1) for moment in moments]


@pytest.mark.parametrize("form", FORMS)
@given(moment=MINUTES)
def test_a_date_with_a_clock_is_read_in_each_form(form: str, moment: datetime) -> None:
    read = times(f"{moment:{form}}")
    assert read.moments.tolist() == days(moment)
    assert np.array_equal(read.moments, read.local if read.local is not None else [])


@pytest.mark.parametrize(
    "form", ["%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y"]
)
@given(moments=st.lists(MINUTES, max_size=5))
def test_the_whole_column_tells_whether_the_day_comes_first(form: str, moments: list[datetime]) -> None:
    known = [moment if "H" in form or "I" in form else moment.replace(hour=0, minute=0) for moment in moments]
    known.append(datetime(2009, 1, 31))
    assert times(*(f"{moment:{form}}" for moment in known)).moments.tolist() == days(*known)


@pytest.mark.parametrize("form", ["%m/%d/%Y %H:%M", "%d/%m/%Y", "%d-%m-%Y %H:%M:%S"])
def test_a_column_that_does_not_tell_is_refused_and_the_form_can_be_said(form: str) -> None:
    known = [datetime(2009, 1, 2), datetime(2009, 3, 4)]
    cells = [f"{moment:{form}}" for moment in known]
    with pytest.raises(
        DataError, match=f"line 2: column t has dates such as {cells[0]}, of which none .*data.time_format="
    ):
        times(*cells)
    assert times(*cells, form=form).moments.tolist() == days(*known)


def test_months_years_and_numbers() -> None:
    months = days(datetime(2009, 11, 1), datetime(2009, 12, 1), datetime(2010, 1, 1))
    for cells in (("2009-11", "2009-12", "2010-01"), ("2009/11", "2009/12", "2010/1"), ("200911", "200912", "201001")):
        assert times(*cells).moments.tolist() == months
    for numbers in ((1957.0, 1958.0), (2001.04, 2001.12), (1230768000.0, 1230768600.0), (0.5, 200001.0)):
        read = times(*map(str, numbers))
        assert (read.moments.tolist(), read.local) == (list(numbers), None)


def test_an_offset_counts_for_the_moment_and_not_for_the_calendar() -> None:
    read = times("2020-10-25T02:30+02:00", "2020-10-25 02:30 +01:00")
    assert np.diff(read.moments).tolist() == pytest.approx([1 / 24])
    assert read.local is not None
    assert read.local.tolist() == pytest.approx(days(datetime(2020, 10, 25, 2, 30)) * 2)


def test_midnight_may_be_the_end_of_a_day() -> None:
    assert (
        times("31.12.2009 24:00", "1.1.2010 00:00", "1/1/2010 12:00 AM", "13/1/2010").moments[:3].tolist()
        == days(datetime(2010, 1, 1)) * 3
    )


@pytest.mark.parametrize(
    "cell",
    ["2009-13-01", "30.02.2009", "2009-01-01 25:00", "1.1.2009 10:61", "1.1.2009 13:00 PM", "1.1.2009 24:01", "soon"],
)
def test_what_is_no_time_is_said_with_its_line_and_both_remedies(cell: str) -> None:
    with pytest.raises(
        DataError, match=f"x.csv, line 3: column t has '{cell}', which is no date and .* or set data.time_f"
    ):
        times("2009-01-01", cell)


def test_dates_of_both_orders_are_refused_with_what_the_others_say() -> None:
    with pytest.raises(
        DataError, match=r"line 4: column t has '1/31/2020', which is no date .*; other lines have the day f"
    ):
        times("1/2/2020", "31/1/2020", "1/31/2020")


def test_a_cell_that_is_not_in_the_form_asked_for_is_said() -> None:
    with pytest.raises(DataError, match=r"line 3: column t has '2009-01-02', which is not in the form '%d\.%m\.%y'"):
        times("1.1.09", "2009-01-02", form="%d.%m.%y")
