"""Scores of a forecaster on a part of its series."""

import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2s.corpus.sources import Part
from s2s.device import Precision
from s2s.errors import DataError
from s2s.files import recorded
from s2s.forecast.forecaster import SeriesForecaster
from s2s.forecast.panel import Panel
from s2s.forecast.panel_scores import MEANS, SeriesForecasts, TargetScores
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.scores import KEPT_WINDOWS, outputs_of
from s2s.forecast.series import Series, prepare_panel
from s2s.forecast.table import find_series
from s2s.run import RunFolder

log = logging.getLogger("s2s")
SCORED_WINDOWS = 1 << 15
"""Windows whose forecasts are kept at once in scoring, about, and but for a series that has more."""


def scored_part(recipe: ForecastRecipe) -> str:
    """The part scored after training."""
    return "test"


def part_of(
    run: RunFolder, recipe: ForecastRecipe, *, on: str | None, files: object, beam: int | None, corpora: Path | None
) -> Part:
    """The part of its series to score a run on, by default test; DataError for a series that has changed since."""
    if files is not None or on not in (None, "test", "validation"):
        raise DataError(f"{run}: a forecaster is scored on the test or validation part of its own series")
    if beam is not None:
        raise DataError(f"{run}: a forecaster translates nothing; leave out --beam")
    source = find_series(recipe.data, corpora)["series"]
    before = recorded(run.environment, "data", "series")
    if before is None:
        log.warning(
            "%s: missing, damaged, or without data.series: whether %s is what the run was trained on cannot be checked,"
            " and rows that it learned from could be scored as unseen",
            run.environment, source.description,
        )  # fmt: skip
    if before not in (None, source.identity):
        raise DataError(
            f"{source.description}: has changed since {run} was trained on it, so rows that it learned from could be"
            " scored as unseen; put the old file back, or train again"
        )
    return Part(on or "test", source)


def score(
    run: RunFolder, recipe: ForecastRecipe, part: Part, *, device: str, precision: Precision, beam: int | None
) -> dict[str, Any]:
    """Scores of the forecasts from every row of a part of each series, compared with the baselines."""
    forecaster, data = SeriesForecaster.load(run.path, device=device), recipe.data
    if part.task is not None:
        series, panel = part.task.series, part.task.panel
    else:
        series = prepare_panel(data, part.source.read(), forecaster.saved.shared).series
        panel = Panel(series, data)
    origins, backtest = panel.origins(series, part.name, part.origins), part.origins is not None
    targets = [TargetScores(recipe, place, series, backtest=backtest) for place in range(len(data.targets))]
    outputs = list[dict[str, Any]]()
    for each in _forecast(forecaster, panel, series, part.name, origins):
        for target in targets:
            target.add(each)
        if len(outputs) < KEPT_WINDOWS:
            own = np.flatnonzero(~np.isnan(each.truth).any(axis=(1, 2)))
            rows = outputs_of(each.origins[own], each.series.table.times, each.truth[own], each.found.some(own))
            outputs += [{"series": each.series.table.id, **row} for row in rows] if data.series_id else rows
    results = {name: target.result() for name, target in zip(data.targets, targets, strict=True)}
    by_series = {name: each.pop("series") for name, each in results.items()}
    main = data.targets[0]
    scored: dict[str, Any] = {"task": "forecast", "run": str(run), "split": part.name}
    scored |= {"horizon": data.horizon, "target": main, **results[main], "targets": results}
    if data.series_id:
        scored |= {"series": by_series[main], "means": MEANS}
        if len(by_series) > 1:
            scored["series_by_target"] = by_series
    return {**scored, "outputs": outputs[:KEPT_WINDOWS]}


def _forecast(
    forecaster: SeriesForecaster, panel: Panel, series: Sequence[Series], part: str, origins: NDArray[np.intp]
) -> Iterator[SeriesForecasts]:
    """Forecasts of each series after those of some rows (O,) that are its own, of so many series at a time."""
    cuts = np.searchsorted(origins, panel.starts)
    generator = forecaster.generator()
    groups = np.flatnonzero(np.diff(cuts[:-1] // SCORED_WINDOWS, prepend=-1))
    for first, end in pairwise([*groups.tolist(), len(series)]):
        rows = origins[cuts[first] : cuts[end]]
        found, truth = forecaster.after(panel, rows, generator=generator), panel.truth(rows)
        for place in range(first, end):
            own = slice(*(cuts[place : place + 2] - cuts[first]))
            if own.stop > own.start:
                yield SeriesForecasts(series[place], part, rows[own] - panel.starts[place], truth[own], found.some(own))
