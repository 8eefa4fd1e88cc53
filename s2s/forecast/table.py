"""A CSV file as columns of numbers in the order of time; what cannot be read exactly is an error with its line."""

import csv
import logging
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.corpus.find import Source, find_each, only_file
from s2s.errors import DataError
from s2s.forecast.recipe import CsvFile, SeriesData
from s2s.text.encoded import identity_of
from s2s.text.lines import read_lines

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?"))
"""Cells without a value, in lower case."""
GAP_FACTOR = 1.5
"""A step in time longer than this many median ones is a gap."""


class SeriesTable(NamedTuple):
    """Columns of a file, oldest row first."""

    path: Path
    columns: dict[str, Floats]
    """(N,) each, by name"""
    times: tuple[str, ...]
    """(N,) the cells of the time column, or the rows' numbers"""
    lines: tuple[int, ...]
    """(N,) line numbers of the rows"""

    def __len__(self) -> int:
        """N, the rows."""
        return len(self.times)

    def place(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.path}, line {self.lines[row]:,}"


def find_series(data: SeriesData, corpora: Path | None) -> dict[str, Source[SeriesTable]]:
    """The table that a recipe names, by its key; CorpusError or DataError if it is missing."""

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
    path: Path
    line: int
    cells: list[str]

    def fault(self, message: str) -> DataError:
        return DataError(f"{self.path}, line {self.line:,}: {message}")


def read_table(path: Path, wanted: Sequence[str], *, time: str | None, newest_first: bool = False) -> SeriesTable:
    """The wanted columns of a CSV file, sorted by the time column, if there is one.

    Lines that begin with # are comments; where no header is above the numbers, the last of them is the header.
    Below the header such a line with as many cells as there are columns is a row, whose first cell begins with #.
    Raises DataError, with file and line, for a line that is not CSV, a column that is missing, a row of another
    length, a value that is missing or not a number, a time that cannot be read, and two rows of one time that differ.
    """
    header, rows = _read(path)
    for name in (*wanted, *([time] if time else [])):
        if header.count(name) != 1:
            fault = "no column is named" if name not in header else f"{header.count(name)} columns are named"
            raise DataError(f"{path}: {fault} {name!r}; there are: {', '.join(header)}")
    if not rows:
        raise DataError(f"{path}: there are no rows below the header")
    if newest_first:
        rows.reverse()
    times = tuple(map(str, range(len(rows))))
    if time is not None:
        place = header.index(time)
        dated = _without_repeats(sorted(zip(_moments(rows, place, time), rows, strict=True), key=itemgetter(0)))
        rows = [row for _, row in dated]
        times = tuple(row.cells[place].strip() for row in rows)
        _report_gaps(path, [moment for moment, _ in dated], times)
    columns = {name: np.array([_value(row, header.index(name), name) for row in rows]) for name in wanted}
    return SeriesTable(path, columns, times, tuple(row.line for row in rows))


def _read(path: Path) -> tuple[list[str], list[_Row]]:
    """The names of the columns, and the rows below them."""
    header: list[str] | None = None
    comment: list[str] = []
    rows: list[_Row] = []
    for line, text in enumerate(read_lines(path), start=1):
        if not text.strip():
            continue
        remark = text.lstrip().startswith("#")
        row = _Row(path, line, [text])
        try:
            row = row._replace(cells=next(csv.reader([text], strict=True)))
        except csv.Error as problem:
            if not remark:
                raise row.fault(
                    f"is no line of comma-separated values ({problem}); close each quote in its line, and end lines"
                    " with \\n or \\r\\n"
                ) from None
        cells = row.cells
        if remark and (header is None or len(cells) != len(header)):
            comment = [cell.strip() for cell in (cells[0].lstrip().lstrip("#"), *cells[1:])]
            continue
        if header is None:
            if all(_number(cell) is None for cell in cells):
                header = [cell.strip() for cell in cells]
                continue
            if len(comment) != len(cells):
                raise row.fault("the first row must name the columns, but it holds numbers")
            header = comment
        if len(header) == 1 and ";" in header[0]:
            raise row.fault("columns are separated by semicolons; separate them by commas")
        if len(cells) != len(header):
            raise row.fault(f"has {len(cells)} cells, but there are {len(header)} columns ({', '.join(header)})")
        rows.append(row)
    if header is None:
        raise DataError(f"{path}: the file is empty; its first line must name the columns")
    return header, rows


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _value(row: _Row, place: int, name: str) -> float:
    cell = row.cells[place].strip()
    if cell.lower() in MISSING:
        raise row.fault(f"column {name} has no value ({cell!r}); fill it in, or leave the row out")
    value = _number(cell)
    if value is None:
        raise row.fault(f"column {name} has {cell!r}, which is no number")
    if not math.isfinite(value):
        raise row.fault(f"column {name} has {cell}, which is not finite")
    return value


def _moments(rows: Sequence[_Row], place: int, name: str) -> list[float]:
    """The times of rows as numbers that sort: dates in days, or plain numbers (years) as they are, never both."""
    cells = [row.cells[place].strip() for row in rows]
    slashed = _slashed(rows[0], cells, name)
    dates = np.array([_days(cell, slashed) for cell in cells], float)
    numbers = np.array([_number(cell) for cell in cells], float)
    for moments in (dates, numbers):
        if np.isfinite(moments).all():
            return list(moments)
    neither = ~np.isfinite(dates) & ~np.isfinite(numbers)
    fault = "a plain number, but dates in other lines; write all times in one form"
    if neither.any():
        fault = "which is no date and no number; write dates as YYYY-MM-DD"
    first = int(np.argmax(neither if neither.any() else np.isnan(dates)))
    raise rows[first].fault(f"column {name} has {cells[first]!r}, {fault}")


def _slashed(first_row: _Row, cells: Sequence[str], name: str) -> str:
    """The form of dates such as 5/1/2020: a column tells whether the month or the day comes first, or is refused."""
    pairs = [tuple(map(int, cell.split("/")[:2])) for cell in cells if re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", cell)]
    if any(first > 12 for first, _ in pairs):
        return "%d/%m/%Y"
    if not pairs or any(second > 12 for _, second in pairs):
        return "%m/%d/%Y"
    raise first_row.fault(
        f"column {name} has dates such as {cells[0]}, of which none tells whether the day or the month comes first;"
        " write dates as YYYY-MM-DD"
    )


def _days(cell: str, slashed: str) -> float | None:
    """A date, YYYYMMDD too, in days of UTC, which one without an offset is taken for; None for any other text."""
    for form in (None, "%Y-%m", "%Y/%m/%d", "%d.%m.%Y", slashed):
        with suppress(ValueError):
            moment = datetime.fromisoformat(cell) if form is None else datetime.strptime(cell, form)
            aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            return (aware - datetime(1, 1, 1, tzinfo=UTC)).total_seconds() / 86400
    return None


def _without_repeats(dated: Sequence[tuple[float, _Row]]) -> list[tuple[float, _Row]]:
    """Rows in the order of time, each once; two rows of one time that differ are an error."""
    kept = [dated[0]]
    for moment, row in dated[1:]:
        last, first = kept[-1]
        if last != moment:
            kept.append((moment, row))
        elif first.cells == row.cells:
            log.warning("%s, line %s: the same row as line %s, left out", row.path, row.line, first.line)
        else:
            raise DataError(
                f"{row.path}, lines {first.line:,} and {row.line:,}: have one time, but other values; keep one"
            )
    return kept


def _report_gaps(path: Path, moments: Sequence[float], names: Sequence[str]) -> None:
    steps = np.diff(moments)
    gaps = np.flatnonzero(steps > GAP_FACTOR * np.median(steps)) if len(steps) else steps
    if 0 < len(gaps) <= len(steps) / 10:  # a working week has a gap every five days
        first = int(gaps[0])
        message = "%s: %d gaps in time, the first between %s and %s; rows are taken one after another all the same"
        log.warning(message, path, len(gaps), names[first], names[first + 1])
