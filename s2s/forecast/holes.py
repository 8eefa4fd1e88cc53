"""Holes of a series: times between two rows that are longer than its usual step, and not regularly so."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.calendar import months_later
from s2s.forecast.data import DURATION
from s2s.forecast.times import Times

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
LARGEST_STEP = 1.5
"""Longest time between neighbours, in usual steps."""
LARGEST_IRREGULAR_STEP = 10
"""The same of a series that has no usual step: fewer than half of its steps are near the median one."""
NEAR = 0.1
"""Share of the median step by which the calendar makes months and years differ, and a clock its seconds."""
HOLIDAYS = 4
"""Working days in a row without a row that are no hole, in a series with weekends: a whole week is one."""
OFTEN = 0.5
"""Share of the days, or of the weeks, with any gap in which equal ones at one time of it are regular: nights."""
CHAIN = 4
"""Equal gaps in a row, a day or a week apart, that are regular: nights that grow longer with the season."""
SAME = 0.75
"""Usual steps by which equal gaps may differ."""
DAYS_TO_TELL = 21
"""Days from which it is told on which days of the week there are next to no rows."""
LIKE = 1.25
"""Ratio of the usual steps of two tables from which they differ: a month has 28 to 31 days."""
DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
MONTH = 365.2425 / 12
"""Days of a mean month."""
ROUNDING = 1e-6
UNITS = {"week": 7.0, "day": 1.0, "hour": 1 / 24, "minute": 1 / 1440, "second": 1 / 86400}
"""In days, the longest first."""


class Rhythm(NamedTuple):
    """How far apart the rows of a series usually are."""

    step: float
    """in days of dates, or in plain numbers"""
    dated: bool
    resting: tuple[int, ...] | None
    """days of the week, from Monday, without rows; None of too few weeks to tell"""

    def after(self, local: float, count: int) -> Floats:
        """(count,) local days of the next rows after one, the resting days of the week left out; of dated rows."""
        months = round(self.step / MONTH)
        if months and abs(self.step - months * MONTH) <= NEAR * MONTH:
            return np.array([months_later(local, months * step) for step in range(1, count + 1)])
        found = list[float]()
        while len(found) < count:
            local += self.step
            if int(local + ROUNDING) % 7 not in (self.resting or ()):
                found.append(local)
        return np.array(found)

    def differs(self, learned: "Rhythm") -> str:
        """How it differs from that of the training table, in words; nothing where it does not."""
        if self.dated != learned.dated:
            kinds = {True: "dates", False: "plain numbers"}
            return f"its times are {kinds[self.dated]}, but those of the training table {kinds[learned.dated]}"
        if not self.step / LIKE < learned.step < self.step * LIKE:
            own, other = (duration(each.step) if each.dated else f"{each.step:g}" for each in (self, learned))
            return f"its rows are usually {own} apart, but those of the training table {other}"
        if None not in (self.resting, learned.resting) and self.resting != learned.resting:
            return f"it has {_worked(self.resting)}, but the training table {_worked(learned.resting)}"
        return ""


def _worked(resting: tuple[int, ...] | None) -> str:
    return f"no rows on {' and '.join(DAYS[day] for day in resting)}" if resting else "rows on all days of the week"


class Holes(NamedTuple):
    """Where the holes are, and what counts as one."""

    after: Flags
    """(N - 1,) whether a hole follows each row but the last"""
    rule: str
    """The shortest hole, in words"""
    rhythm: Rhythm | None = None
    """None of fewer than two rows, and where no time is read"""


def find_holes(times: Times, longest: str | None) -> Holes:
    """The holes between rows in the order of time; `longest` is data.longest_step.

    Without it the usual step is the median one; days of the week on which there are next to no rows take no time, and
    a gap that comes back day after day, or week after week, as nights do, is none. DataError for a `longest` in days
    of times that are plain numbers, or the reverse.
    """
    with np.errstate(over="ignore"):
        gaps = np.diff(times.moments)
    limit = None if longest is None else _limit(longest, dates=times.local is not None)
    if not len(gaps):
        return Holes(np.zeros(0, bool), "" if longest is None else f"more than {longest}")
    resting = _resting(times, gaps)
    removed = np.zeros(len(gaps))
    if times.local is not None and resting.any():
        removed = _days_without_work(times.local, resting)
    whole, gaps = gaps, gaps - removed
    step = float(np.median(gaps))
    weeks = times.local is not None and np.ptp(times.local) >= DAYS_TO_TELL
    rhythm = Rhythm(step, times.local is not None, tuple(np.flatnonzero(resting).tolist()) if weeks else None)
    if limit is not None:
        return Holes(whole > limit * (1 + ROUNDING), f"more than {longest}", rhythm)
    near = np.abs(gaps - step) <= NEAR * step
    usual = bool(near.mean() >= 0.5)
    wide = gaps > (LARGEST_STEP if usual else LARGEST_IRREGULAR_STEP) * step * (1 + ROUNDING)
    words = duration(step) if times.local is not None else f"{step:g}"
    rule = (
        f"more than {LARGEST_STEP} steps of {words}" if usual else f"more than {LARGEST_IRREGULAR_STEP} times {words}"
    )
    if times.local is not None and usual and wide.any():
        regular = _regular(times.local[:-1], gaps, wide, step)
        rule += ", nights and other regular gaps apart" if regular.any() else ""
        wide &= ~regular
    rule += ", weekends and holidays apart" if removed.any() else ""
    return Holes(wide, rule, rhythm)


def duration(days: float) -> str:
    """A length of time in words: "1 hour", "10 minutes"; months and years in days."""
    unit = next((unit for unit in UNITS if days >= UNITS[unit] * (1 - ROUNDING) and unit != "week"), "second")
    count = round(days / UNITS[unit], 3)
    return f"{count:g} {unit}{'s' * (count != 1)}"


def _limit(longest: str, *, dates: bool) -> float:
    match = DURATION.fullmatch(longest)
    assert match is not None, "the recipe refuses any other text"
    if dates != (match[2] is not None):
        given, times = ("no unit", "dates") if dates else (f"the unit {match[2]}", "plain numbers")
        remedy = f'with one, such as "{longest} days"' if dates else f"without, such as {match[1]}"
        raise DataError(f"data.longest_step: {longest} has {given}, but the times are {times}; write it {remedy}")
    return float(match[1]) * UNITS.get(match[2], 1.0)


def _resting(times: Times, gaps: Floats) -> Flags:
    """(7,) the days of the week, from Monday, on which there are next to no rows: known of weekends, else by weeks."""
    none = np.zeros(7, bool)
    if times.local is None or np.median(gaps) >= 7 * (1 - NEAR):
        return none
    days = np.unique(np.floor(times.local)).astype(int)
    on = np.bincount(days % 7, minlength=7)
    if on.max() >= 3 and days[-1] - days[0] >= DAYS_TO_TELL:
        return np.asarray(on < 0.1 * on.max())
    return np.arange(7) >= 5 if not on[5:].any() else none


def _days_without_work(local: Floats, resting: Flags) -> Floats:
    """(N,) days of the rows -> (N - 1,) whole days between two rows that are weekend, or with it a few holidays."""
    days = np.floor(local).astype(int)
    between = np.maximum(np.diff(days) - 1, 0)
    rests = np.concatenate([[0], np.cumsum(resting)])  # before each day of a week
    before = days // 7 * rests[-1] + rests[days % 7]  # resting days before each row's day
    closed = np.maximum(np.diff(before) - resting[days[:-1] % 7], 0)
    removed: Floats = np.where(between - closed <= HOLIDAYS, between, closed).astype(float)
    return removed


def _regular(local: Floats, gaps: Floats, wide: Flags, step: float) -> Flags:
    """(N - 1,) whether a wide gap (there must be one) comes back at its time of the day or the week, equally long."""
    at = np.flatnonzero(wide)
    lengths, regular = gaps[at], np.zeros(len(gaps), bool)
    working = local[0] + np.cumsum(gaps)[at] - lengths  # on the working days alone, where Monday follows Friday
    for period, starts in ((1, working), (7, local[at])):
        if 2 * SAME * step >= period:
            continue
        same = []
        for days in range(-period * (CHAIN - 1), period * CHAIN, period):
            other = np.minimum(np.searchsorted(starts, starts + days - SAME * step), len(at) - 1)
            apart = np.maximum(np.abs(starts[other] - starts - days), np.abs(lengths[other] - lengths))
            same.append(apart <= SAME * step)
        places = np.round(np.stack([starts % period, lengths]) / step)
        _, which, counts = np.unique(places, axis=1, return_inverse=True, return_counts=True)
        regular[at] |= counts[which.reshape(-1)] >= max(CHAIN - 1, len(np.unique(starts // period)) * OFTEN)
        regular[at] |= np.lib.stride_tricks.sliding_window_view(np.stack(same), CHAIN, axis=0).all(axis=-1).any(axis=0)
    return regular
