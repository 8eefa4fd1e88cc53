"""Conventions of other programs, recognised in a table: several series in one, inputs of the future, codes for missing.

Each is reported with its remedy.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.rows import MISSING, Row, counted, is_missing, number_of
from s2s.forecast.times import Times, read_times

CODES = (-1.0, *(sign * (10.0**digits - 1) for sign in (-1, 1) for digits in range(2, 10)))
"""Numbers that stand for a missing value: -1, and nines such as -999 and 9999."""
OFTEN = 0.1
"""Share of the rows that have the time of another in a table of several series; fewer are mistakes."""
LIKELY = 8
"""Columns among which those that tell series apart are looked for."""
CALENDAR = (4, 7, 12)
"""Quarters, weekdays and months, whose names take turns in one series."""
SHOWN = 3
"""Values of a column in a message."""


def require_one_series(
    rows: Sequence[Row], times: Times, header: Sequence[str], others: Sequence[int], name: str = ""
) -> None:
    """DataError for the first of the rows in order of time that has the time of the one before it, but other cells.

    `others` are the places of columns that are neither time nor value, one or two of which may tell series apart;
    `name` is that of a series that data.series_id has told apart.
    """
    same = np.flatnonzero(np.diff(times.moments) == 0)
    differ = [at for at in map(int, same) if rows[at].cells != rows[at + 1].cells]
    if not differ:
        return
    first, second = rows[differ[0]], rows[differ[0] + 1]
    fault = f"{first.path}, lines {first.line:,} and {second.line:,}: have one time, but other values"
    moments = times.moments.tolist()
    likely = [place for place in others if 2 * len({row.cell(place) for row in rows}) <= len(rows)][:LIKELY]
    for count in (1, 2) if len(differ) >= OFTEN * len(rows) else ():
        for places in combinations(likely, count):
            keys = [tuple(row.cell(place) for place in places) for row in rows]
            if _tell_apart(keys, moments):
                raise DataError(f"{fault}; {_series_by(header, places, keys)}")
    remedy = f"leave out all but one row of series {name}"
    if not name:
        remedy = "where the rows are of several series, name the column that tells them apart with data.series_id"
    raise DataError(
        f"{fault}; a series has one row for each time, so write times with the clock (and where clocks are set back the"
        f" UTC offset, or name their zone with data.time_zone); {remedy}"
    )


def require_one_block(rows: Sequence[Row], header: Sequence[str], others: Sequence[int]) -> None:
    """DataError for rows in the file's order where one column begins anew, back in time, for each value of another."""
    for key in others:
        names = [row.cell(key) for row in rows]
        starts = [at for at in range(1, len(rows)) if names[at] != names[at - 1]]
        if not starts or len(set(names)) != len(starts) + 1 or 2 * len(starts) > len(rows):
            continue
        for clock in others:
            if clock != key and _begins_anew(rows, clock, header[clock], starts):
                said = _series_by(header, (key,), [(name,) for name in names])
                raise DataError(
                    f"{rows[starts[0]].path}, line {rows[starts[0]].line:,}: column {header[clock]} goes back in time"
                    f" where {header[key]} changes; {said}"
                )


def several_series(rows: Sequence[Row], header: Sequence[str], others: Sequence[int]) -> list[str]:
    """A sentence on the first column of text that seems to tell series apart in a table without times, if there is one.

    Its few values stand in one block each, or take turns: but not as quarters, weekdays and months do.
    """
    for place in others:
        names = [row.cell(place) for row in rows]
        keys = list(dict.fromkeys(names))
        if not 1 < len(keys) <= len(rows) / 2 or any(number_of(key) is not None or not key for key in keys):
            continue
        blocks = sum(one != other for one, other in pairwise(names)) + 1 == len(keys)
        turns = len(keys) not in CALENDAR and names[: -len(keys)] == names[len(keys) :]
        if turns or (blocks and min(Counter(names).values()) > 1):
            return [_series_by(header, (place,), [(name,) for name in names])]
    return []


def _tell_apart(keys: Sequence[tuple[str, ...]], moments: Sequence[float]) -> bool:
    """Whether no two rows of one time have one key, but most keys have several times."""
    pairs = set(zip(keys, moments, strict=True))
    return len(pairs) == len(keys) and 2 * len(set(keys)) <= len(keys)


def _series_by(header: Sequence[str], places: Sequence[int], keys: Sequence[tuple[str, ...]]) -> str:
    name = " and ".join(header[place] for place in places)
    values = [" ".join(key) for key in dict.fromkeys(keys)]
    shown = ", ".join(values[:SHOWN]) + (f" and {len(values) - SHOWN:,} more" if len(values) > SHOWN else "")
    remedy = f'set data.series_id="{name}" to train on all of them'
    if len(places) > 1:
        remedy = f"write {name} in one column, and name it with data.series_id to train on all of them"
    return (
        f"the table seems to hold {len(values):,} series, told apart by column {name} ({shown}): {remedy}; if"
        f" {name} is a part of the time, write both in one column and name it with data.time"
    )


def _begins_anew(rows: Sequence[Row], place: int, name: str, starts: Sequence[int]) -> bool:
    """Whether dates or years rise between the starts, and fall at each of them."""
    try:
        times = read_times(rows, place, name, None)
    except DataError:
        return False
    if times.local is None and not all(re.fullmatch(r"(1[5-9]|2[01])\d\d", row.cell(place)) for row in rows):
        return False
    steps, at_start = np.diff(times.moments), np.isin(np.arange(1, len(rows)), starts)
    return bool((steps[at_start] < 0).all() and (steps[~at_start] > 0).all())


def unknown_at_end(rows: Sequence[Row], targets: Sequence[int], codes: tuple[str, ...] = ()) -> int:
    """Rows at the end without a value of any target; `codes` stand for missing values too."""
    unknown, codes = 0, (*codes, *MISSING)
    while unknown < len(rows) and all(is_missing(rows[-1 - unknown].cell(place), codes) for place in targets):
        unknown += 1
    return unknown


def require_known_end(
    rows: Sequence[Row], header: Sequence[str], targets: Sequence[int], inputs: Sequence[int]
) -> None:
    """DataError for rows at the end without any target: plans for the steps to forecast, of columns not known ahead."""
    if (unknown := unknown_at_end(rows, targets)) in (0, len(rows)):
        return
    first, last = rows[-unknown], rows[-1]
    lines = f"line {first.line:,}" if unknown == 1 else f"lines {first.line:,} to {last.line:,}"
    names = ", ".join(header[place] for place in targets)
    known = [header[place] for place in inputs if first.cell(place).lower() not in MISSING]
    fault = f"{first.path}, {lines}: the table ends in {counted(unknown, 'row')} without a value of {names}"
    if known:
        fault += (
            f", but with {', '.join(known)}: if that is known ahead, as a promotion or a holiday is, name it with"
            " data.known instead of data.inputs, and forecasts read it"
        )
    remedy = f"{'or ' * bool(known)}leave {'them' if unknown > 1 else 'it'} out"
    raise DataError(f"{fault}; {remedy}: s2s forecast goes on after the last row")


def codes_for_missing(columns: Mapping[str, NDArray[np.float64]], lines: Sequence[int]) -> list[str]:
    """A sentence with the values that seem to stand for missing ones: nines or -1 far outside all other values."""
    found: list[str] = []
    codes: list[float] = []
    for name, values in columns.items():
        suspect = np.isin(values, CODES)
        for code in np.unique(values[suspect]).tolist():
            others, at = values[~suspect & ~np.isnan(values)], np.flatnonzero(values == code)
            if len(others) < 2:
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                spread = float(np.ptp(np.quantile(others, [0.05, 0.95])))
                outside = max(others.min() - code, code - others.max())
            if outside > spread * (1.0 if len(at) == 1 else 0.25) and outside > 0 and (code != -1 or len(at) > 1):
                rows = "once" if len(at) == 1 else counted(len(at), "time")
                found.append(
                    f"column {name} has {code:g} {rows}, first in line {lines[at[0]]:,}, where all other values are"
                    f" from {others.min():g} to {others.max():g}"
                )
                codes.append(code)
    if not found:
        return []
    key = ", ".join(f"{code:g}" for code in dict.fromkeys(codes))
    return [f"{'; '.join(found)}: if this marks a missing value, set data.missing='[{key}]'"]


def same_rows(rows: Sequence[Row], times: Times) -> tuple[list[int], list[str]]:
    """Numbers of the rows in order of time, each once, and a sentence with how many were left out, if any were."""
    moments = times.moments.tolist()
    again = [
        at + 1
        for at, (one, other) in enumerate(pairwise(rows))
        if moments[at] == moments[at + 1] and one.cells == other.cells
    ]
    if not again:
        return list(range(len(rows))), []
    left = set(again)
    first, second = rows[again[0] - 1], rows[again[0]]
    said = (
        f"{counted(len(again), 'row')} left out that repeat{'s' * (len(again) == 1)} another, the first"
        f" in line {second.line:,} as line {first.line:,}"
    )
    return [at for at in range(len(rows)) if at not in left], [said]
