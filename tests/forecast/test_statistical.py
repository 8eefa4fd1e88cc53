"""Statistical baselines: each forecast is that of the fitted model which has seen every row before its origin."""

import numpy as np
import pytest

from s2s.forecast.statistical import statistical

ROWS = np.arange(90)
SERIES = 30 + 0.2 * ROWS + 4 * np.sin(ROWS * np.pi / 2) + np.random.default_rng(1).standard_normal(90)
TRAIN, ORIGINS = 70, np.array([70, 71, 80, 86])


def forecasts(name: str, series: np.ndarray = SERIES, season: int | None = 4) -> np.ndarray:
    found = statistical(name, series, ROWS, ORIGINS, 3, train_end=TRAIN, season=season)
    assert found.forecasts is not None
    assert found.remark is None
    return found.forecasts


@pytest.mark.parametrize("name", ["sarimax(1,0,1)(0,1,1)", "sarimax(2,0,0)", "sarimax(0,1,1)", "ets(Ad,A)", "ets(N)"])
def test_each_forecast_is_the_fitted_models_after_all_rows_before_it(name: str) -> None:
    from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    models = {
        "sarimax(1,0,1)(0,1,1)": SARIMAX(SERIES[:TRAIN], order=(1, 0, 1), seasonal_order=(0, 1, 1, 4)),
        "sarimax(2,0,0)": SARIMAX(SERIES[:TRAIN], order=(2, 0, 0), trend="c"),
        "sarimax(0,1,1)": SARIMAX(SERIES[:TRAIN], order=(0, 1, 1)),
        "ets(Ad,A)": ExponentialSmoothing(SERIES[:TRAIN], trend=True, damped_trend=True, seasonal=4),
        "ets(N)": ExponentialSmoothing(SERIES[:TRAIN]),
    }
    fitted = models[name].fit(disp=False, maxiter=500)
    expected = [fitted.apply(SERIES[:origin]).forecast(3) for origin in ORIGINS]
    np.testing.assert_allclose(forecasts(name), expected, rtol=1e-7)


@pytest.mark.parametrize("season", [4, None])
@pytest.mark.parametrize("rise", [0.0, -60.0])  # of all values above zero the seasons are factors
def test_theta_is_that_of_statsmodels_at_the_first_origin_and_moves_on(season: int | None, rise: float) -> None:
    from statsmodels.tsa.forecasting.theta import ThetaModel

    series = SERIES + rise
    found = forecasts("theta", series, season)
    model = ThetaModel(series[:TRAIN], period=season, deseasonalize=season is not None)
    np.testing.assert_allclose(found[0], model.fit().forecast(3), rtol=1e-6)
    later = series.copy()
    later[80:] += 5
    moved = forecasts("theta", later, season)
    assert np.array_equal(moved[:3], found[:3])
    assert (moved[3] > found[3]).all()


def test_of_logarithms() -> None:
    np.testing.assert_allclose(forecasts("log ets(A)"), np.exp(forecasts("ets(A)", np.log(SERIES))))
    found = statistical("log theta", SERIES - 30, ROWS, ORIGINS, 3, train_end=TRAIN, season=4)
    assert found == (None, "log theta: is left out, since not all values are above zero")


def test_what_cannot_be_fitted_is_said() -> None:
    before = np.concatenate([ROWS[:50], ROWS[:40]])
    found = statistical("theta", SERIES, before, ORIGINS, 3, train_end=TRAIN, season=4)
    assert found.remark == "theta: is left out, since it cannot be fitted across the holes of the series"
    found = statistical("ets(A,A)", SERIES[:80], ROWS, ORIGINS[:2], 3, train_end=8, season=12)
    assert found.forecasts is None
    assert str(found.remark).startswith("ets(A,A): is left out, since it cannot be fitted: ")


def test_a_fit_that_has_not_converged_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.forecast.statistical.ITERATIONS", 1)
    found = statistical("sarimax(1,0,1)(0,1,1)", SERIES, ROWS, ORIGINS, 3, train_end=TRAIN, season=4)
    assert found.forecasts is not None
    assert "its fit has not converged after 1 iterations" in str(found.remark)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.forecast.statistical.find_spec", lambda name: None)
    found = statistical("theta", SERIES, ROWS, ORIGINS, 3, train_end=TRAIN, season=4)
    assert found.forecasts is None
    assert str(found.remark).endswith("is not installed: pip install 's2s[baselines]'")
