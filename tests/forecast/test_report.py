"""Forecasts as a run keeps them and its report shows them."""

from pathlib import Path

import numpy as np
import pytest

from s2s.figures.page import join
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.report import examine, sections
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
    made = join(block for section in sections(found) for block in section.blocks)
    assert f"lie {inside:.1%} of the truths, where 80.0% should" in made


def test_lines_over_time_are_broken_at_holes() -> None:
    found = examine(RUN, read_run(RUN, {"forecast": ForecastRecipe}), None, "cpu")
    holed = found._replace(rows=[row + 5 * (place >= 20) for place, row in enumerate(found.rows)])
    whole, broken = (join(sections(each)[1].blocks) for each in (found, holed))
    assert broken.count('class="line') == whole.count('class="line') + 2
    assert broken.count('class="band"') == whole.count('class="band"') + 1
