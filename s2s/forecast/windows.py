"""A series with its parts in time order, and the windows that end in them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.errors import DataError
from s2s.forecast.baselines import naive_errors
from s2s.forecast.recipe import SeriesData
from s2s.forecast.rows import counted
from s2s.forecast.scaling import Scaler, fit_scaler, require_all, require_scalable
from s2s.forecast.table import Rows, SeriesTable

Floats = NDArray[np.float64]
WINDOWS_AT_ONCE = 1024
"""Windows in one pass without training, so that memory does not grow with the series."""


class Parts(NamedTuple):
    """Where the training, validation and test parts of N rows begin and end."""

    validation: int
    """the first row of the validation part"""
    test: int
    """the first row of the test part"""
    end: int
    """N"""


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


class WindowBatch(NamedTuple):
    """Windows, and the steps after each."""

    inputs: Tensor
    """(B, W, F) scaled"""
    known: Tensor
    """(B, W, K) scaled: the targets in the windows"""
    targets: Tensor
    """(B, H, K) scaled: the K targets at the H steps after the window"""

    def after_each_row(self, steps: int) -> Tensor:
        """(B, W - 1, steps, K), the targets after each row of the window but its last."""
        rows = torch.cat([self.known, self.targets], dim=1)[:, 1:]
        return rows.unfold(1, steps, 1)[:, : self.known.shape[1] - 1].transpose(2, 3)


class Windows:
    """The windows before some rows."""

    def __init__(self, inputs: Floats, targets: Floats, origins: Rows, *, window: int, horizon: int) -> None:
        """(N, F) and (N, K) scaled rows; the first forecast row of each window (O,)."""
        self.inputs, self.targets = torch.from_numpy(inputs).float(), torch.from_numpy(targets).float()
        self.window, self.horizon = window, horizon
        self.origins = origins

    def __len__(self) -> int:
        return len(self.origins)

    def batch(self, which: NDArray[np.integer]) -> WindowBatch:
        """Some of the windows, by number."""
        origins = torch.from_numpy(self.origins[which])
        back = origins[:, None] + torch.arange(-self.window, 0)
        ahead = origins[:, None] + torch.arange(self.horizon)
        return WindowBatch(self.inputs[back], self.targets[back], self.targets[ahead])


def origins_between(before: Rows, data: SeriesData, first: int, end: int) -> Rows:
    """First rows of the forecasts that lie in a range of rows, and have no hole in them or in what they need before.

    `before` (N,) are the rows since the last hole; the rows that a forecast reads may lie before the range.
    """
    origins = np.arange(first, end - data.horizon + 1)
    return origins[before[origins + data.horizon - 1] >= data.rows_before + data.horizon - 1]


def in_groups(numbers: NDArray[np.integer], size: int) -> list[NDArray[np.integer]]:
    """Numbers (N,) in their order, in groups of at most `size`."""
    return np.split(numbers, range(size, len(numbers), size))


class Series(NamedTuple):
    """A table with its parts and its scaling."""

    table: SeriesTable
    read: Floats
    """(N, F) columns that the model reads, in the file's units"""
    targets: Floats
    """(N, K)"""
    parts: Parts
    reader: Scaler
    scaler: Scaler
    """of the targets"""
    remarks: tuple[str, ...]
    """Remarks on the table and its holes, in sentences"""

    def truth(self, windows: Windows) -> Floats:
        """Values (O, H, K) after each window, in the file's units."""
        ahead: Floats = self.targets[windows.origins[:, None] + np.arange(windows.horizon)]
        return ahead

    def in_units(self, windows: Windows, scaled: Floats) -> Floats:
        """(..., O, H, K) forecasts after each window, from scaled to the file's units."""
        return self.scaler.restore(scaled.astype(np.float64), self.targets[windows.origins - 1])

    def learned(self) -> Floats:
        """(2, F) lowest and highest scaled value of each column that the model reads, in the training part."""
        read = self.reader.scale(self.read)[: self.parts.validation]
        if self.reader.kind == "log_return":
            read = read[self.table.before[: self.parts.validation] > 0]
        return np.stack([read.min(axis=0), read.max(axis=0)])

    def windows(self, data: SeriesData, first: int, end: int) -> Windows:
        """The windows whose forecasts lie in a range of rows; no hole, and no row without a return, is in any."""
        read, targets = self.reader.scale(self.read), self.scaler.scale(self.targets)
        origins = origins_between(self.table.before, data, first, end)
        return Windows(read, targets, origins, window=data.window, horizon=data.horizon)


def values_of(data: SeriesData, table: SeriesTable) -> tuple[Floats, Floats]:
    """Columns read (N, F) and targets (N, K); DataError for a value that the scaling is not defined for."""
    read, targets = (np.stack([table.columns[name] for name in names], axis=1) for names in (data.read, data.targets))
    require_scalable(data.scaling, read, data.read, table.place)
    require_scalable(data.scaling, targets, data.targets, table.place)
    if data.floor is not None:
        rule = f"data.floor is {data.floor:g}"
        require_all(targets >= data.floor, targets, data.targets, table.place, rule=rule, remedy="lower the floor")
    return read, targets


def prepare_series(data: SeriesData, table: SeriesTable, scaling: tuple[Scaler, Scaler] | None = None) -> Series:
    """Divide a series in time, and fit the scaling on its training part; DataError where either fails.

    With a `scaling`, of the columns that are read and of the targets, none is fitted.
    """
    read, targets = values_of(data, table)
    parts = divide(len(table), data)
    said = _windows_left(data, table, parts)
    known, before = targets[: parts.validation], table.before[: parts.validation]
    try:
        reader, scaler = scaling or (
            fit_scaler(data.scaling, read[: parts.validation], before, data.read),
            fit_scaler(data.scaling, known, before, data.targets)._replace(floor=data.floor),
        )
    except DataError as problem:
        raise DataError(f"{table.path}: {problem}") from None
    with np.errstate(over="ignore"):
        errors = naive_errors(known, before)
    for name, error in zip(data.targets, errors, strict=True):
        if not 0 < error < np.inf:
            fault = "never changes in the training part, so there is nothing to forecast"
            raise DataError(
                f"{table.path}: column {name}: {'has steps that are too large to be added up' if error else fault};"
                " leave it out of data.targets"
            )
    return Series(table, read, targets, parts, reader, scaler, (*table.remarks, *said))


def _windows_left(data: SeriesData, table: SeriesTable, parts: Parts) -> list[str]:
    """A sentence on the holes and the windows that fell away, if any; DataError for a part that has no window left."""
    if not len(table.starts):
        return []
    ranges = {"training": (0, parts.validation), "validation": (parts.validation, parts.test), "test": parts[1:]}
    left = {name: origins_between(table.before, data, *rows) for name, rows in ranges.items()}
    whole = sum(len(origins_between(np.arange(len(table)), data, *rows)) for rows in ranges.values())
    row = int(table.starts[0]) - 1
    said = (
        f"{table.path}: {counted(len(table.starts), 'hole')} in the series, the first after {table.times[row]} (line"
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
