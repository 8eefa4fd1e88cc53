"""Scores of a target of each series, and of all series together."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.backtest import by_origin, overlapping
from s2s.forecast.baselines import baselines, naive_errors
from s2s.forecast.forecaster import Forecasts
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.scores import OWN, Sums, compared, scores_of, sums_of
from s2s.forecast.series import Series, first_few

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]
AUTOREGRESSION = re.compile(r"^ar\(\d+\)$", re.ASCII)
"""Name of a baseline whose order is that of its series."""
MEANS = {"mase": "the mean over the series", "msis": "the mean over the series"}
"""How scores of series in their own units are put together; all others are of all forecasts together."""


class SeriesForecasts(NamedTuple):
    """Forecasts of one series in the scored part."""

    series: Series
    part: str
    origins: NDArray[np.intp]
    truth: Floats
    """(O, H, K)"""
    found: Forecasts


class TargetScores:
    """Scores of a target of each series, and of all together: MASE is the mean over them, others are pooled.

    Series come one by one, and no more than sums of their forecasts is kept. Whether the model differs from the best
    baseline is tested on the losses at each origin, for many series on their mean over those forecast at one time.
    """

    def __init__(self, recipe: ForecastRecipe, place: int, series: Sequence[Series], *, backtest: bool) -> None:
        """Of the target in a place; a `backtest` of a single series has the scores at each origin too."""
        self.recipe, self.place, self.backtest = recipe, place, backtest
        self.each, self.remarks = list[dict[str, Any]](), list[str]()
        self.last, self.pooled = dict[str, Any](), None if recipe.data.series_id is None else Pooled(series)

    def add(self, found: SeriesForecasts) -> None:
        """Score the forecasts of one more series."""
        data, series, place = self.recipe.data, found.series, self.place
        whole = np.flatnonzero(~np.isnan(found.truth[..., place]).any(axis=1))
        if not len(whole):
            return
        # baselines are fitted, and MASE is scaled, on the rows before the scored part
        first, before, origins = series.parts.of(found.part)[0], series.table.before, found.origins[whole]
        truth, points = found.truth[whole][..., place], found.found.points[whole][..., place]
        quantiles = None if found.found.quantiles is None else found.found.quantiles[:, whole][..., place]
        others, said = baselines(
            series.targets[:, place], before, origins, data.horizon, train_end=first, season=data.season,
            statistical_names=self.recipe.evaluation.baselines,
        )  # fmt: skip
        self.remarks += [f"{series.table.id}: {remark}" if self.pooled else remark for remark in said]
        sums = sums_of(truth, points, others, quantiles, self.recipe.model.quantiles)
        scores = self._scores(sums, naive_errors(series.values.gaps()[1][:first, place, None], before[:first])[0])
        kept = {name: scores[name] for name in ("scores", "baselines")}
        self.each.append({"id": series.table.id, "examples": len(whole), **kept})
        losses = {name: np.abs(truth - each).mean(axis=1) for name, each in {OWN: points, **others}.items()}
        if self.pooled is not None:
            self.pooled.add(sums, losses, [series.table.times[row] for row in origins])
            return
        self.last = {**scores, "diebold_mariano": compared(scores, losses, overlapping(origins, data.horizon))}
        if self.backtest:
            self.last["by_origin"] = by_origin(
                origins, series.table.times, truth, points, others["persistence"], quantiles
            )

    def result(self) -> dict[str, Any]:
        """The scores of all; DataError where no window had all its values."""
        data = self.recipe.data
        if not self.each:
            name = data.targets[self.place]
            raise DataError(f"{name}: no window of the scored part has all its values; give more rows")
        remarks = first_few(data, (_dominant(self.each) if self.pooled else []) + self.remarks)
        for remark in remarks:
            log.warning("%s: %s", data.targets[self.place], remark)
        scores = self.last if self.pooled is None else self._together(self.pooled)
        told = {"remarks": remarks, "examples": sum(each["examples"] for each in self.each)}
        return {**scores, **told, "series": self.each}

    def _together(self, pooled: "Pooled") -> dict[str, Any]:
        scores = self._scores(pooled.require_sums(), float("nan"))
        for name in set(MEANS) & set(scores["scores"]):
            values = {
                key: float(np.mean([each["scores"][name][key] for each in self.each]))
                for key in scores["scores"][name]
                if key != "ratio"
            }
            ratio = {"ratio": values["value"] / values["persistence"]} if values.get("persistence") else {}
            scores["scores"][name] = {**scores["scores"][name], **values, **ratio}
        origins, losses = pooled.losses()
        return {**scores, "diebold_mariano": compared(scores, losses, overlapping(origins, self.recipe.data.horizon))}

    def _scores(self, sums: Sums, naive_error: float) -> dict[str, Any]:
        recipe = self.recipe
        return scores_of(
            sums, naive_error=float(naive_error), levels=recipe.model.quantiles, knows_more=bool(recipe.data.known)
        )


class Pooled:
    """Sums over the forecasts of many series, and over their losses at each time."""

    def __init__(self, series: Sequence[Series]) -> None:
        """The longest of the series has the order of the times; what begins at another one is in no loss."""
        longest = max(series, key=lambda each: len(each.table.times)).table.times
        self.sums: Sums | None = None
        self._places = {time: place for place, time in enumerate(longest)}
        self._losses: dict[str, Floats] = {}
        self._counts = np.zeros(len(longest) + 1)

    def add(self, sums: Sums, losses: Mapping[str, Floats], times: Sequence[str]) -> None:
        """Add those of a series, its losses (O,) by name, and the times of their first steps."""
        sums, losses = sums._replace(errors=_named(sums.errors)), _named(losses)
        self.sums = sums if self.sums is None else self.sums.plus(sums)
        at = [self._places.get(time, -1) for time in times]
        np.add.at(self._counts, at, 1)
        for name, each in losses.items():
            np.add.at(self._losses.setdefault(name, np.zeros(len(self._counts))), at, each)

    def require_sums(self) -> Sums:
        """The sums of what was added."""
        assert self.sums is not None, "a series was added"
        return self.sums

    def losses(self) -> tuple[NDArray[np.intp], dict[str, Floats]]:
        """Rows (T,) of the longest series, and by name the mean losses (T,) of the series forecast from each on."""
        seen = np.flatnonzero(self._counts[:-1])
        return seen, {name: each[seen] / self._counts[seen] for name, each in self._losses.items()}


def _named(values: Mapping[str, Floats]) -> dict[str, Floats]:
    """The same without the order of an autoregression in its name, which is that of one series."""
    return {AUTOREGRESSION.sub("ar", name): each for name, each in values.items()}


def _dominant(each_scored: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence on the series that makes more than half of the mean MASE of at least three, if there is one."""
    mase = [each["scores"]["mase"]["value"] for each in each_scored]
    most, total = int(np.argmax(mase)), sum(mase)
    if len(mase) < 3 or not mase[most] > total / 2:
        return []
    name, error = each_scored[most]["id"], each_scored[most]["scores"]["mae"]["value"]
    return [
        f"{name} alone makes {mase[most] / total:.0%} of mase, the mean over {len(mase):,} series: its mean absolute"
        f" error is {error:.2g}, and before it changed by {error / mase[most]:.2g} a row; take it out, or let"
        ' it not choose the weights: training.metric = "loss"'
    ]
