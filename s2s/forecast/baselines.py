"""Forecasts that need no training to speak of; a model that does not beat them has learned nothing."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LARGEST_ORDER = 24
"""Lags of the largest autoregression that is tried."""


def persistence(series: Floats, origins: NDArray[np.integer], horizon: int) -> Floats:
    """(N,), (O,) rows of the first value forecast -> (O, H): every step is the last value."""
    return np.repeat(series[origins - 1][:, None], horizon, axis=1)


def drift(series: Floats, origins: NDArray[np.integer], horizon: int) -> Floats:
    """The last value and the mean step so far, again and again (Hyndman & Athanasopoulos 2021, section 5.2)."""
    slope = (series[origins - 1] - series[0]) / np.maximum(origins - 1, 1)
    ahead: Floats = series[origins - 1][:, None] + slope[:, None] * np.arange(1, horizon + 1)
    return ahead


def seasonal_naive(series: Floats, origins: NDArray[np.integer], horizon: int, season: int) -> Floats:
    """The value of the same place in the last season, which must be known."""
    ahead = np.arange(horizon)
    before: Floats = series[origins[:, None] + ahead - season * (1 + ahead // season)]
    return before


class Autoregression(NamedTuple):
    """y_t = constant + sum of coefficients times the values before, the last first."""

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
        part = train[most - order :]
        rows = np.arange(order, len(part))
        errors = part[rows] - fit_autoregression(part, order).forecast(part, rows, 1)[:, 0]
        return float(len(rows) * np.log(max(float(np.mean(errors**2)), 1e-300)) + 2 * (order + 1))

    return fit_autoregression(train, min(range(1, most + 1), key=criterion))


def naive_errors(known: Floats) -> Floats:
    """(N, K) -> (K,), the mean absolute error of persistence one step ahead, in whose units MASE is."""
    errors: Floats = np.abs(np.diff(known, axis=0)).mean(axis=0)
    return errors


def errors_of(truth: Floats, forecast: Floats, naive_error: float) -> dict[str, float]:
    """(O, H) each -> MAE, RMSE, MAPE, sMAPE and MASE; the last is scaled by the mean in-sample naive error.

    Percentages leave out what is zero (Hyndman & Koehler 2006).
    """
    difference = np.abs(truth - forecast)
    total = np.abs(truth) + np.abs(forecast)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares, both = difference / np.abs(truth), 2 * difference / total
    return {
        "mae": float(difference.mean()),
        "rmse": float(np.sqrt((difference**2).mean())),
        "mape": 100 * _mean(shares),
        "smape": 100 * _mean(both),
        "mase": float(difference.mean()) / naive_error if naive_error else float("nan"),
    }


def _mean(values: Floats) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if kept.size else float("nan")


def baselines(
    series: Floats, origins: NDArray[np.integer], horizon: int, *, train_end: int, season: int | None
) -> Mapping[str, Floats]:
    """The forecasts (O, H) of every baseline that the rows before them suffice for, by name."""
    found = {"persistence": persistence(series, origins, horizon), "drift": drift(series, origins, horizon)}
    if season is not None and season <= int(origins.min()):
        found["seasonal_naive"] = seasonal_naive(series, origins, horizon, season)
    autoregression = choose_autoregression(series[:train_end])
    found[f"ar({len(autoregression.coefficients)})"] = autoregression.forecast(series, origins, horizon)
    return found
