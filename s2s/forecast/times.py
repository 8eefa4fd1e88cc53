"""The cells of a time column as moments that can be compared and subtracted, in the forms that people write."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from s2s.forecast.rows import Row, number_of

Floats = NDArray[np.float64]
_ZONE = r"(Z|UTC|GMT|(?:UTC|GMT)?[+-]\d{2}:?\d{2})"
_CLOCK = r"(?:(?:T|,?\s+)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6}))?)?(?:\s*([AaPp])[Mm])?\s*" + _ZONE + "?)?"
YEAR_MONTH = re.compile(r"(\d{4})[-/](\d{1,2})", re.ASCII)
YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + _CLOCK, re.ASCII)
YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _CLOCK, re.ASCII)
UNBROKEN = re.compile(r"((?:1[89]|2[01])\d\d)(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(\d\d)?)?)?)?", re.ASCII)
"""From YYYYMM to YYYYMMDDhhmmss."""
EPOCH = datetime(1, 1, 1, tzinfo=UTC)
"""A Monday."""
FIRST_DAY = np.datetime64("0001-01-01")


class Times(NamedTuple):
    """Moments of rows, all dates or all plain numbers."""

    moments: Floats
    """(N,) dates in days of UTC, which one without an offset is taken for, or the numbers as they are"""
    local: Floats | None
    """(N,) days by the clock and calendar that were written, since a Monday's midnight; None for plain numbers"""

    def rows(self, which: NDArray[np.integer]) -> "Times":
        """The times of some rows."""
        return Times(self.moments[which], None if self.local is None else self.local[which])


def read_times(rows: Sequence[Row], place: int, name: str, form: str | None, zone: str | None = None) -> Times:
    """The times of rows; DataError, with its line, for one that cannot be read, or not in the form of the others.

    Those without an offset are by the clocks of a time `zone`, or else of UTC. Where its clocks are set back, the
    second of two equal hours is the one that comes later, in the order of the rows.
    """
    cells = [row.cell(place) for row in rows]
    if form is not None:
        return _of_dates([_in_form(row, cell, name, form) for row, cell in zip(rows, cells, strict=True)], zone)
    day_first = _day_first(rows, cells, name)
    found = [_date(cell, day_first) for cell in cells]
    dates = [date for date in found if date is not None]
    if len(dates) == len(found):
        return _of_dates(dates, zone)
    numbers = [number_of(cell) for cell in cells]
    neither = [
        date is None and (number is None or np.isinf(number)) for date, number in zip(found, numbers, strict=True)
    ]
    if not any(neither) and None not in numbers:
        return Times(np.array(numbers, float), None)
    fault = "a plain number, but dates in other lines; write all times in one form"
    if any(neither):
        fault = (
            "which is no date and no number; write dates as YYYY-MM-DD or YYYY-MM-DD hh:mm, or set data.time_format"
            ' to their form, such as "%d/%m/%Y %H:%M"'
        )
        if day_first is not None:
            fault += f"; other lines have the {'day' if day_first else 'month'} first"
    first = neither.index(True) if any(neither) else found.index(None)
    raise rows[first].fault(f"column {name} has {cells[first]!r}, {fault}")


def _of_dates(dates: Sequence[datetime], zone: str | None) -> Times:
    if zone is None and all(date.tzinfo is None for date in dates):
        plain = np.array(dates, "datetime64[us]")
        days = plain.astype("datetime64[D]")
        moments = (days - FIRST_DAY).astype(float) + (plain - days) / np.timedelta64(1, "D")
        return Times(moments, moments)
    clocks, aware = ZoneInfo(zone) if zone else UTC, list[datetime]()
    for date in dates:
        date = date.replace(tzinfo=clocks) if date.tzinfo is None else date
        again = date.replace(fold=1)
        is_second = aware and date.astimezone(UTC) <= aware[-1].astimezone(UTC) < again.astimezone(UTC)
        aware.append(again if is_second else date)
    moments = np.array([(date - EPOCH) / timedelta(days=1) for date in aware])
    offsets = np.array([(date.utcoffset() or timedelta()) / timedelta(days=1) for date in aware])
    return Times(moments, moments + offsets)


def _in_form(row: Row, cell: str, name: str, form: str) -> datetime:
    try:
        return datetime.strptime(cell, form)
    except ValueError:
        raise row.fault(f"column {name} has {cell!r}, which is not in the form {form!r} of data.time_format") from None


def _day_first(rows: Sequence[Row], cells: Sequence[str], name: str) -> bool | None:
    """Whether dates such as 5/1/2020 begin with the day, as all of them together tell; None where there are none."""
    matches = [YEAR_LAST.fullmatch(cell) for cell in cells]
    at = [number for number, match in enumerate(matches) if match is not None and match[2] != "."]
    pairs = [(int(match[1]), int(match[3])) for match in matches if match is not None and match[2] != "."]
    if any(first > 12 for first, _ in pairs):
        return True
    if any(second > 12 for _, second in pairs):
        return False
    if not pairs:
        return None
    raise rows[at[0]].fault(
        f"column {name} has dates such as {cells[at[0]]}, of which none tells whether the day or the month comes first;"
        ' set data.time_format="%d/%m/%Y" or "%m/%d/%Y" (with a clock " %H:%M"), or write dates as YYYY-MM-DD'
    )


@lru_cache(maxsize=1 << 16)  # many series have the same times
def _date(cell: str, day_first: bool | None) -> datetime | None:
    """A date with or without a clock; None for any other text."""
    if not cell.isascii():
        return None
    with suppress(ValueError):
        return datetime.fromisoformat(cell)
    with suppress(ValueError, OverflowError):
        if match := YEAR_MONTH.fullmatch(cell):
            return datetime(int(match[1]), int(match[2]), 1)
        if match := YEAR_FIRST.fullmatch(cell):
            return _moment(match[1], match[3], match[4], *match.groups()[4:])
        if match := YEAR_LAST.fullmatch(cell):
            day, month = (match[1], match[3]) if day_first or match[2] == "." else (match[3], match[1])
            return _moment(match[4], month, day, *match.groups()[4:])
        if match := UNBROKEN.fullmatch(cell):
            return _moment(match[1], match[2], match[3] or "1", *match.groups()[3:])
    return None


def _moment(
    year: str, month: str, day: str, hour: str | None, minute: str | None, second: str | None,
    part: str | None = None, half: str | None = None, zone: str | None = None,
) -> datetime:  # fmt: skip
    """The date and clock of these digits, 24:00 too; ValueError for what is none."""
    hours = int(hour or 0)
    if half is not None:
        if not 1 <= hours <= 12:
            raise ValueError(f"{hours} is no hour of half a day")
        hours = hours % 12 + 12 * (half in "Pp")
    clock = timedelta(hours=hours, minutes=int(minute or 0), seconds=int(second or 0))
    if hours > 24 or int(minute or 0) > 59 or int(second or 0) > 59 or clock > timedelta(days=1):
        raise ValueError("no time of a day")
    date = datetime(int(year), int(month), int(day))
    if zone is not None:
        offset = zone.removeprefix("UTC").removeprefix("GMT") or "Z"
        date = date.replace(tzinfo=datetime.strptime(offset, "%z").tzinfo)
    return date + clock + timedelta(microseconds=int((part or "0").ljust(6, "0")))
