"""Backtests: which origins, the test of Diebold and Mariano at its level, and scores against closed forms."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from s2s.forecast.backtest import by_origin, diebold_mariano, overlapping, spread, student_p
from s2s.forecast.scores import interval_scores, pinball_losses


def test_origins_are_spread_from_the_first_to_the_last() -> None:
    origins = np.arange(100, 150)
    assert spread(origins, 3).tolist() == [100, 124, 149]
    assert spread(origins, 1).tolist() == [100]
    assert spread(origins, None) is origins
    assert spread(origins, 50) is origins
    assert len(set(spread(origins, 49).tolist())) == 49


def test_forecasts_overlap_where_one_begins_before_another_ends() -> None:
    assert overlapping(np.arange(9), 1) == 0
    assert overlapping(np.arange(9), 4) == 3
    assert overlapping(np.array([0, 10, 12, 40]), 4) == 1


@pytest.mark.parametrize(
    ("statistic", "freedom", "p"),  # of the tables of Student's t
    [(0.0, 7, 1.0), (12.706, 1, 0.05), (-2.571, 5, 0.05), (2.763, 28, 0.01), (1.96, 10**6, 0.05)],
)
def test_p_values_are_those_of_the_tables(statistic: float, freedom: int, p: float) -> None:
    assert student_p(statistic, freedom) == pytest.approx(p, rel=2e-3)


def test_the_statistic_by_hand() -> None:
    first, second = np.array([1.0, 2.0, 4.0, 3.0]), np.array([2.0, 2.0, 3.0, 6.0])
    difference = first - second  # -1, 0, 1, -3: mean -0.75, variance 35 / 16
    expected = -0.75 / math.sqrt(35 / 16 / 4) * math.sqrt((4 + 1 - 2) / 4)
    found = diebold_mariano(first, second, 0)
    assert found is not None
    assert difference.var() == pytest.approx(35 / 16)
    assert found.statistic == pytest.approx(expected)
    other = diebold_mariano(second, first, 0)
    assert other is not None
    assert other == pytest.approx((-found.statistic, 3, found.p))


@pytest.mark.parametrize(
    ("count", "lags", "freedom", "critical"),  # critical values of the tables
    [(60, 0, 59, 2.001), (60, 2, 4, 2.776), (60, 11, 2, 4.303), (30, 6, 2, 4.303), (200, 23, 2, 4.303)],
)
@pytest.mark.parametrize("form", [np.abs, np.positive])
def test_equal_skill_is_rejected_as_often_as_the_level_says(
    count: int, lags: int, freedom: int, critical: float, form: Any
) -> None:
    """Losses over a horizon depend most where they are sums themselves, such as errors that are all of one sign."""
    shocks = np.random.default_rng(20).standard_normal((1500, 2, count + lags))
    sums = sliding_window_view(shocks, lags + 1, axis=2).sum(axis=3)
    tests = [diebold_mariano(*form(each), lags) for each in sums]
    assert {test and test.freedom for test in tests} == {freedom}
    assert student_p(critical, freedom) == pytest.approx(0.05, rel=2e-3)
    rejected = np.mean([test is not None and abs(test.statistic) > critical for test in tests])
    assert rejected == pytest.approx(0.05, abs=0.02)


def test_a_difference_is_found() -> None:
    losses = np.random.default_rng(2).exponential(size=(2, 80)) * [[1.0], [2.0]]
    for lags in (0, 3):
        test = diebold_mariano(losses[0], losses[1], lags)
        assert test is not None
        assert (test.statistic < 0, test.p < 0.01) == (True, True)


def test_what_cannot_be_told_has_no_test() -> None:
    losses = np.random.default_rng(2).exponential(size=9)
    assert diebold_mariano(losses, losses, 0) is None
    assert diebold_mariano(losses, losses + 0.1, 0) is None
    assert diebold_mariano(losses[:2], losses[2:4], 0) is None
    assert diebold_mariano(losses, losses[::-1], 2) is None  # of three times the span that each depends on


def test_scores_at_each_origin_are_of_its_whole_horizon() -> None:
    truth, zeros = np.array([[1.0, 3.0], [2.0, 2.0]]), np.zeros((2, 2))
    rows = by_origin(np.array([1, 2]), ["a", "b", "c"], truth, zeros, truth + 1, np.stack([zeros, zeros + 2]))
    assert rows == [
        {"row": 1, "time": "b", "mae": 2.0, "persistence": 1.0, "coverage": 0.5},
        {"row": 2, "time": "c", "mae": 2.0, "persistence": 1.0, "coverage": 1.0},
    ]


def test_twice_the_pinball_loss_is_the_crps_of_a_normal_distribution() -> None:
    count = 2000
    levels = tuple((np.arange(count) + 0.5) / count)
    sample = np.sort(np.random.default_rng(1).standard_normal(400_000))
    normal = sample[(np.array(levels) * len(sample)).astype(int)][:, None, None]
    for truth in (0.0, 1.3):  # Gneiting & Raftery 2007, equation 21
        density, below = math.exp(-(truth**2) / 2) / math.sqrt(2 * math.pi), (1 + math.erf(truth / math.sqrt(2))) / 2
        expected = truth * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi)
        assert 2 * pinball_losses(np.array([[truth]]), normal, levels) == pytest.approx(expected, abs=4e-3)


def test_an_interval_score_is_the_width_and_what_lies_outside() -> None:
    low, high = np.zeros((1, 3)), np.ones((1, 3))
    found = [interval_scores(np.array([[value]]), low[:, :1], high[:, :1], 0.05, 0.9) for value in (0.4, -0.1, 1.2)]
    assert found == pytest.approx([1.0, 1 + 0.1 / 0.05, 1 + 0.2 / 0.1])
