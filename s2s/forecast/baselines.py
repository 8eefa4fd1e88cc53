"""Forecasts that need next to no training; a model that does not beat them has learned nothing.

`before` (N,) are the rows that come before each row since the last hole: no baseline reads any further back.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.forecast.statistical import statistical

Floats = NDArray[np.float64]
Rows = NDArray[np.integer]
LARGEST_ORDER = 24
"""Lags of the largest autoregression tried."""
ROWS_FOR_EACH_LAG = 3
"""Fewest rows that a lag is fitted to."""


def persistence(series: Floats, origins: Rows, horizon: int) -> Floats:
    """(N,), (O,) rows of the first forecast value -> (O, H): every step is the last value."""
    return np.repeat(series[origins - 1][:, None], horizon, axis=1)


def drift(series: Floats, before: Rows, origins: Rows, horizon: int) -> Floats:
    """The last value, plus the mean step so far for each step ahead (Hyndman & Athanasopoulos 2021, section 5.2)."""
    last = origins - 1
    step = (series[last] - series[last - before[last]]) / np.maximum(before[last], 1)
    ahead: Floats = series[last][:, None] + step[:, None] * np.arange(1, horizon + 1)
    return ahead


def seasonal_naive(series: Floats, origins: Rows, horizon: int, season: int) -> Floats:
    """The value of the same place in the last season, which must be known."""
    ahead = np.arange(horizon)
    before: Floats = series[origins[:, None] + ahead - season * (1 + ahead // season)]
    return before


class Autoregression(NamedTuple):
    """y_t = constant + sum of the coefficients times the values before, the latest first."""

    constant: float
    coefficients: Floats
    """(P,)"""

    def forecast(self, series: Floats, origins: Rows, horizon: int) -> Floats:
        """(N,), (O,) -> (O, H), each step fed back for the next."""
        order = len(self.coefficients)
        known = series[origins[:, None] - np.arange(1, order + 1)]
        steps = []
        for _ in range(horizon):
            steps.append(self.constant + known @ self.coefficients)
            known = np.hstack([steps[-1][:, None], known[:, :-1]])
        return np.stack(steps, axis=1)


def fit_autoregression(series: Floats, before: Rows, order: int) -> Autoregression:
    """Least squares over the rows (N,) that have `order` rows before them."""
    rows = np.flatnonzero(before >= order)
    lags = series[rows[:, None] - np.arange(1, order + 1)]
    found, *_ = np.linalg.lstsq(np.hstack([np.ones((len(rows), 1)), lags]), series[rows], rcond=None)
    return Autoregression(float(found[0]), found[1:])


def choose_autoregression(train: Floats, before: Rows, *, largest: int = LARGEST_ORDER) -> Autoregression:
    """The order with the least AIC (Akaike 1974) on the training part, all orders fitted to the same rows."""
    counts = [np.count_nonzero(before >= order) for order in range(1, min(largest, LARGEST_ORDER) + 1)]
    most = max([order for order, rows in enumerate(counts, start=1) if rows >= ROWS_FOR_EACH_LAG * order], default=1)
    rows = np.flatnonzero(before >= most)
    lags = train[rows[:, None] - np.arange(1, most + 1)]
    # of all orders at once: those of fewer lags are the upper left part of the triangle
    triangle = np.linalg.qr(np.column_stack([np.ones(len(rows)), lags, train[rows]])).R

    def criterion(order: int) -> float:
        found, *_ = np.linalg.lstsq(triangle[:, : order + 1], triangle[:, -1], rcond=None)
        error = float(((triangle[:, -1] - triangle[:, : order + 1] @ found) ** 2).sum() / len(rows))
        return float(len(rows) * np.log(max(error, 1e-300)) + 2 * (order + 1))

    return fit_autoregression(train, before, min(range(1, most + 1), key=criterion))


def naive_errors(known: Floats, before: Rows) -> Floats:
    """(N, K) -> mean absolute errors (K,) of persistence one step ahead, the unit of MASE; zero where there are none.

    A step from or to a missing value, NaN, is none.
    """
    steps = np.abs(np.diff(known, axis=0))[before[1:] > 0]
    errors: Floats = np.nansum(steps, axis=0) / np.maximum((~np.isnan(steps)).sum(axis=0), 1)
    return errors


def error_sums(truth: Floats, forecast: Floats) -> Floats:
    """(O, H) each -> (7, H): forecasts, their absolute and squared errors, then relative and symmetric relative errors.

    The relative ones are each followed by their number, since a quotient by zero is none (Hyndman & Koehler 2006).
    """
    difference = np.abs(truth - forecast)
    parts = [np.ones(truth.shape), difference, difference**2]
    for above, below in ((difference, np.abs(truth)), (2 * difference, np.abs(truth) + np.abs(forecast))):
        kept = below > 0
        parts += [np.divide(above, below, out=np.zeros(truth.shape), where=kept), kept]
    sums: Floats = np.stack([part.sum(axis=0) for part in parts])
    return sums


def errors_of(sums: Floats, naive_error: float) -> dict[str, float]:
    """Error sums (7, H) -> MAE, RMSE, MAPE and sMAPE in per cent, and MASE."""
    count, absolute, squared, relative, relatives, symmetric, symmetrics = map(float, sums.sum(axis=1))
    return {
        "mae": absolute / count,
        "rmse": float(np.sqrt(squared / count)),
        "mape": 100 * relative / relatives if relatives else float("nan"),
        "smape": 100 * symmetric / symmetrics if symmetrics else float("nan"),
        "mase": absolute / count / naive_error if naive_error else float("nan"),
    }


def baselines(
    series: Floats,
    before: Rows,
    origins: Rows,
    horizon: int,
    *,
    train_end: int,
    season: int | None,
    statistical_names: Sequence[str] = (),
) -> tuple[Mapping[str, Floats], list[str]]:
    """Forecasts (O, H) by name, of every baseline for which the rows before all of them suffice, and remarks on them.

    Those of statsmodels are fitted once, on the rows before `train_end`.
    """
    known = int(before[origins - 1].min()) + 1
    found = {"persistence": persistence(series, origins, horizon), "drift": drift(series, before, origins, horizon)}
    if season is not None and season <= known:
        found["seasonal_naive"] = seasonal_naive(series, origins, horizon, season)
    autoregression = choose_autoregression(series[:train_end], before[:train_end], largest=known)
    found[f"ar({len(autoregression.coefficients)})"] = autoregression.forecast(series, origins, horizon)
    remarks = []
    for name in statistical_names:
        fitted = statistical(name, series, before, origins, horizon, train_end=train_end, season=season)
        if fitted.forecasts is not None:
            found[name] = fitted.forecasts
        if fitted.remark is not None:
            remarks.append(fitted.remark)
    return found, remarks
