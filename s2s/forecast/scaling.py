"""Scaling of series, fitted on the training part alone, so that no later value leaks into it."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError

Floats = NDArray[np.float64]
Kind = Literal["minmax", "standard", "square_root", "log_return", "mean", "none"]
ROUNDING = 1e-14
"""Deviations that are a smaller share of the values come from rounding alone."""


class Scaler(NamedTuple):
    """scaled = (value - shift) / factor, column by column, where value may be a square root or a log return."""

    kind: Kind
    shift: Floats
    """(F,)"""
    factor: Floats
    """(F,)"""
    floor: float | None = None
    """lowest value in the file's units"""

    def scale(self, values: Floats) -> Floats:
        """(N, F) in the file's units -> (N, F); with log_return the first row has no return and is zero.

        Nor has the first row after a hole: what stands there is never read, since windows begin a row later.
        """
        return (_changed(self.kind, values) - self.shift) / self.factor

    def at(self, places: NDArray[np.integer] | list[int]) -> "Scaler":
        """The scaler of some columns, or of some of several scalers below each other (S, F)."""
        return Scaler(self.kind, self.shift[..., places], self.factor[..., places])

    def in_words(self, ranges: Floats) -> list[str]:
        """Ranges (2, F) of scaled values, in words and the file's units, or of log returns."""
        low, high = ranges * self.factor + self.shift
        if self.kind == "square_root":
            low, high = np.maximum(low, 0.0) ** 2, np.maximum(high, 0.0) ** 2
        what = "log returns from" if self.kind == "log_return" else "values from"
        return [f"{what} {least:.4g} to {most:.4g}" for least, most in zip(low, high, strict=True)]

    def restore(self, scaled: Floats, last: Floats) -> Floats:
        """(..., H, F) scaled steps after last known values (..., F) -> values in the file's units."""
        values = scaled * self.factor + self.shift
        if self.kind == "square_root":
            values = np.maximum(values, 0.0) ** 2
        values = last[..., None, :] * np.exp(values.cumsum(axis=-2)) if self.kind == "log_return" else values
        return values if self.floor is None else np.maximum(values, self.floor)


def require_all(
    within: NDArray[np.bool_],
    values: Floats,
    names: Sequence[str],
    place: Callable[[int], str],
    *,
    rule: str,
    remedy: str,
) -> None:
    """DataError for the first of all values (N, F) that breaks a rule; `place` names its row."""
    if not within.all():
        row, column = map(int, np.argwhere(~within)[0])
        raise DataError(
            f"{place(row)}: column {names[column]} has {values[row, column]:g}, and {rule}; mend the value, or {remedy}"
        )


def require_scalable(kind: Kind, values: Floats, names: Sequence[str], place: Callable[[int], str]) -> None:
    """DataError for the first of all values (N, F) that a scaling is not defined for; `place` names its row."""
    remedy = "train with another data.scaling"
    if kind == "log_return":
        require_all(~(values <= 0), values, names, place, rule="a log return needs values above zero", remedy=remedy)
    if kind == "square_root":
        rule = "a square root needs values of at least zero"
        require_all(~(values < 0), values, names, place, rule=rule, remedy=remedy)


def fit_scaler(kind: Kind, values: Floats, before: NDArray[np.integer], names: Sequence[str]) -> Scaler:
    """Fit a scaler on the training part (N, F); DataError names a column that cannot be scaled.

    A row without any `before` it (N,) since the last hole has no return, and none is fitted to it, nor to a NaN.
    """
    if kind == "none":
        return Scaler(kind, np.zeros(values.shape[1]), np.ones(values.shape[1]))
    for name, column in zip(names, values.T, strict=True):
        own = column[~np.isnan(column)]
        if not len(own):
            raise DataError(f"column {name}: has no value in all of the training part; leave it out")
        if (own == own[0]).all():
            raise DataError(f"column {name}: is {own[0]:g} in all of the training part; leave it out")
    with np.errstate(over="ignore", invalid="ignore"):
        if kind == "minmax":
            shift = np.nanmin(values, axis=0)
            factor = np.nanmax(values, axis=0) - shift
        elif kind == "mean":
            shift, factor = np.zeros(values.shape[1]), np.nanmean(np.abs(values), axis=0)
        else:
            moving = _changed(kind, values)[before > 0] if kind == "log_return" else _changed(kind, values)
            shift, factor = np.nanmean(moving, axis=0), np.nanstd(moving, axis=0)
    for name, size, middle in zip(names, factor, shift, strict=True):
        deviates = 1.0 if kind == "log_return" else abs(middle)  # the logarithm is of a ratio near one
        if not ROUNDING * deviates < size < np.inf:
            raise DataError(
                f"column {name}: deviates by {size:g} in the training part once it is scaled by {kind}, but that must"
                " be finite and above what rounding makes; choose another data.scaling, or leave the column out"
            )
    return Scaler(kind, shift, factor)


def guessed_scaler(kind: Kind, values: Floats, others: Sequence[Scaler]) -> Scaler:
    """For values (N, K) that none can be fitted to, such as equal ones: their mean, and what others deviate by."""
    shift, factor = (np.median([getattr(each, name) for each in others], axis=0) for name in ("shift", "factor"))
    if kind == "none" or kind == "log_return":
        return Scaler(kind, shift, factor)
    with np.errstate(over="ignore"):
        means = np.nanmean(_changed(kind, values), axis=0)
    return Scaler(kind, np.where(np.isfinite(means), means, shift), factor)


def _changed(kind: Kind, values: Floats) -> Floats:
    """The values themselves, their square roots, or log(v_t / v_{t-1}), which is zero in the first row."""
    if kind == "square_root":
        return np.sqrt(values)
    return np.log(values / np.vstack([values[:1], values[:-1]])) if kind == "log_return" else values
