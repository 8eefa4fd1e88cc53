"""Windows of rows and the steps after each, of one series or of many below each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.forecast.model import ALONE, Beside
from s2s.forecast.recipe import SeriesData
from s2s.forecast.scaling import Scaler

if TYPE_CHECKING:
    from s2s.forecast.saved import SavedScaling
    from s2s.forecast.series import Series

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]
WINDOWS_AT_ONCE = 1024
"""Windows in one pass without training, so that memory does not grow with the series."""


class WindowBatch(NamedTuple):
    """Windows, and the steps after each."""

    inputs: Tensor
    """(B, W, F) scaled"""
    known: Tensor
    """(B, W, K) scaled: the targets in the windows"""
    targets: Tensor
    """(B, H, K) scaled: the K targets at the H steps after the window"""
    beside: Beside = ALONE
    valid: Tensor | None = None
    """(B, W + H, K), False where a value is missing, and another stands for it; None where none is"""

    def after_each_row(self, steps: int) -> Tensor:
        """(B, W - 1, steps, K), the targets after each row of the window but its last."""
        return self._after_each(torch.cat([self.known, self.targets], dim=1), steps)

    def valid_steps(self) -> Tensor | None:
        """(B, H, K), whether there is a value."""
        return None if self.valid is None else self.valid[:, self.known.shape[1] :]

    def valid_after_each_row(self, steps: int) -> Tensor | None:
        """As `after_each_row`, whether there is a value."""
        return None if self.valid is None else self._after_each(self.valid, steps)

    def _after_each(self, rows: Tensor, steps: int) -> Tensor:
        return rows[:, 1:].unfold(1, steps, 1)[:, : self.known.shape[1] - 1].transpose(2, 3)


class Windows:
    """The windows before some rows."""

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        origins: Rows,
        *,
        window: int,
        horizon: int,
        ahead: Tensor | None = None,
        valid: Tensor | None = None,
        numbers: Rows | None = None,
    ) -> None:
        """(N, F), (N, K), (N, C) scaled rows; the first forecast row of each window and its series' number (O,)."""
        self.inputs, self.targets, self.ahead, self.valid = inputs, targets, ahead, valid
        self.window, self.horizon = window, horizon
        self.origins, self.numbers = origins, numbers

    def __len__(self) -> int:
        return len(self.origins)

    def batch(self, which: NDArray[np.integer]) -> WindowBatch:
        """Some of the windows, by number."""
        origins = torch.from_numpy(self.origins[which])
        back = origins[:, None] + torch.arange(-self.window, 0)
        steps = origins[:, None] + torch.arange(self.horizon)
        both = torch.cat([back, steps], dim=1)
        beside = Beside(
            None if self.ahead is None else self.ahead[both],
            None if self.numbers is None else torch.from_numpy(self.numbers[which]),
        )
        valid = None if self.valid is None else self.valid[both]
        return WindowBatch(self.inputs[back], self.targets[back], self.targets[steps], beside, valid)


def origins_between(before: Rows, data: SeriesData, first: int, end: int) -> Rows:
    """First rows of the forecasts that lie in a range of rows, and have no hole in them or in what they need before.

    `before` (N,) are the rows since the last hole; the rows that a forecast reads may lie before the range.
    """
    origins = np.arange(first, end - data.horizon + 1)
    return origins[before[origins + data.horizon - 1] >= data.rows_before + data.horizon - 1]


def in_groups(numbers: NDArray[np.integer], size: int) -> list[NDArray[np.integer]]:
    """Numbers (N,) in their order, in groups of at most `size`."""
    return np.split(numbers, range(size, len(numbers), size))


class Panel:
    """Series below each other, scaled: one batch has windows of many, none of which reaches from one into another."""

    def __init__(self, series: "Sequence[Series | SavedScaling]", data: SeriesData, *, steps_after: int = 0) -> None:
        """Each is followed by empty rows for `steps_after` its last, of which it must have what is known ahead."""
        self.data, after = data, steps_after
        lengths = [len(each.targets) + after for each in series]
        self.starts: Rows = np.cumsum([0, *lengths])
        """(S + 1,) the first row of each series, and the end"""
        self.numbers = np.array([each.number for each in series]) if data.series_id else None
        shift, factor = (np.stack([getattr(each.scaler, name) for each in series]) for name in ("shift", "factor"))
        self.scaler = Scaler(data.scaling, shift, factor)
        self.values: Floats = _below([each.targets for each in series], after)
        """(N, K) targets in the file's units"""
        self.targets = torch.from_numpy(_below([each.scaler.scale(each.targets) for each in series], after, np.float32))
        self.inputs = torch.from_numpy(_below([_inputs(each) for each in series], after, np.float32))
        known = [each.ahead[:length] for each, length in zip(series, lengths, strict=True) if each.ahead is not None]
        self.ahead = torch.from_numpy(np.concatenate(known).astype(np.float32)) if known else None
        flags = [each.valid for each in series if each.valid is not None]
        self.valid = torch.from_numpy(_below(flags, after, bool)) if flags else None

    def windows(self, origins: Rows, steps: int | None = None) -> Windows:
        """The windows before some rows, and the `steps` after each, by default data.horizon."""
        return Windows(
            self.inputs,
            self.targets,
            origins,
            window=self.data.window,
            horizon=steps or self.data.horizon,
            ahead=self.ahead,
            valid=self.valid,
            numbers=None if self.numbers is None else self.numbers[self.series_of(origins)],
        )

    def series_of(self, origins: Rows) -> Rows:
        """(O,) rows -> the place of the series of each."""
        return np.searchsorted(self.starts, origins, side="right") - 1

    def unit(self, origins: Rows) -> Tensor:
        """(O,) rows -> what a scaled value of one is in the file's units (O, 1, K)."""
        return torch.from_numpy(self.scaler.factor[self.series_of(origins)]).float()[:, None]

    def truth(self, windows: Windows) -> Floats:
        """Values (O, H, K) after each window, in the file's units; NaN where one is missing."""
        rows = windows.origins[:, None] + np.arange(windows.horizon)
        ahead: Floats = self.values[rows]
        return ahead if self.valid is None else np.where(self.valid.numpy()[rows], ahead, np.nan)

    def in_units(self, origins: Rows, scaled: Floats) -> Floats:
        """(..., O, H, K) forecasts from some rows on, from scaled to the file's units."""
        which = self.series_of(origins)
        shift, factor = (part[which][:, None] for part in (self.scaler.shift, self.scaler.factor))
        scaler = Scaler(self.scaler.kind, shift, factor, self.data.floor)
        return scaler.restore(scaled.astype(np.float64), self.values[origins - 1])


def _inputs(series: "Series | SavedScaling") -> Floats:
    scaled = series.reader.scale(series.read)
    return scaled if series.marks is None else np.hstack([scaled, series.marks])


def _below(parts: Sequence[NDArray[np.generic]], after: int, kind: type = np.float64) -> NDArray[Any]:
    """Arrays (N, X) below each other, each followed by rows of zeros."""
    empty: NDArray[Any] = np.zeros((after, parts[0].shape[1]), kind)
    return np.concatenate([each.astype(kind) for part in parts for each in ((part, empty) if after else (part,))])
