"""Law 15: no window, season, scaling or baseline reaches across a hole; a series with holes is its pieces."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.baselines import (
    baselines,
    choose_autoregression,
    drift,
    fit_autoregression,
    naive_errors,
    persistence,
    seasonal_naive,
)
from s2s.forecast.data import SeriesData
from s2s.forecast.scaling import fit_scaler
from s2s.forecast.series import PARTS, prepare_series
from s2s.forecast.table import read_series
from s2s.forecast.windows import origins_between

Floats = NDArray[np.float64]


class Pieces(NamedTuple):
    """A series in pieces with holes between them."""

    values: Floats
    before: NDArray[np.intp]
    starts: list[int]

    def each(self) -> list[tuple[int, Floats]]:
        """The start and the values of each piece."""
        return list(zip(self.starts, np.split(self.values, self.starts[1:]), strict=True))


@st.composite
def pieces(draw: st.DrawFn, shortest: int = 1) -> Pieces:
    lengths = draw(st.lists(st.integers(shortest, 40), min_size=1, max_size=5))
    values = np.random.default_rng(draw(st.integers(0, 99))).uniform(1, 9, sum(lengths))
    before = np.concatenate([np.arange(length) for length in lengths])
    return Pieces(values, before, np.cumsum([0, *lengths[:-1]]).tolist())


def data(**values: Any) -> SeriesData:
    return SeriesData(series="x/all", targets=("b",), **values)


@given(pieces(), st.integers(1, 9), st.integers(1, 5), st.booleans())
def test_the_windows_are_those_of_the_pieces(series: Pieces, window: int, horizon: int, returns: bool) -> None:
    form = data(window=window, horizon=horizon, scaling="log_return" if returns else "standard")
    expected = [
        start + origin
        for start, values in series.each()
        for origin in range(window + returns, len(values) - horizon + 1)
    ]
    assert origins_between(series.before, form, 0, len(series.values)).tolist() == expected
    middle = len(series.values) // 2
    parts = [*range(middle - horizon + 1)], [*range(middle, len(series.values))]
    for bounds, part in zip(((0, middle), (middle, len(series.values))), parts, strict=True):
        assert origins_between(series.before, form, *bounds).tolist() == [at for at in expected if at in part]


@given(pieces(shortest=8), st.integers(1, 4), st.integers(2, 6))
def test_the_baselines_are_those_of_the_pieces(series: Pieces, horizon: int, season: int) -> None:
    fitted = fit_autoregression(series.values, series.before, 2)
    for start, values in series.each():
        own, origins = np.arange(len(values)), np.arange(6, len(values) + 1)
        for alone, whole in (
            (persistence(values, origins, horizon), persistence(series.values, start + origins, horizon)),
            (drift(values, own, origins, horizon), drift(series.values, series.before, start + origins, horizon)),
            (fitted.forecast(values, origins, horizon), fitted.forecast(series.values, start + origins, horizon)),
            (
                seasonal_naive(values, origins, horizon, season),
                seasonal_naive(series.values, start + origins, horizon, season),
            ),
        ):
            np.testing.assert_allclose(alone, whole)


@given(pieces(shortest=6))
def test_what_is_fitted_is_fitted_to_the_pieces(series: Pieces) -> None:
    rows = [values[at - 2 : at + 1] for _, values in series.each() for at in range(2, len(values))]
    two = np.array(rows)
    found, *_ = np.linalg.lstsq(np.column_stack([np.ones(len(two)), two[:, 1], two[:, 0]]), two[:, 2], rcond=None)
    fitted = fit_autoregression(series.values, series.before, 2)
    np.testing.assert_allclose([fitted.constant, *fitted.coefficients], found, rtol=1e-6, atol=1e-9)
    steps = np.concatenate([np.abs(np.diff(values)) for _, values in series.each()])
    assert naive_errors(series.values[:, None], series.before).tolist() == pytest.approx([steps.mean()])
    returns = np.concatenate([np.diff(np.log(values)) for _, values in series.each()])
    scaler = fit_scaler("log_return", series.values[:, None], series.before, ["b"])
    assert [*scaler.shift, *scaler.factor] == pytest.approx([returns.mean(), returns.std()])


@given(pieces(shortest=10), st.floats(1e3, 1e6))
def test_what_lies_before_a_hole_changes_no_forecast_after_it(series: Pieces, factor: float) -> None:
    start = series.starts[-1]
    origins = np.arange(start + 6, len(series.values) + 1)
    other = series.values.copy()
    other[:start] *= factor
    for season in (5, 7, 30):
        first, second = (
            baselines(each, series.before, origins, 2, train_end=len(other), season=season)[0]
            for each in (series.values, other)
        )
        assert ("seasonal_naive" in first) == (season <= 6 or (start == 0 and season <= 6))
        for name in set(first) & set(second) - {name for name in first if name.startswith("ar")}:
            assert np.array_equal(first[name], second[name])


@given(pieces(shortest=5))
def test_no_lag_of_an_autoregression_is_on_the_other_side(series: Pieces) -> None:
    largest = int(series.before.max())
    order = len(choose_autoregression(series.values, series.before, largest=3).coefficients)
    assert order <= min(3, largest)
    assert np.count_nonzero(series.before >= order) >= 3 * order or order == 1


def written(path: Path, days: list[int]) -> None:
    dates = np.datetime64("2024-01-01") + np.array(days)
    rows = [f"{date},{10 + day % 7 + day / 50}" for date, day in zip(dates, days, strict=True)]
    path.write_text("\n".join(["day,b", *rows]) + "\n")


@given(hole=st.integers(1, 90), at=st.integers(20, 180), window=st.integers(1, 8), horizon=st.integers(1, 3))
def test_a_hole_costs_the_windows_that_reach_across_it_and_is_said_once(
    hole: int, at: int, window: int, horizon: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("hole") / "x.csv"
    written(path, [*range(at), *range(at + hole, 200 + hole)])
    form = data(window=window, horizon=horizon, time="day")
    series = prepare_series(form, read_series(form, path))
    parts = series.parts
    ranges = (0, parts.validation), (parts.validation, parts.test), (parts.test, parts.end)
    origins = [series.origins(form, part) for part in PARTS]
    whole = [row for first, end in ranges for row in range(max(first, window), end - horizon + 1)]
    kept = [row for row in whole if not row - window < at < row + horizon]
    assert np.concatenate(origins).tolist() == kept
    (said,) = series.remarks
    assert "1 hole in the series, the first after " in said
    assert "where a hole is more than 1.5 steps of 1 day; " in said
    assert f"{len(whole) - len(kept)} of {len(whole)} windows would reach across one and are left out" in said
    assert "data.longest_step sets how long neighbouring rows may lie apart" in said


def test_a_part_without_any_window_left_is_said(tmp_path: Path) -> None:
    written(tmp_path / "x.csv", [day for day in range(400) if day % 40 < 30 or day < 200])
    form = data(window=14, validation_share=0.05, time="day")
    assert prepare_series(form, read_series(form, tmp_path / "x.csv")).remarks
    form = data(window=25, horizon=5, validation_share=0.05, time="day")
    with pytest.raises(
        DataError, match=r"none of the windows of the validation part, 25 rows to read and 5 to forecast, lies"
    ):
        prepare_series(form, read_series(form, tmp_path / "x.csv"))
    form = data(window=25, validation_share=0.05, time="day", longest_step="11 days")
    assert prepare_series(form, read_series(form, tmp_path / "x.csv")).remarks == ()
