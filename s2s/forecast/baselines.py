"""Forecasts that need next to no training; a model that does not beat them has learned nothing."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LARGEST_ORDER = 24
"""Lags of the largest autoregression tried."""


def persistence(series: Floats, origins: NDArray[np.integer], horizon: int) -> Floats:
    """(N,), (O,) rows of the first forecast value -> (O, H): every step is the last value."""
    return np.repeat(series[origins - 1][:, None], horizon, axis=1)


def drift(series: Floats, origins: NDArray[np.integer], horizon: int) -> Floats:
    """The last value, plus the mean step so far for each step ahead (Hyndman & Athanasopoulos 2021, section 5.2)."""
    step = (series[origins - 1] - series[0]) / np.maximum(origins - 1, 1)
    ahead: Floats = series[origins - 1][:, None] + step[:, None] * np.arange(1, horizon + 1)
    return ahead


def seasonal_naive(series: Floats, origins: NDArray[np.integer], horizon: int, season: int) -> Floats:
    """The value of the same place in the last season, which must be known."""
    ahead = np.arange(horizon)
    before: Floats = series[origins[:, None] + ahead - season * (1 + ahead // season)]
    return before


class Autoregression(NamedTuple):
    """y_t = constant + sum of the coefficients times the values before, the latest first."""

    constant: float
    coefficients: Floats
    """(P,)"""

    def forecast(self, series: Floats, origins: NDArray[np.integer], horizon: int) -> Floats:
        """(N,), (O,) -> (O, H), each step fed back for the next."""
        order = len(self.coefficients)
        known = series[origins[:, None] - np.arange(1, order + 1)]
        steps = []
        for _ in range(horizon):
            steps.append(self.constant + known @ self.coefficients)
            known = np.hstack([steps[-1][:, None], known[:, :-1]])
        return np.stack(steps, axis=1)


def fit_autoregression(series: Floats, order: int) -> Autoregression:
    """Least squares on a part of a series (N,)."""
    rows = np.arange(order, len(series))
    lags = series[rows[:, None] - np.arange(1, order + 1)]
    found, *_ = np.linalg.lstsq(np.hstack([np.ones((len(rows), 1)), lags]), series[rows], rcond=None)
    return Autoregression(float(found[0]), found[1:])


def choose_autoregression(train: Floats) -> Autoregression:
    """The order with the least AIC (Akaike 1974) on the training part, all orders fitted to the same rows."""
    most = min(LARGEST_ORDER, max(1, len(train) // 4))

    def criterion(order: int) -> float:
        part, rows = train[most - order :], np.arange(order, len(train) - most + order)
        errors = part[rows] - fit_autoregression(part, order).forecast(part, rows, 1)[:, 0]
        return float(len(rows) * np.log(max(float(np.mean(errors**2)), 1e-300)) + 2 * (order + 1))

    return fit_autoregression(train, min(range(1, most + 1), key=criterion))


def naive_errors(known: Floats) -> Floats:
    """(N, K) -> mean absolute errors (K,) of persistence one step ahead, the unit of MASE."""
    errors: Floats = np.abs(np.diff(known, axis=0)).mean(axis=0)
    return errors


def errors_of(truth: Floats, forecast: Floats, naive_error: float) -> dict[str, float]:
    """(O, H) each -> MAE, RMSE, MASE, and MAPE and sMAPE without quotients by zero (Hyndman & Koehler 2006)."""
    difference = np.abs(truth - forecast)
    return {
        "mae": float(difference.mean()),
        "rmse": float(np.sqrt((difference**2).mean())),
        "mape": 100 * _mean_ratio(difference, np.abs(truth)),
        "smape": 100 * _mean_ratio(2 * difference, np.abs(truth) + np.abs(forecast)),
        "mase": float(difference.mean()) / naive_error if naive_error else float("nan"),
    }


def _mean_ratio(above: Floats, below: Floats) -> float:
    kept = below > 0
    return float((above[kept] / below[kept]).mean()) if kept.any() else float("nan")


def baselines(
    series: Floats, origins: NDArray[np.integer], horizon: int, *, train_end: int, season: int | None
) -> Mapping[str, Floats]:
    """Forecasts (O, H) by name, of every baseline for which the rows before them suffice."""
    found = {"persistence": persistence(series, origins, horizon), "drift": drift(series, origins, horizon)}
    if season is not None and season <= int(origins.min()):
        found["seasonal_naive"] = seasonal_naive(series, origins, horizon, season)
    autoregression = choose_autoregression(series[:train_end])
    found[f"ar({len(autoregression.coefficients)})"] = autoregression.forecast(series, origins, horizon)
    return found
