"""What the report of a forecaster shows, from its forecasts of the scored part."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import S2SError
from s2s.figures.charts import STYLES, WIDE, Bar, Chart, Line, Point, axis_of, diagonal_chart, number, row_axis
from s2s.forecast.evaluation import part_of, score
from s2s.forecast.recipe import ForecastRecipe
from s2s.run import RunFolder, number_text, scored

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]
CURVES = ("loss", "loss of a scaled value"), {"mase": "MASE"}
"""Loss and scores of the validations, by key."""
SHOWN_ROWS = 200
"""Rows of a plot over time, the last of more."""
SHOWN_TARGETS = 4
"""Targets that have figures of their own."""
BINS = 20
"""Of the histogram of residuals."""
FORMS = {"mape": ".1f", "smape": ".1f", "coverage": ".1%"}
TITLES = {"smape": "sMAPE", "pinball": "pinball loss", "msis": "scaled interval score"}


class Examined(NamedTuple):
    """A forecaster with its forecasts."""

    recipe: ForecastRecipe
    scores: Mapping[str, Any]
    """as in scores.json"""
    rows: Sequence[int]
    """(O,) rows of the first values"""
    times: Sequence[str]
    """(O,) of the first values"""
    truth: Floats
    """(O, H, K)"""
    points: Floats
    """(O, H, K)"""
    quantiles: Floats | None
    """(O, Q, H, K)"""
    remarks: Sequence[str]
    series: Sequence[str]
    """(O,) the series of each; empty texts of a single one"""

    def drawn(self) -> NDArray[np.intp]:
        """The last forecasts of the first series, at most SHOWN_ROWS."""
        return np.flatnonzero(np.array(self.series) == self.series[0])[-SHOWN_ROWS:]


def examine(run: RunFolder, recipe: ForecastRecipe, corpora: Path | None, device: str) -> Examined:
    """The forecasts that scoring left in a run, or else new ones where the series is at hand."""
    (scores, outputs), remarks = scored(run), list[str]()
    if not outputs:
        try:
            part = part_of(run, recipe, on=None, files=None, beam=None, corpora=corpora)
            scores = score(run, recipe, part, device=device, precision="float32", beam=None)
            outputs = scores["outputs"]
        except S2SError as problem:
            log.warning("%s", problem)
            remarks.append("What needs the series is left out: it could not be read.")
    truth, points = (np.array([row[name] for row in outputs], float) for name in ("truth", "points"))
    quantiles = None
    if outputs and outputs[0]["quantiles"] is not None:
        quantiles = np.array([row["quantiles"] for row in outputs], float)
    rows, times = [row["row"] for row in outputs], [row["times"][0] for row in outputs]
    series = [row.get("series", "") for row in outputs]
    return Examined(recipe, scores, rows, times, truth, points, quantiles, remarks, series)


def shown(found: Examined) -> dict[str, Any]:
    """What report-forecast.html shows of one run, besides what was found."""
    scores = found.scores
    several = scores.get("targets", {scores["target"]: scores}) if scores else {}
    targets = found.recipe.data.targets[:SHOWN_TARGETS] if len(found.points) else ()
    return {
        "tables": [{"target": name, "meaning": each["meaning"], **_tables(each)} for name, each in several.items()],
        "targets": [
            {"target": name, "forecasts": _forecasts(found, place, name), **_residuals(found, place)}
            for place, name in enumerate(targets)
        ],
        "drawn": len(found.drawn()) if targets else 0,
    }


def _tables(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores beside those of persistence, and baselines from the best."""
    rows = []
    for name, each in scores["scores"].items():
        form = FORMS.get(name, ".4g")
        beside = [
            number_text(each[key], shape) if key in each else "–"
            for key, shape in (("persistence", form), ("ratio", ".3f"))
        ]
        title = f"coverage, {each['asked']:.1%} wanted" if "asked" in each else TITLES.get(name, name.upper())
        rows.append((title, number_text(each["value"], form), *beside))
    own = scores["scores"]["mae"]["value"]
    others = sorted([("this forecaster", own), *scores["baselines"].items()], key=lambda each: each[1])
    baselines = [(name.replace("_", " "), f"{mae:.4g}", f"{own / mae:.3f}" if mae else "–") for name, mae in others]
    steps = [(str(row["step"]), f"{row['coverage']:.1%}") for row in scores["by_step"] if "coverage" in row]
    return {
        "scores": rows, "baselines": baselines, "test": scores.get("diebold_mariano"),
        "remarks": scores.get("remarks", ()), "steps": steps if len(steps) > 1 else (),
    }  # fmt: skip


def _over_time(found: Examined, title: str, unit: str, series: Sequence[tuple[Line, Sequence[Floats]]]) -> Chart:
    """Lines of those of some values (O,) that are drawn, two for a band; broken before a row that follows no other."""
    last = found.drawn()
    rows = [found.rows[at] for at in last]

    def points(values: Floats) -> list[Point]:
        drawn = list[Point]()
        for at, value in enumerate(values[last].tolist()):
            if at and rows[at] != rows[at - 1] + 1:
                drawn.append((at - 0.5, None))
            drawn.append((at, value))
        return drawn

    lines = [
        line._replace(points=points(values[0]), upper=points(values[1]) if len(values) > 1 else ())
        for line, values in series
    ]
    y = axis_of(unit, [value for line in lines for _, value in (*line.points, *line.upper)])
    return Chart(
        title, row_axis(found.recipe.data.time or "row", [found.times[at] for at in last]), y, lines, width=WIDE
    )


def _forecasts(found: Examined, place: int, target: str) -> list[Chart]:
    """Forecasts of the first step and, where there are more, of the last."""
    charts, levels = list[Chart](), found.recipe.model.quantiles
    for step in sorted({0, found.points.shape[1] - 1}):
        series = [
            (Line("truth", (), "ink"), [found.truth[:, step, place]]),
            (Line("forecast", (), STYLES[1]), [found.points[:, step, place]]),
        ]
        if found.quantiles is not None:
            band = Line(f"from quantile {levels[0]:g} to {levels[-1]:g}", (), "wash")
            series.insert(0, (band, [found.quantiles[:, end, step, place] for end in (0, -1)]))
        ahead = f"{step + 1} steps ahead" if step else "one step ahead"
        charts.append(_over_time(found, f"{target}, {ahead}", target, series))
    return charts


def _residuals(found: Examined, place: int) -> dict[str, Any]:
    """Truth minus forecast one step ahead, in time and as a histogram, and the truths below each quantile."""
    residuals, unit = (found.truth - found.points)[:, 0, place], "truth minus forecast"
    counts, edges = (each.tolist() for each in np.histogram(residuals[np.isfinite(residuals)], BINS))
    bars = [
        Bar(low, high, count, f"{number(low)} to {number(high)}")
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    series = [(Line("", (), "even"), [0.0 * residuals]), (Line("", ()), [residuals])]
    values = {
        "mean": number(float(residuals.mean())),
        "deviation": number(float(residuals.std())),
        "above": float((residuals > 0).mean()),
        "residuals": _over_time(found, "Residuals over time", unit, series),
        "histogram": Chart("Residuals", axis_of(unit, edges), axis_of("forecasts", counts, low=0.0), bars=bars),
    }
    if found.quantiles is None:
        return {**values, "coverage": None}
    levels, axes = found.recipe.model.quantiles, ("quantile level", "share of truths at most it")
    below = (found.truth[:, None, :, place] <= found.quantiles[..., place]).mean(axis=(0, 2)).tolist()
    points = list(zip(levels, below, strict=True))
    return {
        **values,
        "coverage": diagonal_chart("Coverage by quantile level", axes, "as wanted", "this forecaster", points),
        "below": [(f"{level:g}", f"{share:.1%}") for level, share in points],
        "inside": below[-1] - below[0],
    }


def compared(named: Mapping[str, Examined]) -> list[str]:
    """What is to be known of a comparison."""
    return ["Runs compare where they forecast the same column of one file, as many steps ahead."]
