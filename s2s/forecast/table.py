"""A CSV file as columns of numbers in the order of time, and the holes between its rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.corpus.sources import Source, find_each, only_file
from s2s.errors import DataError
from s2s.forecast.conventions import (
    codes_for_missing,
    require_known_end,
    require_one_block,
    require_one_series,
    same_rows,
    several_series,
)
from s2s.forecast.holes import Holes, Rhythm, find_holes
from s2s.forecast.recipe import CsvFile, SeriesData
from s2s.forecast.rows import Row, counted, number_of, read_rows, value_of
from s2s.forecast.times import Times, read_times
from s2s.text.encoded import identity_of

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class SeriesTable(NamedTuple):
    """Columns of a file, oldest row first."""

    path: Path
    columns: dict[str, Floats]
    """(N,) each, by name"""
    times: tuple[str, ...]
    """(N,) the cells of the time column, or the rows' numbers"""
    lines: tuple[int, ...]
    """(N,) line numbers of the rows"""
    before: Rows
    """(N,) how many rows come before each one since the last hole, or the start"""
    hole: str
    """What counts as a hole, in words"""
    remarks: tuple[str, ...]
    """Remarks on the file, in sentences"""
    rhythm: Rhythm | None = None

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


def find_series(data: SeriesData, corpora: Path | None) -> dict[str, Source[SeriesTable]]:
    """The tables that a recipe names, by key; CorpusError or DataError for one that is missing."""

    def found(series: str | CsvFile) -> Source[SeriesTable]:
        path = only_file(series, corpora, "table") if isinstance(series, str) else Path(series.file)
        description = series if isinstance(series, str) else path.name
        return Source(lambda: read_series(data, path), identity_of([path]), description)

    also = {f"also_validate.{name}": series for name, series in data.also_validate.items()}
    return find_each({"series": data.series, **also}, found)


def read_series(data: SeriesData, path: Path) -> SeriesTable:
    """The columns that a recipe names, of its own file or of another, sorted by the time column, if there is one.

    Raises DataError, with file and line, for a line that is not CSV, a column that is missing, a row of another
    length, a value that is missing or not a number, a time that cannot be read, and several series in one table.
    """
    header, rows = read_rows(path)
    places = _places(data, path, header)
    others = [place for place, name in enumerate(header) if name not in places and name != data.time]
    rows, cells, holes, remarks = _in_order(data, header, rows, others)
    kept = [at for at, row in enumerate(rows) if not _lacks(row, list(places.values()), data.missing)]
    if not kept:
        raise DataError(f"{path}: no row has a value in each of {', '.join(places)} besides data.missing")
    targets, inputs = ([places[name] for name in names] for names in (data.targets, data.inputs))
    require_known_end([rows[at] for at in kept], header, targets, [place for place in inputs if place not in targets])
    columns = {name: np.array([value_of(rows[at], place, name) for at in kept]) for name, place in places.items()}
    times, lines = tuple(cells[at] for at in kept), tuple(rows[at].line for at in kept)
    fresh = (np.diff(kept) > 1) | holes.after[np.array(kept[1:], int) - 1]
    rules = [holes.rule] if holes.rule else []
    if len(kept) < len(rows):
        remarks.append(f"{counted(len(rows) - len(kept), 'row')} left out for a value in data.missing")
        rules.append("a row with a value in data.missing")
    remarks += codes_for_missing(columns, lines)
    said = tuple(f"{path}: {remark}" for remark in remarks)
    return SeriesTable(path, columns, times, lines, _rows_before(fresh), " or ".join(rules), said, holes.rhythm)


def _places(data: SeriesData, path: Path, header: Sequence[str]) -> dict[str, int]:
    """Where the columns stand that are read, by name; DataError for one that is not there once, the times' too."""
    wanted = dict.fromkeys((*data.read, *data.targets))
    for name in (*wanted, *([data.time] if data.time else [])):
        if header.count(name) != 1:
            fault = "no column is named" if name not in header else f"{header.count(name)} columns are named"
            raise DataError(f"{path}: {fault} {name!r}; there are: {', '.join(header)}")
    return {name: header.index(name) for name in wanted}


def _in_order(
    data: SeriesData, header: Sequence[str], rows: list[Row], others: Sequence[int]
) -> tuple[list[Row], list[str], Holes, list[str]]:
    """Rows in the order of time, each once, the cells of their times, the holes among them, and what to say of them."""
    if data.time is None:
        require_one_block(rows, header, others)
        rows = rows[::-1] if data.newest_first else rows
        remarks = several_series(rows, header, others)
        return rows, list(map(str, range(len(rows)))), Holes(np.zeros(len(rows) - 1, bool), ""), remarks
    place = header.index(data.time)
    times = read_times(rows, place, data.time, data.time_format, data.time_zone)
    rows, times = _taken(rows, times, np.argsort(times.moments, kind="stable"))
    once, remarks = same_rows(rows, times)
    rows, times = _taken(rows, times, np.array(once))
    require_one_series(rows, times, header, others)
    return rows, [row.cell(place) for row in rows], find_holes(times, data.longest_step), remarks


def _taken(rows: Sequence[Row], times: Times, which: Rows) -> tuple[list[Row], Times]:
    return [rows[at] for at in which], times.rows(which)


def _lacks(row: Row, places: Sequence[int], missing: Sequence[str]) -> bool:
    """Whether a cell of these columns is one of those that stand for a missing value, as text or as a number."""
    return any(
        cell.lower() == code.lower() or ((number := number_of(code)) is not None and number == number_of(cell))
        for place in places
        for cell in (row.cell(place),)
        for code in missing
    )


def _rows_before(fresh: NDArray[np.bool_]) -> Rows:
    """(N - 1,) whether a hole precedes each row but the first -> (N,) rows since the last hole."""
    numbers = np.arange(len(fresh) + 1)
    before: Rows = numbers - np.maximum.accumulate(np.where(np.concatenate([[True], fresh]), numbers, 0))
    return before
