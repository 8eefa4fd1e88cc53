"""Series divided in time and scaled, each by its own training part."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.baselines import naive_errors
from s2s.forecast.calendar import calendar_features
from s2s.forecast.data import SeriesData
from s2s.forecast.rows import counted
from s2s.forecast.scaling import Kind, Scaler, fit_scaler, guessed_scaler, require_all, require_scalable
from s2s.forecast.table import Rows, SeriesTable
from s2s.forecast.windows import origins_between

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
PARTS = ("training", "validation", "test")
SHOWN = 3
"""Series that a remark is told of, before the others are counted."""


class Parts(NamedTuple):
    """Where the training, validation and test parts of N rows begin and end."""

    validation: int
    """the first row of the validation part"""
    test: int
    """the first row of the test part"""
    end: int
    """N"""

    def of(self, name: str) -> tuple[int, int]:
        """First row and end of the part training, validation or test."""
        at, bounds = PARTS.index(name), (0, *self)
        return bounds[at], bounds[at + 1]


def divide(rows: int, data: SeriesData) -> Parts:
    """Cut rows in time order; DataError where a part is too short for the rows before a forecast and those of it."""
    test = int(rows * (1 - data.test_share) + 1e-9)
    validation = int(rows * (1 - data.test_share - data.validation_share) + 1e-9)
    before, horizon = data.rows_before, data.horizon
    if validation <= before + horizon:
        raise DataError(
            f"the training part has {max(validation, 0)} of {rows} rows, but {before} to read and {horizon} to"
            f" forecast need at least {before + horizon + 1}; give more rows or a shorter data.window"
        )
    if test - validation < horizon or rows - test < horizon:
        raise DataError(
            f"{rows} rows leave {test - validation} to validate and {rows - test} to test on, but {horizon} are"
            " forecast at once; give more rows, or larger data.validation_share and data.test_share"
        )
    return Parts(validation, test, rows)


class Values(NamedTuple):
    """Columns of a table, with a value in each row."""

    read: Floats
    """(N, F) columns that the model reads, in the file's units"""
    targets: Floats
    """(N, K)"""
    marks: Flags | None = None
    """(N, F) whether a value that is read stands for a missing one; None where none is marked"""
    valid: Flags | None = None
    """(N, K) whether a target has a value; None where all have"""

    def gaps(self) -> tuple[Floats, Floats]:
        """Columns read and targets, with NaN for a missing value."""
        if self.marks is None or self.valid is None:
            return self.read, self.targets
        return np.where(self.marks, np.nan, self.read), np.where(self.valid, self.targets, np.nan)


class Series(NamedTuple):
    """A table with its parts and its scaling."""

    table: SeriesTable
    values: Values
    parts: Parts
    reader: Scaler
    scaler: Scaler
    """of the targets"""
    ahead: Floats | None
    """(N + M, C) what is known ahead, scaled"""
    number: int
    """of its embedding"""
    naive_errors: Floats
    """(K,) mean absolute errors of persistence in the training part, the unit of MASE"""
    remarks: tuple[str, ...]
    """Remarks on the table and its holes, in sentences"""

    @property
    def read(self) -> Floats:
        """(N, F) columns that the model reads, in the file's units."""
        return self.values.read

    @property
    def targets(self) -> Floats:
        """(N, K)."""
        return self.values.targets

    @property
    def marks(self) -> Flags | None:
        """(N, F) whether a value that is read stands for a missing one."""
        return self.values.marks

    @property
    def valid(self) -> Flags | None:
        """(N, K) whether a target has a value."""
        return self.values.valid

    def learned(self) -> Floats:
        """(2, F) lowest and highest scaled value of each column that the model reads, in the training part."""
        read = self.reader.scale(self.values.gaps()[0])[: self.parts.validation]
        if self.reader.kind == "log_return":
            read = read[self.table.before[: self.parts.validation] > 0]
        return np.stack([np.nanmin(read, axis=0), np.nanmax(read, axis=0)])

    def origins(self, data: SeriesData, part: str) -> Rows:
        """First rows of the forecasts in a part: none reaches across a hole, or has no value at all."""
        found = origins_between(self.table.before, data, *self.parts.of(part))
        if self.valid is None:
            return found
        has_value: Flags = self.valid[found[:, None] + np.arange(data.horizon)].any(axis=(1, 2))
        return found[has_value]


class Shared(NamedTuple):
    """What the series of a run have in common, and what it has learned of each."""

    inputs: Scaler
    """of the columns read that are no targets, fitted to all series together"""
    known: Scaler
    """of the columns known ahead, fitted so too"""
    scalers: Mapping[str, Scaler] = {}
    """of the targets, by the name of the series"""
    numbers: Mapping[str, int] = {}
    """of the embeddings"""
    embedded: int = 0
    """how many series have an embedding"""

    def reader(self, data: SeriesData, scaler: Scaler) -> Scaler:
        """The scaler of the columns read of a series: its targets' own, and of other inputs that of all series."""
        places = {name: place for place, name in enumerate((*data.targets, *_other_inputs(data)))}
        shift, factor = (
            np.concatenate([getattr(each, name) for each in (scaler, self.inputs)]) for name in ("shift", "factor")
        )
        return Scaler(data.scaling, shift, factor).at([places[name] for name in data.read])

    def scaler(self, data: SeriesData, table: SeriesTable, values: Values) -> Scaler:
        """What was learned of a series, or for one that was never seen fitted to all its rows."""
        if table.id in self.scalers:
            return self.scalers[table.id]
        targets = values.gaps()[1]
        try:
            return fit_scaler(data.scaling, targets, table.before, data.targets)
        except DataError:
            return guessed_scaler(data.scaling, targets, list(self.scalers.values()))


def _other_inputs(data: SeriesData) -> list[str]:
    return [name for name in data.read if name not in data.targets]


def values_of(data: SeriesData, table: SeriesTable, train_end: int | None = None) -> Values:
    """The columns of a table, with the last known value for a missing one; DataError for what cannot be scaled.

    Before the first value since a hole it is the mean of the rows before `train_end`, by default of all.
    """
    read, targets = (np.stack([table.columns[name] for name in names], axis=1) for names in (data.read, data.targets))
    require_scalable(data.scaling, read, data.read, table.place)
    require_scalable(data.scaling, targets, data.targets, table.place)
    if data.floor is not None:
        rule = f"data.floor is {data.floor:g}"
        require_all(~(targets < data.floor), targets, data.targets, table.place, rule=rule, remedy="lower the floor")
    read = targets if data.read == data.targets else read  # one array, not two
    if data.missing_values != "mark":
        return Values(read, targets)
    return Values(
        _filled(read, table.before, train_end), _filled(targets, table.before, train_end),
        np.isnan(read), ~np.isnan(targets),
    )  # fmt: skip


def _filled(values: Floats, before: Rows, train_end: int | None) -> Floats:
    missing, rows = np.isnan(values), np.arange(len(values))[:, None]
    counts = (~missing[:train_end]).sum(axis=0)
    means = np.nansum(values[:train_end], axis=0) / np.maximum(counts, 1)
    last = np.maximum.accumulate(np.where(missing, -1, rows), axis=0)
    is_known = last >= rows - before[:, None]
    return np.where(is_known, np.take_along_axis(values, np.maximum(last, 0), axis=0), means)


def ahead_of(data: SeriesData, table: SeriesTable, known: Scaler) -> Floats | None:
    """(N + M, C) the columns known ahead, scaled, and the calendar; None where the recipe names neither."""
    parts = list[Floats]()
    if data.known:
        columns = [np.concatenate([table.columns[name], table.future[name]]) for name in data.known]
        parts.append(known.scale(_filled(np.stack(columns, axis=1), np.arange(len(columns[0])), None)))
    if data.calendar:
        assert table.local is not None, "a table without times is refused"
        parts.append(calendar_features(table.local, data.calendar))
    return np.hstack(parts) if parts else None


class Prepared(NamedTuple):
    """The series of a file that can be trained on."""

    series: list[Series]
    shared: Shared
    left: list[SeriesTable]
    """those that cannot be"""
    remarks: list[str]
    """Remarks on all of them, in sentences"""


class _Divided(NamedTuple):
    table: SeriesTable
    values: Values
    parts: Parts
    remarks: Sequence[str]

    @property
    def before(self) -> Rows:
        return self.table.before[: self.parts.validation]


def first_few(data: SeriesData, remarks: Sequence[str]) -> list[str]:
    """Remarks, those on many series cut after the first with a count of the others."""
    more = len(remarks) - SHOWN
    if data.series_id is None or more <= 0:
        return list(remarks)
    return [*remarks[:SHOWN], f"{counted(more, 'remark')} more on other series"]


def prepare_series(data: SeriesData, table: SeriesTable, shared: Shared | None = None) -> Series:
    """Divide the one series of a file in time, and fit the scaling on its training part; DataError if either fails."""
    return prepare_panel(data, [table], shared).series[0]


def prepare_panel(data: SeriesData, tables: Sequence[SeriesTable], shared: Shared | None = None) -> Prepared:
    """Divide each series of a file in time, and fit the scaling on its training part, but for what is `shared` already.

    The only series of a file that cannot be trained on is a DataError; of several by data.series_id such ones are left
    out, unless none remains.
    """
    left = list[tuple[SeriesTable, DataError]]()
    divided, series = list[_Divided](), list[Series]()
    for table in tables:
        with _left_out(data, table, left):
            parts = divide(len(table), data)
            values = values_of(data, table, parts.validation)
            divided.append(_Divided(table, values, parts, _windows_left(data, table, parts)))
    _require_any(divided, left)
    shared = shared or _fit_shared(data, divided)
    for each in divided:
        with _left_out(data, each.table, left):
            series.append(_scaled(data, each, shared))
    _require_any(series, left)
    if data.series_id and not shared.embedded:
        numbers = {each.table.id: number for number, each in enumerate(series, start=1)}
        shared = shared._replace(numbers=numbers, embedded=len(numbers))
    series = [each._replace(number=shared.numbers.get(each.table.id, 0)) for each in series]
    shared = shared._replace(scalers={**shared.scalers, **{each.table.id: each.scaler for each in series}})
    remarks = first_few(data, [remark for each in series for remark in each.remarks])
    if left:
        (table, problem), count = left[0], len(tables)
        remarks.append(f"{len(left):,} of {count:,} series are left out, the first of them {table.name}: {problem}")
    return Prepared(series, shared, [table for table, _ in left], remarks)


@contextmanager
def _left_out(data: SeriesData, table: SeriesTable, left: list[tuple[SeriesTable, DataError]]) -> Iterator[None]:
    """Context in which an error of one of several series leaves that one out."""
    try:
        yield
    except DataError as problem:
        if data.series_id is None:
            raise
        left.append((table, problem))


def _require_any(found: Sequence[object], left: Sequence[tuple[SeriesTable, DataError]]) -> None:
    if not found:
        table, problem = left[0]
        raise DataError(
            f"{table.path}: none of {len(left):,} series can be trained on; the first, {table.id}: {problem}"
        )


def _fit_shared(data: SeriesData, divided: Sequence[_Divided]) -> Shared:
    """Scalers of what is not forecast, fitted to the training parts of all series together."""
    before = np.concatenate([each.before for each in divided])

    def fitted(kind: Kind, names: Sequence[str]) -> Scaler:
        if not names:
            return Scaler(kind, np.zeros(0), np.ones(0))
        columns = [
            np.concatenate([each.table.columns[name][: each.parts.validation] for each in divided]) for name in names
        ]
        return _fitted(divided[0].table, kind, np.stack(columns, axis=1), before, names)

    known: Kind = data.scaling if data.scaling in ("minmax", "none") else "standard"
    return Shared(fitted(data.scaling, _other_inputs(data)), fitted(known, data.known))


def _fitted(table: SeriesTable, kind: Kind, values: Floats, before: Rows, names: Sequence[str]) -> Scaler:
    try:
        return fit_scaler(kind, values, before, names)
    except DataError as problem:
        raise DataError(f"{table.path}: {problem}") from None


def _scaled(data: SeriesData, divided: _Divided, shared: Shared) -> Series:
    table, values, parts, remarks = divided
    known, before = values.gaps()[1][: parts.validation], divided.before
    scaler = shared.scalers.get(table.id) or _fitted(table, data.scaling, known, before, data.targets)
    with np.errstate(over="ignore"):
        errors = naive_errors(known, before)
    for name, error in zip(data.targets, errors, strict=True):
        if not 0 < error < np.inf:
            fault = "never changes in the training part, so there is nothing to forecast"
            raise DataError(
                f"{table.path}: column {name}: {'has steps that are too large to be added up' if error else fault};"
                " leave it out of data.targets"
            )
    reader, ahead = shared.reader(data, scaler), ahead_of(data, table, shared.known)
    known_ahead = {name: table.columns[name] for name in data.known}  # the others are in values, and take no memory
    table = SeriesTable(**{**table._asdict(), "columns": known_ahead})
    series = Series(table, values, parts, reader, scaler, ahead, 0, errors, (*table.remarks, *remarks))
    for part in PARTS if values.valid is not None else ():
        if not len(series.origins(data, part)):
            raise DataError(f"{table.path}: no window of the {part} part has a value to forecast; give more rows")
    return series


def _windows_left(data: SeriesData, table: SeriesTable, parts: Parts) -> list[str]:
    """A sentence on the holes and the windows that fell away, if any; DataError for a part that has no window left."""
    if not len(table.starts):
        return []
    left = {name: origins_between(table.before, data, *parts.of(name)) for name in PARTS}
    whole = sum(len(origins_between(np.arange(len(table)), data, *parts.of(name))) for name in PARTS)
    row = int(table.starts[0]) - 1
    said = (
        f"{table.name}: {counted(len(table.starts), 'hole')} in the series, the first after {table.times[row]} (line"
        f" {table.lines[row]:,}), where a hole is {table.hole}"
    )
    remedy = "; data.longest_step sets how long neighbouring rows may lie apart" if data.time else ""
    for name, origins in left.items():
        if not len(origins):
            raise DataError(
                f"{said}; none of the windows of the {name} part, {data.rows_before} rows to read and {data.horizon} to"
                f" forecast, lies between two holes; give a shorter data.window, or more rows{remedy}"
            )
    fell = whole - sum(map(len, left.values()))
    said += f"; {fell:,} of {whole:,} windows would reach across one and are left out"
    if data.season is not None and data.season > (known := int(table.before[left["test"]].min())):
        said += (
            f", and so is the seasonal naive forecast, since one has only {known:,} rows since a hole to look back on"
        )
    return [said + remedy]
