"""Linear parts by least squares: a ridge regression in closed form, its penalty, what it shrinks to."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import s2s.forecast.least_squares
from s2s.errors import DataError
from s2s.forecast.data import SeriesData
from s2s.forecast.least_squares import PENALTIES, fit_linear_parts, ridge
from s2s.forecast.model import Forecaster
from s2s.forecast.recipe import ForecastModel
from s2s.forecast.windows import Windows

Floats = NDArray[np.float64]
DATA = SeriesData(series="x/all", targets=("a", "b"), window=8, horizon=3, season=4)


def products(inputs: Floats, wanted: Floats) -> Floats:
    columns = np.hstack([np.ones((len(inputs), 1)), inputs, wanted])
    found: Floats = columns.T @ columns
    return found


@pytest.mark.parametrize("rows", [12, 40, 400])
def test_the_ridge_is_the_closed_form_of_least_generalised_cross_validation(rows: int) -> None:
    random = np.random.default_rng(rows)
    inputs = random.normal(size=(rows, 8)) @ random.normal(size=(8, 8)) + 3
    prior = random.normal(size=(8, 2))
    wanted = inputs @ (prior + random.normal(size=(8, 2))) + 3 * random.normal(size=(rows, 2))
    centred, left = inputs - inputs.mean(axis=0), wanted - inputs @ prior
    left -= left.mean(axis=0)
    criteria, found = list[Floats](), list[Floats]()
    for penalty in PENALTIES * np.square(centred).sum() / 8:
        inverse = np.linalg.inv(centred.T @ centred + penalty * np.eye(8))
        fitted = centred @ inverse @ centred.T
        freedom = rows - 1 - np.trace(fitted)
        criteria.append(np.square(left - fitted @ left).sum(axis=0) / max(freedom, 1e-9) ** 2)
        assert freedom >= 1 or rows < 20
        found.append(prior + inverse @ centred.T @ left)
    coefficients, constants = ridge(products(inputs, wanted), prior)
    best = np.stack([found[kept][:, place] for place, kept in enumerate(np.argmin(criteria, axis=0))], axis=1)
    np.testing.assert_allclose(coefficients, best, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(constants, wanted.mean(axis=0) - inputs.mean(axis=0) @ best, rtol=1e-6)


def test_fewer_rows_than_lags_leave_the_prior_and_the_mean() -> None:
    prior = np.array([[0.5], [1.0]])
    inputs, wanted = np.array([[1.0, 2.0]]), np.array([[7.0]])
    coefficients, constants = ridge(products(inputs, wanted), prior)
    np.testing.assert_array_equal(coefficients, prior)
    assert constants == pytest.approx(7.0 - 2.5)


def test_noise_of_hardly_more_rows_than_lags_is_not_learned_by_heart() -> None:
    """Squared coefficients are what a forecast of white noise adds to its variance of one."""
    added = []
    for seed in range(60):
        noise = np.random.default_rng(seed).standard_normal(64)
        inputs = np.lib.stride_tricks.sliding_window_view(noise, 31)[:33]
        coefficients, _ = ridge(products(inputs[:, :-1], inputs[:, -1:]), np.zeros((30, 1)))
        added.append(np.square(coefficients).sum())
    assert max(added) < 5


def started(values: Floats, *, valid: bool = False, known: bool = False, **model: Any) -> tuple[Forecaster, Windows]:
    """A model of some rows (N, K) and their windows; with `known` a third column is known ahead."""
    torch.manual_seed(3)
    data = DATA.model_copy(update={"known": ("c",)}) if known else DATA
    settings = ForecastModel(hidden_size=5, autoregression=True, autoregression_weights="least_squares", **model)
    own = torch.from_numpy(values[:, :2]).float()
    flags = ~torch.isnan(own) if valid else None
    windows = Windows(
        own.nan_to_num(), own.nan_to_num(), np.arange(8, len(values) - 2), window=8, horizon=3,
        ahead=torch.from_numpy(values[:, 2:]).float() if known else None, valid=flags,
    )  # fmt: skip
    built = Forecaster(settings, data).eval()
    fit_linear_parts(built, windows, data)
    return built, windows


def forecast(model: Forecaster, windows: Windows) -> tuple[Floats, Floats]:
    batch = windows.batch(np.arange(len(windows)))
    with torch.inference_mode():
        found = model.point(model(batch.inputs, batch.known[:, -1], beside=batch.beside))
    return found.numpy(), batch.targets.numpy()


FORMS = [
    {"steps": "direct", "residual": False, "output": "quantiles"},
    {"steps": "direct", "residual": True, "output": "point"},
    {"steps": "fed_back", "residual": False, "output": "student_t"},
    {"steps": "fed_back", "residual": True, "output": "gaussian"},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form['steps']}-{form['residual']}")
def test_a_linear_series_is_forecast_exactly_before_any_step(form: dict[str, Any]) -> None:
    random = np.random.default_rng(5)
    values = [*random.normal(size=(8, 3))]
    for _ in range(90):
        known = random.normal()
        last, before = values[-1][:2], values[-4][:2]
        values.append(np.array([0.7 * last[0] - 0.5 * before[1] + known, 0.6 * before[0] - 0.2 * last[1], known]))
    model, windows = started(np.array(values), known=True, **form)
    found, truth = forecast(model, windows)
    np.testing.assert_allclose(found, truth, atol=2e-3)


@pytest.mark.parametrize("residual", [False, True])
def test_a_season_without_anything_to_learn_is_the_seasonal_naive_forecast(residual: bool) -> None:
    """Of one window the penalty has nothing to choose from, so what is left is the prior and a constant."""
    season = np.random.default_rng(1).normal(size=(4, 2))
    values = np.vstack([season, season, season[:3] + 0.25])
    model, windows = started(values, residual=residual)
    assert len(windows) == 1
    found, _ = forecast(model, windows)
    np.testing.assert_allclose(found[0], season[:3] + 0.25, atol=1e-6)


def test_windows_with_a_missing_value_to_forecast_are_left_out() -> None:
    values = np.random.default_rng(2).normal(size=(80, 2))
    values[40] = np.nan
    model, windows = started(values, valid=True)
    kept = [row for row in range(len(windows)) if not 30 <= row <= 32]
    gapless = Windows(windows.inputs, windows.targets, windows.origins[kept], window=8, horizon=3)
    assert model.linear is not None
    assert len(kept) < len(windows)
    weight = model.linear.weight.clone()
    fit_linear_parts(model, gapless, DATA)
    torch.testing.assert_close(model.linear.weight, weight)


def test_the_number_of_windows_read_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=(60, 2))
    first, _ = started(values)
    monkeypatch.setattr(s2s.forecast.least_squares, "WINDOWS_AT_ONCE", 7)
    second, _ = started(values)
    assert first.linear is not None
    assert second.linear is not None
    torch.testing.assert_close(first.linear.weight, second.linear.weight)


def test_windows_that_all_lack_a_value_are_told_of() -> None:
    values = np.random.default_rng(2).normal(size=(13, 2))
    values[9:] = np.nan
    with pytest.raises(DataError, match="no window of the training part has all the values to forecast"):
        started(values, valid=True)
