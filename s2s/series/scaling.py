"""Scaling of series: fitted on the training part alone, so that nothing of what is to be forecast leaks into it."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError

Floats = NDArray[np.float64]
Kind = Literal["minmax", "standard", "log_return", "none"]


class Scaler(NamedTuple):
    """scaled = (value - shift) / factor, column by column; of log returns what is scaled are those."""

    kind: Kind
    shift: Floats
    """(F,)"""
    factor: Floats
    """(F,)"""

    def scale(self, values: Floats) -> Floats:
        """(N, F) in the file's units -> (N, F); with log_return the first row has no return and is zero."""
        return ((_returns(values) if self.kind == "log_return" else values) - self.shift) / self.factor

    def restore(self, scaled: Floats, last: Floats) -> Floats:
        """(..., H, F) scaled steps after last known values (..., F) -> values in the file's units."""
        values = scaled * self.factor + self.shift
        return last[..., None, :] * np.exp(values.cumsum(axis=-2)) if self.kind == "log_return" else values


def fit_scaler(kind: Kind, values: Floats, names: list[str]) -> Scaler:
    """Fit a scaler on the training part (N, F); DataError names a column that cannot be scaled."""
    for name, column in zip(names, values.T, strict=True):
        if kind == "log_return" and (column <= 0).any():
            raise DataError(f"column {name}: has {column.min():g}, and a log return needs values above zero")
        if kind != "none" and np.ptp(column) == 0:
            raise DataError(f"column {name}: is {column[0]:g} in all of the training part; leave it out")
    size = values.shape[1]
    if kind == "none":
        return Scaler(kind, np.zeros(size), np.ones(size))
    if kind == "minmax":
        return Scaler(kind, values.min(axis=0), np.ptp(values, axis=0))
    moving = _returns(values)[1:] if kind == "log_return" else values
    return Scaler(kind, moving.mean(axis=0), moving.std(axis=0))


def _returns(values: Floats) -> Floats:
    """log(v_t / v_{t-1}), of the first row zero."""
    returns = np.zeros_like(values)
    returns[1:] = np.log(values[1:] / values[:-1])
    return returns
