"""A series with its parts in time order, and the windows that end in them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.errors import DataError
from s2s.forecast.baselines import naive_errors
from s2s.forecast.recipe import SeriesData
from s2s.forecast.scaling import Scaler, fit_scaler, require_scalable
from s2s.forecast.table import SeriesTable

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
    """The windows whose forecasts begin in a range of rows; they may reach back before it."""

    def __init__(self, inputs: Floats, targets: Floats, *, first: int, end: int, window: int, horizon: int) -> None:
        """(N, F) and (N, K) scaled rows; forecasts begin at rows `first` to `end` - `horizon`."""
        self.inputs, self.targets = torch.from_numpy(inputs).float(), torch.from_numpy(targets).float()
        self.window, self.horizon = window, horizon
        self.origins = np.arange(max(first, window), end - horizon + 1)
        """first forecast row of each window"""

    def __len__(self) -> int:
        return len(self.origins)

    def batch(self, which: NDArray[np.integer]) -> WindowBatch:
        """Some of the windows, by number."""
        origins = torch.from_numpy(self.origins[which])
        back = origins[:, None] + torch.arange(-self.window, 0)
        ahead = origins[:, None] + torch.arange(self.horizon)
        return WindowBatch(self.inputs[back], self.targets[back], self.targets[ahead])


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

    def truth(self, windows: Windows) -> Floats:
        """Values (O, H, K) after each window, in the file's units."""
        ahead: Floats = self.targets[windows.origins[:, None] + np.arange(windows.horizon)]
        return ahead

    def in_units(self, windows: Windows, scaled: Floats) -> Floats:
        """(..., O, H, K) forecasts after each window, from scaled to the file's units."""
        return self.scaler.restore(scaled.astype(np.float64), self.targets[windows.origins - 1])

    def windows(self, data: SeriesData, first: int, end: int) -> Windows:
        """The windows whose forecasts lie in a range of rows; a first row that has no return is in none."""
        read, targets = self.reader.scale(self.read), self.scaler.scale(self.targets)
        first = max(first, data.rows_before)
        return Windows(read, targets, first=first, end=end, window=data.window, horizon=data.horizon)


def values_of(data: SeriesData, table: SeriesTable) -> tuple[Floats, Floats]:
    """Columns read (N, F) and targets (N, K); DataError for a value that the scaling is not defined for."""
    read, targets = (np.stack([table.columns[name] for name in names], axis=1) for names in (data.read, data.targets))
    require_scalable(data.scaling, read, data.read, table.place)
    require_scalable(data.scaling, targets, data.targets, table.place)
    return read, targets


def prepare_series(data: SeriesData, table: SeriesTable) -> Series:
    """Divide a series in time, and fit the scaling on its training part; DataError where either fails."""
    read, targets = values_of(data, table)
    parts = divide(len(table), data)
    known = targets[: parts.validation]
    try:
        reader = fit_scaler(data.scaling, read[: parts.validation], data.read)
        scaler = fit_scaler(data.scaling, known, data.targets)
    except DataError as problem:
        raise DataError(f"{table.path}: {problem}") from None
    for name, error in zip(data.targets, naive_errors(known), strict=True):
        if not error:
            raise DataError(
                f"{table.path}: column {name}: never changes in the training part, so there is nothing to forecast;"
                " leave it out of data.targets"
            )
    return Series(table, read, targets, parts, reader, scaler)
