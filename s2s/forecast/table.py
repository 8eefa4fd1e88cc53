"""A CSV file as columns of numbers in the order of time, series by series, and the holes between its rows."""

import logging
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from sys import intern
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from s2s.corpus.sources import Source, find_each, only_file
from s2s.errors import DataError
from s2s.forecast.conventions import (
    codes_for_missing,
    require_known_end,
    require_one_block,
    require_one_series,
    same_rows,
    several_series,
    unknown_at_end,
)
from s2s.forecast.data import CsvFile, SeriesData
from s2s.forecast.holes import Holes, Rhythm, find_holes
from s2s.forecast.rows import MISSING, Row, RowReader, counted, is_missing, read_rows, values_in
from s2s.forecast.times import Times, read_times
from s2s.text.encoded import identity_of

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class SeriesTable(NamedTuple):
    """Columns of one series of a file, oldest row first."""

    path: Path
    columns: dict[str, Floats]
    """(N,) each, by name; NaN where a missing value is marked"""
    times: tuple[str, ...]
    """(N,) the cells of the time column, or the rows' numbers"""
    lines: NDArray[np.uint32]
    """(N,) line numbers of the rows"""
    before: Rows
    """(N,) how many rows come before each one since the last hole, or the start"""
    hole: str
    """What counts as a hole, in words"""
    remarks: tuple[str, ...]
    """Remarks on the file, in sentences"""
    rhythm: Rhythm | None = None
    id: str = ""
    """Cell of data.series_id"""
    future: Mapping[str, Floats] = {}
    """(M,) columns known ahead in the rows after the last, up to a hole or a cell without a value"""
    local: Floats | None = None
    """(N + M,) days by the local clock; None without data.calendar"""

    def __len__(self) -> int:
        """N, the rows."""
        return len(self.times)

    def place(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.path}, line {self.lines[row]:,}"

    @property
    def starts(self) -> Rows:
        """The rows that come after a hole."""
        return np.flatnonzero(self.before[1:] == 0) + 1

    @property
    def name(self) -> str:
        """File and series, for messages."""
        return f"{self.path}: series {self.id}" if self.id else str(self.path)


Tables = tuple[SeriesTable, ...]


def find_series(data: SeriesData, corpora: Path | None) -> dict[str, Source[Tables]]:
    """The tables that a recipe names, by key; CorpusError or DataError for one that is missing."""

    def found(series: str | CsvFile) -> Source[Tables]:
        path = only_file(series, corpora, "table") if isinstance(series, str) else Path(series.file)
        description = series if isinstance(series, str) else path.name
        return Source(lambda: read_tables(data, path), identity_of([path]), description)

    also = {f"also_validate.{name}": series for name, series in data.also_validate.items()}
    return find_each({"series": data.series, **also}, found)


def read_tables(data: SeriesData, path: Path) -> Tables:
    """Each series of a file by data.series_id, in the order of their names; without one the file is one series."""
    return tuple(_each_series(data, path)) if data.series_id else (read_series(data, path),)


def read_series(data: SeriesData, path: Path) -> SeriesTable:
    """The columns that a recipe names, of its own file or of another, sorted by the time column, if there is one.

    Raises DataError, with file and line, for a line that is not CSV, a column that is missing, a row of another
    length, a value that is missing or not a number, a time that cannot be read, and several series in one table.
    """
    header, rows = read_rows(path)
    return _table(data, path, header, rows, "")


class _Group(NamedTuple):
    """Rows of one series in little memory."""

    cells: bytearray
    """each followed by a line feed, which none can hold"""
    lines: "array[int]"


def _each_series(data: SeriesData, path: Path) -> Iterator[SeriesTable]:
    reader, groups = RowReader(path), dict[str, _Group]()
    header, kept, key = list[str](), list[int](), 0
    for row in tqdm(reader, desc=path.name, unit=" rows", disable=None, leave=False):
        if not header:
            places = _places(data, path, reader.header)
            kept = sorted({*places.values(), *([reader.header.index(data.time)] if data.time else [])})
            header, key = [reader.header[place] for place in kept], reader.header.index(str(data.series_id))
        if not (name := row.cell(key)):
            raise row.fault(f"column {data.series_id} has no value, but it names the series (data.series_id)")
        if (group := groups.get(name)) is None:
            group = groups[name] = _Group(bytearray(), array("q"))
        group.cells.extend("".join([f"{row.cells[place].strip()}\n" for place in kept]).encode())
        group.lines.append(row.line)
    for name in tqdm(sorted(groups), desc=path.name, unit=" series", disable=None, leave=False):
        group, width = groups.pop(name), len(kept)
        cells = group.cells.decode().split("\n")
        rows = [Row(path, line, cells[at * width : (at + 1) * width]) for at, line in enumerate(group.lines)]
        rows = reader.with_points(rows, header)
        if unknown_at_end(rows, [header.index(target) for target in data.targets], data.missing) < len(rows):
            yield _table(data, path, header, rows, name)
        else:
            log.warning("%s: series %s has no value of any target, and is left out", path, name)


def _table(data: SeriesData, path: Path, header: list[str], rows: list[Row], name: str) -> SeriesTable:
    places, is_marked = _places(data, path, header, of_one=bool(name)), data.missing_values == "mark"
    others = [place for place, column in enumerate(header) if column not in (*places, data.time)]
    rows, cells, local, holes, remarks = _in_order(data, header, rows, [] if name else others, name)
    targets, inputs, known = ([places[name] for name in names] for names in (data.targets, data.inputs, data.known))
    end = len(rows) - (unknown_at_end(rows, targets, data.missing) if known else 0)
    codes = (*data.missing, *MISSING) if is_marked else data.missing
    kept = [at for at in range(end) if is_marked or not _lacks(rows[at], list(places.values()), codes)]
    own = [rows[at] for at in kept]
    if not (known or is_marked):
        require_known_end(own, header, targets, [place for place in inputs if place not in targets])
    if not kept:
        raise DataError(f"{path}: no row has a value in each of {', '.join(places)} besides data.missing")
    columns = {column: _column(own, place, column, codes if is_marked else ()) for column, place in places.items()}
    fresh = (np.diff(kept) > 1) | holes.after[np.array(kept[1:], int) - 1]
    rules = [holes.rule] if holes.rule else []
    if len(kept) < end:
        remarks.append(f"{counted(end - len(kept), 'row')} left out for a value in data.missing")
        rules.append("a row with a value in data.missing")
    after = _planned(rows, kept[-1] + 1, end, holes, known, (*data.missing, *MISSING))
    future = {column: values_in(after, places[column], column) for column in data.known}
    lines = np.array([row.line for row in own], np.uint32)
    remarks += codes_for_missing(columns, lines.tolist())
    shown = f"{path}: series {name}" if name else str(path)
    moments = local[[*kept, *range(end, end + len(after))]] if local is not None and data.calendar else None
    return SeriesTable(
        path, columns, tuple(cells[at] for at in kept), lines, _rows_before(fresh), " or ".join(rules),
        tuple(f"{shown}: {remark}" for remark in remarks), holes.rhythm, name, future, moments,
    )  # fmt: skip


def _column(rows: Sequence[Row], place: int, name: str, codes: tuple[str, ...]) -> Floats:
    """The numbers in a column (N,), NaN for one of the codes of missing values."""
    is_known = [not is_missing(row.cell(place), codes) for row in rows] if codes else [True] * len(rows)
    values = np.full(len(rows), np.nan)
    values[is_known] = values_in(list(compress(rows, is_known)), place, name)
    return values


def _planned(
    rows: list[Row], follows: int, end: int, holes: Holes, known: Sequence[int], codes: tuple[str, ...]
) -> list[Row]:
    """Rows from `end` on, up to the first that a hole precedes or that lacks a value known ahead."""
    planned = list[Row]()
    for at in range(end, len(rows) if follows == end else end):
        if (at and holes.after[at - 1]) or _lacks(rows[at], known, codes):
            break
        planned.append(rows[at])
    return planned


def _places(data: SeriesData, path: Path, header: Sequence[str], *, of_one: bool = False) -> dict[str, int]:
    """Where the columns stand that are read, by name; DataError for one that is not there once, the times' too."""
    wanted = dict.fromkeys((*data.read, *data.targets, *data.known))
    besides = [name for name in (data.time, None if of_one else data.series_id) if name]
    for name in (*wanted, *besides):
        if header.count(name) != 1:
            fault = "no column is named" if name not in header else f"{header.count(name)} columns are named"
            raise DataError(f"{path}: {fault} {name!r}; there are: {', '.join(header)}")
    return {name: header.index(name) for name in wanted}


def _in_order(
    data: SeriesData, header: Sequence[str], rows: list[Row], others: Sequence[int], name: str
) -> tuple[list[Row], list[str], Floats | None, Holes, list[str]]:
    """Rows in the order of time, each once, the cells of their times, local days, holes, and what to say of them."""
    if data.time is None:
        require_one_block(rows, header, others)
        rows = rows[::-1] if data.newest_first else rows
        remarks = several_series(rows, header, others)
        return rows, list(map(str, range(len(rows)))), None, Holes(np.zeros(len(rows) - 1, bool), ""), remarks
    place = header.index(data.time)
    times = read_times(rows, place, data.time, data.time_format, data.time_zone)
    if data.calendar and times.local is None:
        raise rows[0].fault(
            f"column {data.time} has {rows[0].cell(place)}, a plain number, which has no {data.calendar[0]}; leave out"
            " data.calendar, or write dates as YYYY-MM-DD or YYYY-MM-DD hh:mm"
        )
    rows, times = _taken(rows, times, np.argsort(times.moments, kind="stable"))
    once, remarks = same_rows(rows, times)
    rows, times = _taken(rows, times, np.array(once))
    require_one_series(rows, times, header, others, name)
    cells = [intern(row.cell(place)) for row in rows]
    return rows, cells, times.local, find_holes(times, data.longest_step), remarks


def _taken(rows: Sequence[Row], times: Times, which: Rows) -> tuple[list[Row], Times]:
    return [rows[at] for at in which], times.rows(which)


def _lacks(row: Row, places: Sequence[int], codes: tuple[str, ...]) -> bool:
    """Whether a cell of these columns is one of those that stand for a missing value."""
    return bool(codes) and any(is_missing(row.cell(place), codes) for place in places)


def _rows_before(fresh: NDArray[np.bool_]) -> Rows:
    """(N - 1,) whether a hole precedes each row but the first -> (N,) rows since the last hole."""
    numbers = np.arange(len(fresh) + 1)
    before: Rows = numbers - np.maximum.accumulate(np.where(np.concatenate([[True], fresh]), numbers, 0))
    return before
