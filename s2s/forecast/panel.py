"""Series below each other, from which batches of windows of all of them are taken."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.forecast.backtest import spread
from s2s.forecast.data import SeriesData
from s2s.forecast.saved import SavedScaling
from s2s.forecast.scaling import Scaler
from s2s.forecast.series import Series
from s2s.forecast.windows import Floats, Rows, Windows


class Panel:
    """Series below each other, scaled: one batch has windows of many, none of which reaches from one into another."""

    def __init__(self, series: Sequence[Series | SavedScaling], data: SeriesData, *, steps_after: int = 0) -> None:
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

    def origins(self, series: Sequence[Series], part: str, count: int | None = None) -> Rows:
        """First rows of the forecasts in a part of each of its series, or of a count of them."""
        each_origins = [spread(each.origins(self.data, part), count) for each in series]
        return np.concatenate([start + each for start, each in zip(self.starts, each_origins, strict=False)])

    def series_of(self, origins: Rows) -> Rows:
        """(O,) rows -> the place of the series of each."""
        return np.searchsorted(self.starts, origins, side="right") - 1

    def unit(self, origins: Rows) -> Tensor:
        """(O,) rows -> what a scaled value of one is in the file's units (O, 1, K)."""
        return torch.from_numpy(self.scaler.factor[self.series_of(origins)]).float()[:, None]

    def truth(self, origins: Rows) -> Floats:
        """Values (O, H, K) from some rows (O,) on, in the file's units; NaN where one is missing."""
        rows = origins[:, None] + np.arange(self.data.horizon)
        ahead: Floats = self.values[rows]
        return ahead if self.valid is None else np.where(self.valid.numpy()[rows], ahead, np.nan)

    def in_units(self, origins: Rows, scaled: Floats) -> Floats:
        """(..., O, H, K) forecasts from some rows on, from scaled to the file's units."""
        which = self.series_of(origins)
        shift, factor = (part[which][:, None] for part in (self.scaler.shift, self.scaler.factor))
        scaler = Scaler(self.scaler.kind, shift, factor, self.data.floor)
        return scaler.restore(scaled.astype(np.float64), self.values[origins - 1])


def _inputs(series: Series | SavedScaling) -> Floats:
    scaled = series.reader.scale(series.read)
    return scaled if series.marks is None else np.hstack([scaled, series.marks])


def _below(parts: Sequence[NDArray[np.generic]], after: int, kind: type = np.float64) -> NDArray[Any]:
    """Arrays (N, X) below each other, each followed by rows of zeros."""
    empty: NDArray[Any] = np.zeros((after, parts[0].shape[1]), kind)
    return np.concatenate([each.astype(kind) for part in parts for each in ((part, empty) if after else (part,))])
