"""A CSV file as columns of numbers in the order of time; what cannot be read exactly is an error with its line."""

import csv
import logging
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.recipe import CsvFile, SeriesData
from s2s.text.encoded import identity_of
from s2s.text.lines import read_lines
from s2s.text.source import Source, find_each, only_file

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?"))
"""How files write that a value is not there, in lower case."""
GAP_FACTOR = 1.5
"""A step in time that is longer than so many usual ones is a gap."""


class SeriesTable(NamedTuple):
    """Columns of a file, oldest row first."""

    path: Path
    columns: dict[str, Floats]
    """(N,) each, by name"""
    times: tuple[str, ...]
    """(N,) what the time column says, or the rows' numbers"""
    lines: tuple[int, ...]
    """(N,) where the rows stand in the file"""

    def __len__(self) -> int:
        """N, the rows."""
        return len(self.times)

    def place(self, row: int) -> str:
        """A row by its file and line, for messages."""
        return f"{self.path}, line {self.lines[row]:,}"


def find_series(data: SeriesData, corpora: Path | None) -> dict[str, Source[SeriesTable]]:
    """The table that a recipe names, by its key; CorpusError or DataError for what is not there."""

    def found(series: str | CsvFile) -> Source[SeriesTable]:
        path = only_file(series, corpora, "table") if isinstance(series, str) else Path(series.file)
        description = series if isinstance(series, str) else path.name
        return Source(lambda: read_series(data, path), identity_of([path]), description)

    return find_each({"series": data.series}, found)


def read_series(data: SeriesData, path: Path) -> SeriesTable:
    """The columns that a recipe names, of its own file or of another."""
    wanted = list(dict.fromkeys((*data.read, *data.targets)))
    return read_table(path, wanted, time=data.time, newest_first=data.newest_first)


class _Row(NamedTuple):
    line: int
    cells: list[str]


def read_table(path: Path, wanted: Sequence[str], *, time: str | None, newest_first: bool = False) -> SeriesTable:
    """The wanted columns of a CSV file, sorted by the time column, if there is one.

    Lines that begin with # are comments; where no header stands above the numbers, the last of them is the header.
    Below the header such a line with as many cells as there are columns is a row, whose first cell begins with #.
    Raises DataError, with file and line, for a line that is no CSV, a column that is not there, a row of another
    length, a value that is missing or no number, a time that cannot be read, and two rows of one time that differ.
    """
    header, rows = _read(path)
    names = [*wanted, *([time] if time else [])]
    for name in names:
        if header.count(name) != 1:
            fault = "no column is named" if name not in header else f"{header.count(name)} columns are named"
            raise DataError(f"{path}: {fault} {name!r}; there are: {', '.join(header)}")
    if not rows:
        raise DataError(f"{path}: there are no rows below the header")
    order = list(range(len(rows)))
    if newest_first:
        order.reverse()
    times = tuple(str(number) for number in range(len(rows)))
    if time is not None:
        place = header.index(time)
        moments = _moments(path, rows, place, time)
        order.sort(key=lambda index: moments[index])
        order = _without_repeats(path, rows, moments, order)
        _report_gaps(path, [moments[index] for index in order], [rows[index].cells[place] for index in order])
        times = tuple(rows[index].cells[place].strip() for index in order)
    columns = {
        name: np.array([_number(path, rows[index], header.index(name), name) for index in order]) for name in wanted
    }
    return SeriesTable(path, columns, times, tuple(rows[index].line for index in order))


def _read(path: Path) -> tuple[list[str], list[_Row]]:
    """The names of the columns, and the rows with the numbers of their lines."""
    header: list[str] | None = None
    comment: list[str] = []
    rows: list[_Row] = []
    for line, text in enumerate(read_lines(path), start=1):
        if not text.strip():
            continue
        remark = text.lstrip().startswith("#")
        cells = _cells(path, line, text, remark=remark)
        if remark and header is None:
            comment = [cell.strip() for cell in [cells[0].lstrip().lstrip("#"), *cells[1:]]]
            continue
        if remark and header is not None and len(cells) != len(header):
            continue
        if header is None:
            numeric = any(_is_number(cell) for cell in cells)
            header = comment if numeric else [cell.strip() for cell in cells]
            if numeric and len(comment) != len(cells):
                raise DataError(f"{path}, line {line:,}: the first row must name the columns, but it holds numbers")
            if not numeric:
                continue
        if len(header) == 1 and ";" in header[0]:
            raise DataError(f"{path}, line {line:,}: columns are separated by semicolons; separate them by commas")
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {line:,}: has {len(cells)} cells, but there are {len(header)} columns"
                f" ({', '.join(header)})"
            )
        rows.append(_Row(line, cells))
    if header is None:
        raise DataError(f"{path}: the file is empty; its first line must name the columns")
    return header, rows


def _cells(path: Path, line: int, text: str, *, remark: bool) -> list[str]:
    """The cells of a line; a remark that is no CSV is one."""
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as problem:
        if remark:
            return [text]
        raise DataError(
            f"{path}, line {line:,}: is no line of comma-separated values ({problem}); close each quote in its line,"
            " and end lines with \\n or \\r\\n"
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(path: Path, row: _Row, place: int, name: str) -> float:
    cell = row.cells[place].strip()
    if cell.lower() in MISSING:
        raise DataError(
            f"{path}, line {row.line:,}: column {name} has no value ({cell!r}); fill it in, or leave the row out"
        )
    try:
        value = float(cell)
    except ValueError:
        raise DataError(f"{path}, line {row.line:,}: column {name} has {cell!r}, which is no number") from None
    if not math.isfinite(value):
        raise DataError(f"{path}, line {row.line:,}: column {name} has {cell}, which is not finite")
    return value


def _moments(path: Path, rows: Sequence[_Row], place: int, name: str) -> list[float]:
    """The times of rows as numbers that sort: dates in days, or plain numbers (years) as they are, never both."""
    cells = [row.cells[place].strip() for row in rows]
    slashed = _slashed(path, rows, cells, name)
    dates = [_days(cell, slashed) for cell in cells]
    days = [date for date in dates if date is not None]
    if len(days) == len(cells):
        return days
    numbers = [float(cell) if _is_number(cell) else math.nan for cell in cells]
    if all(math.isfinite(number) for number in numbers):
        return numbers
    for row, cell, date, number in zip(rows, cells, dates, numbers, strict=True):
        if date is None and not math.isfinite(number):
            raise DataError(
                f"{path}, line {row.line:,}: column {name} has {cell!r}, which is no date and no number; write dates as"
                " YYYY-MM-DD"
            )
    row, cell = next((row, cell) for row, cell, date in zip(rows, cells, dates, strict=True) if date is None)
    raise DataError(
        f"{path}, line {row.line:,}: column {name} has {cell!r}, a plain number, but dates in other lines; write all"
        " times in one form"
    )


def _slashed(path: Path, rows: Sequence[_Row], cells: Sequence[str], name: str) -> str:
    """The form of dates such as 5/1/2020: a column tells whether the month or the day comes first, or is refused."""
    pairs = [tuple(map(int, cell.split("/")[:2])) for cell in cells if re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", cell)]
    if any(first > 12 for first, _ in pairs):
        return "%d/%m/%Y"
    if not pairs or any(second > 12 for _, second in pairs):
        return "%m/%d/%Y"
    raise DataError(
        f"{path}, line {rows[0].line:,}: column {name} has dates such as {cells[0]}, of which none tells whether the"
        " day or the month comes first; write dates as YYYY-MM-DD"
    )


def _days(cell: str, slashed: str) -> float | None:
    """A date, YYYYMMDD too, in days of UTC; one without an offset is taken for UTC. None for what is no date."""
    for form in (None, "%Y%m%d", "%Y-%m", "%Y/%m/%d", "%d.%m.%Y", slashed):
        try:
            if form == "%Y%m%d" and len(cell) != 8:
                continue
            moment = datetime.fromisoformat(cell) if form is None else datetime.strptime(cell, form)
            aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            return (aware - datetime(1, 1, 1, tzinfo=UTC)).total_seconds() / 86400
        except ValueError:
            continue
    return None


def _without_repeats(path: Path, rows: Sequence[_Row], moments: Sequence[float], order: Sequence[int]) -> list[int]:
    """The order without rows that stand there twice; two rows of one time that differ are an error."""
    kept: list[int] = []
    for index in order:
        if kept and moments[kept[-1]] == moments[index]:
            first, second = rows[kept[-1]], rows[index]
            if first.cells != second.cells:
                raise DataError(
                    f"{path}, lines {first.line:,} and {second.line:,}: have one time, but other values; keep one"
                )
            log.warning("%s, line %s: the same row as line %s, left out", path, second.line, first.line)
            continue
        kept.append(index)
    return kept


def _report_gaps(path: Path, moments: Sequence[float], names: Sequence[str]) -> None:
    steps = np.diff(moments)
    if not len(steps):
        return
    gaps = np.flatnonzero(steps > GAP_FACTOR * np.median(steps))
    weekends = len(gaps) > len(steps) / 10  # a working week has a gap every five days
    if len(gaps) and not weekends:
        first = int(gaps[0])
        log.warning(
            "%s: %d gaps in time, the first between %s and %s; rows are taken one after another all the same",
            path, len(gaps), names[first], names[first + 1],
        )  # fmt: skip
