"""Holes: gaps that do not belong to the calendar of a series, whatever its step."""

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import DataError
from s2s.forecast.holes import Holes, Rhythm, duration, find_holes
from s2s.forecast.times import EPOCH, Times

START = datetime(2009, 1, 1)
GOOD_FRIDAY, EASTER_MONDAY = datetime(2009, 4, 10), datetime(2009, 4, 13)
Open = Callable[[datetime], bool]


def dates(*moments: datetime) -> Times:
    days = np.array([(moment - EPOCH.replace(tzinfo=None)) / timedelta(days=1) for moment in moments])
    return Times(days, days)


def every(step: timedelta, span_days: int, *conditions: Open) -> list[datetime]:
    """The moments of some days, a step apart, at which all conditions hold."""
    count = int(timedelta(days=span_days) / step)
    moments = [START + number * step for number in range(count)]
    return [moment for moment in moments if all(condition(moment) for condition in conditions)]


def holes(*moments: datetime, longest: str | None = None) -> Holes:
    return find_holes(dates(*moments), longest)


def outside(first: datetime, end: datetime) -> Open:
    return lambda moment: not first <= moment < end


def weekday(moment: datetime) -> bool:
    return moment.weekday() < 5


def by_day(moment: datetime) -> bool:
    return 8 <= moment.hour <= 18


def traded(moment: datetime) -> bool:
    return weekday(moment) and moment not in (GOOD_FRIDAY, EASTER_MONDAY)


def shop(moment: datetime) -> bool:
    return by_day(moment) and (weekday(moment) or (moment.weekday() == 5 and moment.hour <= 12))


def daylight(moment: datetime) -> bool:
    return abs(moment.hour + moment.minute / 60 - 12) <= 6 + 2 * np.sin((moment.timetuple().tm_yday - 80) / 58)


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CALENDARS: dict[str, tuple[timedelta, int, Open, int]] = {
    "hours": (HOUR, 12, lambda _: True, 1),
    "minutes without a lunch hour": (timedelta(minutes=5), 40, lambda each: shop(each) and each.hour != 12, 40),
    "ten days of opening hours": (HOUR, 10, by_day, 24),
    "two weeks of working hours": (HOUR, 14, lambda each: weekday(each) and by_day(each), 3),
    "half a year of working hours": (HOUR, 180, lambda each: weekday(each) and by_day(each), 60),
    "a shop on Saturday mornings": (HOUR, 60, shop, 12),
    "trading days": (DAY, 400, traded, 5),
    "a month of trading days": (DAY, 32, weekday, 6),
    "never on Sunday": (DAY, 100, lambda each: each.weekday() != 6, 5),
    "Tuesdays and Thursdays": (DAY, 200, lambda each: each.weekday() in (1, 3), 5),
    "weeks": (7 * DAY, 700, lambda _: True, 1),
}
"""The step, the days, when there are rows, and how many rows are gone where there is a hole."""


@pytest.mark.parametrize("name", CALENDARS)
def test_nights_weekends_and_holidays_are_no_holes_and_what_is_gone_besides_is(name: str) -> None:
    step, span, opened, gone = CALENDARS[name]
    moments = every(step, span, opened)
    assert not holes(*moments).after.any()
    middle = len(moments) // 2
    found = holes(*moments[:middle], *moments[middle + gone :]).after
    assert np.flatnonzero(found).tolist() == [middle - 1]


@pytest.mark.parametrize(
    "moments",
    [
        [datetime(2000 + month // 12, month % 12 + 1, 1) for month in range(60)],
        [datetime(2000 + month // 12, month % 12 + 1, 1) - DAY for month in range(60)],
        [datetime(2000 + month // 12, month % 12 + 1, 1) for month in range(0, 120, 3)],
        [datetime(year, 7, 1) for year in range(1900, 1960)],
    ],
)
def test_months_quarters_and_years_have_no_holes_but_where_one_is_gone(moments: list[datetime]) -> None:
    assert not holes(*moments).after.any()
    assert np.flatnonzero(holes(*moments[:20], *moments[21:]).after).tolist() == [19]


def test_a_week_without_trading_is_a_hole_and_some_holidays_are_none() -> None:
    monday = datetime(2009, 6, 1)
    for working_days, is_hole in ((1, False), (4, False), (5, True)):
        gone = outside(monday, monday + working_days * DAY)
        assert holes(*every(DAY, 400, traded, gone)).after.sum() == is_hole


def test_an_outage_of_hours_is_a_hole_among_nights_and_weekends() -> None:
    gone = outside(datetime(2009, 3, 5, 11), datetime(2009, 3, 5, 15))
    moments = every(HOUR, 180, lambda each: weekday(each) and by_day(each), gone)
    found = holes(*moments)
    assert [moments[at] for at in np.flatnonzero(found.after)] == [datetime(2009, 3, 5, 10)]
    assert (
        found.rule == "more than 1.5 steps of 1 hour, nights and other regular gaps apart, weekends and holidays apart"
    )


def test_nights_that_grow_longer_are_nights() -> None:
    moments = every(HOUR, 365, daylight)
    nights = int((np.diff([moment.day for moment in moments]) != 0).sum())
    assert holes(*moments).after.sum() < 0.03 * nights


@given(st.lists(st.integers(1, 198), max_size=10, unique=True))
def test_each_row_that_is_gone_from_regular_ones_is_a_hole(gone: list[int]) -> None:
    kept = np.array([row for row in range(200) if row not in gone])
    found = find_holes(Times(kept.astype(float), None), None)
    assert np.array_equal(found.after, np.diff(kept) > 1)
    assert found.rule == "more than 1.5 steps of 1"


def test_times_without_a_usual_step_have_holes_where_the_gap_is_much_longer() -> None:
    hours = np.cumsum(np.random.default_rng(4).uniform(0.1, 3, 200))
    hours[120:] += 24 * 90
    found = holes(*(START + timedelta(hours=hour) for hour in hours.tolist()))
    assert np.flatnonzero(found.after).tolist() == [119]
    assert found.rule.startswith("more than 10 times 1.")


@pytest.mark.parametrize(
    ("longest", "count"), [("1 day", 3), ("2 days", 1), ("36 hours", 3), ("1 week", 1), ("2 weeks", 0)]
)
def test_a_longest_step_is_taken_as_it_is_said(longest: str, count: int) -> None:
    moments = [START + day * DAY for day in (0, 1, 2, 4, 5, 7, 17)]
    found = holes(*moments, longest=longest)
    assert (found.after.sum(), found.rule) == (count, f"more than {longest}")


def test_a_longest_step_has_the_unit_that_the_times_have() -> None:
    with pytest.raises(
        DataError, match=r'data.longest_step: 3 has no unit, but the times are dates; .* such as "3 days"'
    ):
        holes(START, START + DAY, longest="3")
    with pytest.raises(
        DataError, match="3 days has the unit day, but the times are plain numbers; write it without, such as 3"
    ):
        find_holes(Times(np.arange(4.0), None), "3 days")
    assert find_holes(Times(np.array([1.0, 2, 5]), None), "3").after.tolist() == [False, False]
    assert find_holes(Times(np.array([1.0, 2, 5]), None), "2.5").after.tolist() == [False, True]


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (1, "1 day"),
        (7, "7 days"),
        (1 / 24, "1 hour"),
        (1 / 144, "10 minutes"),
        (1 / 86400, "1 second"),
        (1e-6, "0.086 seconds"),
    ],
)
def test_a_duration_in_words(days: float, words: str) -> None:
    assert duration(days) == words


def test_one_row_and_two_have_no_hole() -> None:
    assert holes(START).after.tolist() == []
    assert holes(START, START + 99 * DAY).after.tolist() == [False]


def rhythm(*moments: datetime) -> Rhythm:
    found = holes(*moments).rhythm
    assert found is not None
    return found


def test_tables_of_one_rhythm_do_not_differ_and_others_say_how() -> None:
    day = timedelta(days=1)
    daily, weekdays, hourly = every(day, 60), every(day, 60, weekday), every(timedelta(hours=1), 30)
    months = [datetime(2009 + number // 12, number % 12 + 1, 1) for number in range(30)]
    for moments in (daily, weekdays, hourly, months):
        assert rhythm(*moments[-9:]).differs(rhythm(*moments)) == ""
        assert rhythm(*moments[:2]).differs(rhythm(*moments)) == ""
    assert rhythm(*months).differs(rhythm(*daily)) == (
        "its rows are usually 31 days apart, but those of the training table 1 day"
    )
    assert rhythm(*daily).differs(rhythm(*hourly)).endswith("1 day apart, but those of the training table 1 hour")
    without = "it has no rows on Saturdays and Sundays, but the training table rows on all days of the week"
    assert rhythm(*weekdays).differs(rhythm(*daily)) == without
    numbers = find_holes(Times(np.arange(9.0), None), None).rhythm
    assert numbers is not None
    assert numbers.differs(rhythm(*daily)) == "its times are plain numbers, but those of the training table dates"
    assert rhythm(*daily) == find_holes(dates(*daily), "3 days").rhythm
    assert holes(daily[0]).rhythm is None
