"""Forecasts as a run keeps them and its report shows them."""

from pathlib import Path

import numpy as np
import pytest

from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.report import examine, shown
from s2s.run import RunFolder, read_run

RUN = RunFolder(Path(__file__).parents[1] / "runs" / "sunspots")


def test_the_forecasts_that_are_kept_have_the_scores_of_the_run() -> None:
    found = examine(RUN, read_run(RUN, {"forecast": ForecastRecipe}), None, "cpu")
    scores = found.scores["scores"]
    assert len(found.truth) == found.scores["examples"]
    assert np.abs(found.truth - found.points).mean() == pytest.approx(scores["mae"]["value"], rel=1e-5)
    assert found.quantiles is not None
    low, high = found.quantiles[:, 0], found.quantiles[:, -1]
    inside = ((found.truth >= low) & (found.truth <= high)).mean()
    assert inside == pytest.approx(scores["coverage"]["value"])
    (target,) = shown(found)["targets"]
    assert target["inside"] == pytest.approx(inside)
    assert target["below"][-1][0] == "0.9"


def test_lines_over_time_are_of_one_series() -> None:
    found = examine(RUN, read_run(RUN, {"forecast": ForecastRecipe}), None, "cpu")
    both = found._replace(series=["a"] * 10 + ["b"] * (len(found.rows) - 10))
    page = shown(both)
    assert page["drawn"] == 10
    for chart in (*page["targets"][0]["forecasts"], page["targets"][0]["residuals"]):
        assert {len(line.points) for line in chart.lines} == {10}


def test_lines_over_time_are_broken_at_holes() -> None:
    found = examine(RUN, read_run(RUN, {"forecast": ForecastRecipe}), None, "cpu")
    holed = found._replace(rows=[row + 5 * (place >= 20) for place, row in enumerate(found.rows)])
    whole, broken = (shown(each)["targets"][0]["forecasts"][0] for each in (found, holed))
    for one, two in zip(whole.lines, broken.lines, strict=True):
        assert (whole.path(one).count("M"), broken.path(two).count("M")) == (1, 2)
