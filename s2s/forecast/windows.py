"""Windows of rows and the steps after each, of one series or of many below each other."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.forecast.data import SeriesData
from s2s.forecast.model import ALONE, Beside

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
