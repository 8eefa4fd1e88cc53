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
from s2s.forecast.scores import score_forecast
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


def target_scores(
    recipe: ForecastRecipe, place: int, of_each: Sequence[SeriesForecasts], backtest: bool
) -> dict[str, Any]:
    """Scores of one target of each series, and of all together: MASE is the mean over them, others are pooled.

    Of a single series also whether it differs from the best baseline, and in a `backtest` those at each origin.
    """
    data, each_scored, truths, points = recipe.data, list[dict[str, Any]](), list[Floats](), list[Floats]()
    quantiles, others, remarks = list[Floats](), list[Mapping[str, Floats]](), list[str]()
    for each in of_each:
        whole = np.flatnonzero(~np.isnan(each.truth[..., place]).any(axis=1))
        if not len(whole):
            continue
        # baselines are fitted, and MASE is scaled, on the rows before the scored part
        first, before = each.series.parts.of(each.part)[0], each.series.table.before
        own = each.series.targets[:, place]
        truths.append(each.truth[whole][..., place])
        points.append(each.found.points[whole][..., place])
        quantiles += [] if each.found.quantiles is None else [each.found.quantiles[:, whole][..., place]]
        origins = each.origins[whole]
        compared, said = baselines(
            own, before, origins, data.horizon, train_end=first, season=data.season,
            statistical_names=recipe.evaluation.baselines,
        )  # fmt: skip
        others.append(compared)
        remarks += [f"{each.series.table.id}: {remark}" if data.series_id else remark for remark in said]
        scores = score_forecast(
            truths[-1], points[-1], others[-1],
            naive_error=float(naive_errors(each.series.values.gaps()[1][:first, place, None], before[:first])[0]),
            quantiles=quantiles[-1] if quantiles else None, levels=recipe.model.quantiles,
            knows_more=bool(data.known), lags=overlapping(origins, data.horizon),
        )  # fmt: skip
        kept = {name: scores[name] for name in ("scores", "baselines")}
        each_scored.append({"id": each.series.table.id, "examples": len(whole), **kept})
    if not truths:
        raise DataError(f"{data.targets[place]}: no window of the scored part has all its values; give more rows")
    if data.series_id:
        remarks = _dominant(each_scored) + remarks
    remarks = first_few(data, remarks)
    for remark in remarks:
        log.warning("%s: %s", data.targets[place], remark)
    told = {"remarks": remarks, "examples": sum(map(len, truths))}
    if not data.series_id:
        if backtest:
            scores["by_origin"] = by_origin(
                origins, each.series.table.times, truths[0], points[0], compared["persistence"],
                quantiles[0] if quantiles else None,
            )  # fmt: skip
        return {**scores, **told, "series": each_scored}
    pooled = [{AUTOREGRESSION.sub("ar", name): each for name, each in found.items()} for found in others]
    names = [name for name in pooled[0] if all(name in found for found in pooled)]
    together = score_forecast(
        np.concatenate(truths), np.concatenate(points),
        {name: np.concatenate([found[name] for found in pooled]) for name in names},
        naive_error=float("nan"), quantiles=np.concatenate(quantiles, axis=1) if quantiles else None,
        levels=recipe.model.quantiles, knows_more=bool(data.known), lags=None,
    )  # fmt: skip
    for name in set(MEANS) & set(together["scores"]):
        values = {
            key: float(np.mean([scores["scores"][name][key] for scores in each_scored]))
            for key in together["scores"][name]
            if key != "ratio"
        }
        ratio = {"ratio": values["value"] / values["persistence"]} if values.get("persistence") else {}
        together["scores"][name] = {**together["scores"][name], **values, **ratio}
    return {**together, **told, "series": each_scored}


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
