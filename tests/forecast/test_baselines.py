"""Baselines and errors of forecasts, against small sums by hand and published figures."""

import numpy as np
import pytest

from s2s.corpus.find import split_files
from s2s.forecast.baselines import (
    Autoregression,
    Floats,
    Rows,
    baselines,
    choose_autoregression,
    drift,
    error_sums,
    errors_of,
    fit_autoregression,
    persistence,
    seasonal_naive,
)
from s2s.forecast.data import SeriesData
from s2s.forecast.scores import compared, meaning, pinball_losses, scores_of, sums_of
from s2s.forecast.table import read_series

SERIES = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0])
ORIGINS = np.array([3, 4])
WHOLE = np.arange(200)
"""Rows before each row of a series without a hole."""


def test_the_naive_forecasts() -> None:
    assert persistence(SERIES, ORIGINS, 2).tolist() == [[2, 2], [5, 5]]
    assert drift(SERIES, WHOLE[:6], ORIGINS, 2).tolist() == [[2.5, 3.0], [5 + 4 / 3, 5 + 8 / 3]]
    assert seasonal_naive(SERIES, ORIGINS, 4, season=3).tolist() == [[1, 3, 2, 1], [3, 2, 5, 3]]


def test_an_autoregression_finds_its_own_recurrence_and_feeds_back() -> None:
    series = [1.0, 2.0]
    for _ in range(40):
        series.append(0.5 + 1.2 * series[-1] - 0.8 * series[-2])
    values = np.array(series)
    fitted = fit_autoregression(values, WHOLE[: len(values)], 2)
    assert fitted.constant == pytest.approx(0.5)
    assert fitted.coefficients.tolist() == pytest.approx([1.2, -0.8])
    np.testing.assert_allclose(fitted.forecast(values, np.array([10, 20]), 3), [values[10:13], values[20:23]])


@pytest.mark.parametrize(
    ("name", "column", "time", "naive", "order", "best"),
    [
        ("sunspots", "sunspots", "year", 25.44, 9, 15.15),
        ("air-passengers", "passengers", "month", 44.72, 24, 11.72),
        ("co2-monthly", "co2", "month", 1.130, 24, 0.251),
    ],
)
def test_published_figures(name: str, column: str, time: str, naive: float, order: int, best: float) -> None:
    (path,) = split_files(f"{name}/all").values()
    table = read_series(SeriesData(series="x/all", time=time, targets=(column,)), path)
    series, before = table.columns[column], np.arange(len(table))
    assert np.array_equal(table.before, before)
    test = int(0.8 * len(series))
    origins = np.arange(test, len(series))
    assert np.abs(series[origins] - persistence(series, origins, 1)[:, 0]).mean() == pytest.approx(naive, rel=2e-3)
    forecast = fit_autoregression(series[:test], before[:test], order).forecast(series, origins, 1)[:, 0]
    assert np.abs(series[origins] - forecast).mean() == pytest.approx(best, rel=2e-3)
    assert len(choose_autoregression(series[:test], before[:test]).coefficients) in range(9, 25)


@pytest.mark.parametrize("kind", ["walk", "rare"])
def test_the_order_chosen_has_the_least_criterion_of_all(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, before = np.random.default_rng(3), np.concatenate([np.arange(70), np.arange(50)])
    for _ in range(5):
        train = generator.standard_normal(120).cumsum() if kind == "walk" else generator.poisson(0.05, 120) * 1.0
        rows, criteria = np.flatnonzero(before >= 24), list[float]()
        for order in range(1, 25):
            lags = np.column_stack([np.ones(len(rows)), train[rows[:, None] - np.arange(1, order + 1)]])
            error = ((train[rows] - lags @ np.linalg.lstsq(lags, train[rows])[0]) ** 2).mean()
            criteria.append(len(rows) * np.log(max(error, 1e-300)) + 2 * (order + 1))
        fits = list[int]()

        def once(series: Floats, own: Rows, order: int, fits: list[int] = fits) -> Autoregression:
            fits.append(order)
            return fit_autoregression(series, own, order)

        monkeypatch.setattr("s2s.forecast.baselines.fit_autoregression", once)
        assert len(choose_autoregression(train, before).coefficients) == 1 + int(np.argmin(criteria))
        assert len(fits) == 1


def test_errors_by_hand() -> None:
    errors = errors_of(error_sums(np.array([[2.0, 4.0]]), np.array([[1.0, 6.0]])), naive_error=3.0)
    assert errors["mae"] == 1.5
    assert errors["rmse"] == pytest.approx(np.sqrt(2.5))
    assert errors["mape"] == pytest.approx(50)
    assert errors["smape"] == pytest.approx(100 * (2 / 3 + 4 / 10) / 2)
    assert errors["mase"] == 0.5


def test_scores_hold_persistence_ratio_coverage_and_each_step() -> None:
    truth = np.array([[2.0, 4.0], [3.0, 5.0]])
    others = {"persistence": truth + 2, "ar(1)": truth + 1}
    quantiles = np.stack([truth - [[1, -1], [1, 1]], truth + 2])
    levels = (0.1, 0.9)
    sums = sums_of(truth, truth + 0.9, others, quantiles, levels)
    found = scores_of(sums, naive_error=1.0, levels=levels, knows_more=False)
    assert found["scores"]["mae"] == pytest.approx({"value": 0.9, "persistence": 2.0, "ratio": 0.45})
    assert found["scores"]["coverage"] == {"value": 0.75, "asked": 0.8}
    assert found["scores"]["pinball"]["value"] == pytest.approx(pinball_losses(truth, quantiles, levels).mean())
    assert found["baselines"] == pytest.approx({"persistence": 2.0, "ar(1)": 1.0})
    assert [row["step"] for row in found["by_step"]] == [1, 2]
    assert found["by_step"][0] == pytest.approx({"step": 1, "mae": 0.9, "persistence": 2.0, "coverage": 1.0})
    assert found["by_step"][1] == pytest.approx({"step": 2, "mae": 0.9, "persistence": 2.0, "coverage": 0.5})
    assert found["scores"]["crps"]["value"] == 2 * found["scores"]["pinball"]["value"]
    assert found["scores"]["msis"]["value"] == pytest.approx((3 + 1 + 10 + 3 + 3) / 4)  # one lies 1 below, at 0.1
    losses = {"own": np.full(2, 0.9), "persistence": np.full(2, 2.0), "ar(1)": np.full(2, 1.0)}
    assert compared(found, losses, 1) is None  # they differ by one number throughout
    assert found["meaning"].startswith("better than persistence by 55.0%, and than ar(1)")


def test_pinball_weighs_what_lies_above_by_the_level() -> None:
    truth = np.array([[1.0]])
    assert pinball_losses(truth, np.array([[[0.0]]]), (0.9,)) == pytest.approx(0.9)
    assert pinball_losses(truth, np.array([[[2.0]]]), (0.9,)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("mae", "said"),
    [(0.2, "too good"), (0.99, "no better than"), (0.9, r"but ar is better by 11.1%"), (0.7, "the best of all")],
)
def test_a_sentence_says_what_an_error_means(mae: float, said: str) -> None:
    scores = {"mae": {"value": mae, "persistence": 1.0}}
    assert said.replace(r"\.", ".") in meaning(scores, {"persistence": 1.0, "ar": 0.8}).replace(
        "the best baseline", "the best of all"
    )


@pytest.mark.parametrize(
    ("mae", "naive", "best", "said"),
    [
        (0.2, 0.0, 0.0, "persistence makes no error"),
        (0.0, 0.0, 0.0, "persistence makes no error"),
        (0.2, 1.0, 0.0, "better than persistence by 80.0%, but ar makes no error"),
        (0.0, 1.0, 0.0, "better than persistence by 100.0%, and as good as ar: neither makes an error"),
        (1.2, 1.0, 0.0, "worse than saying that nothing changes"),
    ],
)
def test_a_sentence_says_what_an_error_means_against_none(mae: float, naive: float, best: float, said: str) -> None:
    assert meaning({"mae": {"value": mae, "persistence": naive}}, {"persistence": naive, "ar": best}).startswith(said)


def test_all_baselines_have_names() -> None:
    series = np.sin(np.arange(60.0)) + np.arange(60.0) / 10
    found, _ = baselines(series, WHOLE[:60], np.arange(40, 58), 2, train_end=36, season=6)
    assert list(found)[:3] == ["persistence", "drift", "seasonal_naive"]
    assert all(forecast.shape == (18, 2) for forecast in found.values())
    assert "seasonal_naive" in baselines(series, WHOLE[:60], np.arange(40, 58), 2, train_end=36, season=40)[0]
    assert "seasonal_naive" not in baselines(series, WHOLE[:60], np.arange(40, 58), 2, train_end=36, season=41)[0]
