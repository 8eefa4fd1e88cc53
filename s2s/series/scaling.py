"""Scaling of series: fitted on the training part alone, so that nothing of what is to be forecast leaks into it."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError

Floats = NDArray[np.float64]
Kind = Literal["minmax", "standard", "square_root", "log_return", "none"]


class Scaler(NamedTuple):
    """scaled = (value - shift) / factor, column by column; of square roots and log returns what is scaled are those."""

    kind: Kind
    shift: Floats
    """(F,)"""
    factor: Floats
    """(F,)"""

    def scale(self, values: Floats) -> Floats:
        """(N, F) in the file's units -> (N, F); with log_return the first row has no return and is zero."""
        return (_changed(self.kind, values) - self.shift) / self.factor

    def restore(self, scaled: Floats, last: Floats) -> Floats:
        """(..., H, F) scaled steps after last known values (..., F) -> values in the file's units."""
        values = scaled * self.factor + self.shift
        if self.kind == "square_root":
            values = np.maximum(values, 0.0) ** 2
        return last[..., None, :] * np.exp(values.cumsum(axis=-2)) if self.kind == "log_return" else values


def fit_scaler(kind: Kind, values: Floats, names: list[str]) -> Scaler:
    """Fit a scaler on the training part (N, F); DataError names a column that cannot be scaled."""
    for name, column in zip(names, values.T, strict=True):
        if kind == "log_return" and (column <= 0).any():
            raise DataError(f"column {name}: has {column.min():g}, and a log return needs values above zero")
        if kind == "square_root" and (column < 0).any():
            raise DataError(f"column {name}: has {column.min():g}, and a square root needs values of at least zero")
        if kind != "none" and np.ptp(column) == 0:
            raise DataError(f"column {name}: is {column[0]:g} in all of the training part; leave it out")
    size = values.shape[1]
    if kind == "none":
        return Scaler(kind, np.zeros(size), np.ones(size))
    if kind == "minmax":
        return Scaler(kind, values.min(axis=0), np.ptp(values, axis=0))
    moving = _changed(kind, values)[1:] if kind == "log_return" else _changed(kind, values)
    return Scaler(kind, moving.mean(axis=0), moving.std(axis=0))


def _changed(kind: Kind, values: Floats) -> Floats:
    """The values themselves, their square roots, or log(v_t / v_{t-1}), which is zero in the first row."""
    if kind == "square_root":
        roots: Floats = np.sqrt(np.maximum(values, 0.0))
        return roots
    if kind != "log_return":
        return values
    returns = np.zeros_like(values)
    returns[1:] = np.log(values[1:] / values[:-1])
    return returns
