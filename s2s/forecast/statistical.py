"""Statistical baselines by statsmodels, the extra `baselines`: ETS, Theta and SARIMAX of stated orders.

They are fitted once, on the rows before the scored part, and are not fitted again: but each forecast knows every row
before its origin, as the forecaster does.
"""

import re
import warnings
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.integer]
ITERATIONS = 500
"""Most iterations of a fit."""


class Statistical(NamedTuple):
    """Forecasts of one baseline."""

    forecasts: Floats | None
    """(O, H); None where it could not be fitted"""
    remark: str | None
    """What went wrong, in a sentence"""


def statistical(
    name: str, series: Floats, before: Rows, origins: Rows, horizon: int, *, train_end: int, season: int | None
) -> Statistical:
    """Forecasts of a series (N,) after each origin (O,) by the baseline of a name, as recipes write it."""
    if find_spec("statsmodels") is None:
        needed = "statsmodels, which fits it, is not installed: pip install 's2s[baselines]'"
        return Statistical(None, f"{name}: is left out, since {needed}")
    if (before[1 : origins[-1]] == 0).any():
        return Statistical(None, f"{name}: is left out, since it cannot be fitted across the holes of the series")
    kind, logs = name.removeprefix("log "), name.startswith("log ")
    if logs and (series <= 0).any():
        return Statistical(None, f"{name}: is left out, since not all values are above zero")
    values = np.log(series) if logs else series
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "theta":
                found, converged = _theta(values, origins, horizon, train_end, season), True
            else:
                result = _model(kind, values[:train_end], season).fit(disp=False, maxiter=ITERATIONS)
                found, converged = _from_states(result, values, origins, horizon), result.mle_retvals["converged"]
    except (ValueError, np.linalg.LinAlgError) as problem:
        return Statistical(None, f"{name}: is left out, since it cannot be fitted: {problem}")
    said = None if converged else f"{name}: its fit has not converged after {ITERATIONS} iterations; it may be better"
    return Statistical(np.exp(found) if logs else found, said)


def _model(kind: str, train: Floats, season: int | None) -> Any:
    """A linear state space model of the training rows (N,)."""
    from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    if kind.startswith("ets"):
        trend, *seasonal = kind[4:-1].split(",")
        return ExponentialSmoothing(
            train, trend=trend != "N", damped_trend=trend == "Ad", seasonal=season if seasonal else None
        )
    order, *of_season = (tuple(map(int, each.split(","))) for each in re.findall(r"\((.*?)\)", kind))
    seasonal_order = (*of_season[0], season) if of_season else (0, 0, 0, 0)
    constant = "n" if order[1] or seasonal_order[1] else "c"
    return SARIMAX(train, order=order, seasonal_order=seasonal_order, trend=constant)


def _from_states(result: Any, values: Floats, origins: Rows, horizon: int) -> Floats:
    """(N,), (O,) -> (O, H): one pass of the fitted Kalman filter, and steps from the state before each origin."""
    passed = result.apply(values).filter_results
    transition, design = passed.transition[..., 0], passed.design[0, :, 0]
    states, steps = passed.predicted_state[:, origins], []
    for _ in range(horizon):
        steps.append(design @ states + passed.obs_intercept[0, 0])
        states = transition @ states + passed.state_intercept[:, :1]
    return np.stack(steps, axis=1)


def _theta(values: Floats, origins: Rows, horizon: int, train_end: int, season: int | None) -> Floats:
    """(N,), (O,) -> (O, H): exponential smoothing with half the slope as drift (Hyndman & Billah 2003, section 2)."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    model = ThetaModel(values[:train_end], period=season, deseasonalize=season is not None)
    fitted = model.fit()
    slope, alpha = fitted.params["b0"], fitted.params["alpha"]
    last, places = np.asarray(fitted.forecast_components(season or 1)["seasonal"]), np.arange(len(values) + horizon)
    seasonal = last[(places - train_end) % len(last)]
    joins, parts = (np.multiply, np.divide) if model.method.startswith("mul") else (np.add, np.subtract)
    if season is None:
        seasonal, joins, parts = np.zeros(len(places)), np.add, np.subtract
    adjusted = parts(values, seasonal[: len(values)])
    levels = [adjusted[0]]
    for value in adjusted:
        levels.append(levels[-1] + alpha * (value - levels[-1]))
    ahead = np.arange(horizon)
    drift = ahead + (1 - (1 - alpha) ** origins[:, None]) / alpha if alpha > 0 else ahead + 0.0 * origins[:, None]
    found: Floats = joins(np.array(levels)[origins, None] + slope / 2 * drift, seasonal[origins[:, None] + ahead])
    return found
