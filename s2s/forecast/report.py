"""What the report of a forecaster shows, from its forecasts of the scored part."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from s2s.errors import S2SError
from s2s.figures.axes import HEIGHT, WIDE, Axis, Plot, Point, axis_of, number, row_axis
from s2s.figures.charts import STYLES, Line, line_chart
from s2s.figures.curves import curves_of_runs, training_section
from s2s.figures.page import Section, figure, figures, heading, paragraph, table
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.task import part_of, score
from s2s.run import Metrics, RunFolder, number_text, scored

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]
SHOWN_ROWS = 200
"""Rows of a plot over time, the last of more."""
SHOWN_TARGETS = 4
"""Targets that have figures of their own."""
BINS = 20
"""Of the histogram of residuals."""
FORMS = {"mape": ".1f", "smape": ".1f", "coverage": ".1%"}
TITLES = {"smape": "sMAPE", "coverage": "coverage of the interval", "pinball": "pinball loss"}


class Examined(NamedTuple):
    """A forecaster with its forecasts."""

    run: RunFolder
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
    return Examined(run, recipe, scores, rows, times, truth, points, quantiles, remarks)


def sections(found: Examined) -> list[Section]:
    """Everything on one run."""
    curves = training_section(Metrics(found.run.metrics).read(), ("loss", "loss of a scaled value"), {"mase": "MASE"})
    parts = [_scores(found)]
    if len(found.points):
        for place, target in enumerate(found.recipe.data.targets[:SHOWN_TARGETS]):
            parts += [_forecast(found, place, target), _residuals(found, place, target)]
    return [*parts, curves]


def _scores(found: Examined) -> Section:
    blocks = [paragraph(remark) for remark in found.remarks]
    scores = found.scores
    if not scores:
        return Section("Scores", [*blocks, paragraph("The run has not been scored.")])
    ahead = f"{scores['horizon']} steps" if scores["horizon"] > 1 else "one step"
    blocks.append(
        paragraph(
            f"{scores['examples']:,} forecasts of {ahead} in the {scores['split']} part, in the units of the file."
        )
    )
    several = scores.get("targets", {scores["target"]: scores})
    for target, each in several.items():
        if len(several) > 1:
            blocks.append(heading(target))
        blocks += [paragraph(f"Its mean absolute error: {each['meaning']}."), *_tables(each)]
    return Section("Scores", blocks)


def _tables(scores: Mapping[str, Any]) -> list[Markup]:
    rows = []
    for name, each in scores["scores"].items():
        form = FORMS.get(name, ".4g")
        beside = [
            number_text(each.get(key), shape) if key in each else "–"
            for key, shape in (("persistence", form), ("ratio", ".3f"))
        ]
        if name == "coverage":
            beside = [f"{each['asked']:.1%} wanted", "–"]
        rows.append((TITLES.get(name, name.upper()), number_text(each["value"], form), *beside))
    own = scores["scores"]["mae"]["value"]
    others = sorted([("this forecaster", own), *scores["baselines"].items()], key=lambda each: each[1])
    baselines = [(name.replace("_", " "), f"{mae:.4g}", f"{own / mae:.3f}" if mae else "–") for name, mae in others]
    tables = [
        table(("score", "value", "of persistence", "ratio"), rows),
        table(("forecast", "MAE", "ratio of this forecaster's"), baselines),
    ]
    by_step = scores.get("by_step", [])
    if len(by_step) > 1:
        x = axis_of("steps ahead", [row["step"] for row in by_step], low=1.0, high=float(len(by_step)), most=8)
        lines = [
            Line(title, [(row["step"], row[key]) for row in by_step], style, dots=len(by_step) < 30)
            for title, key, style in (("this forecaster", "mae", STYLES[0]), ("persistence", "persistence", STYLES[1]))
        ]
        y = axis_of("MAE", [value for line in lines for _, value in line.points], low=0.0)
        tables.append(line_chart("Error by step", lines, x, y, said=f"{number(own)} on average."))
    return [figures(*tables)]


def _over_time(found: Examined, values: Floats) -> list[Point]:
    """The last SHOWN_ROWS of some values (O,), with a break before a row that does not follow the one before."""
    first = max(0, len(values) - SHOWN_ROWS)
    points = list[Point]()
    for at in range(first, len(values)):
        if at > first and found.rows[at] != found.rows[at - 1] + 1:
            points.append((at - first - 0.5, None))
        points.append((at - first, float(values[at])))
    return points


def _time_axis(found: Examined) -> Axis:
    return row_axis(found.recipe.data.time or "row", found.times[-SHOWN_ROWS:], WIDE)


def _forecast(found: Examined, place: int, target: str) -> Section:
    """Forecasts of the first step and, where there are more, of the last."""
    charts, horizon = [], found.points.shape[1]
    for step in sorted({0, horizon - 1}):
        truth, points = (_over_time(found, each[:, step, place]) for each in (found.truth, found.points))
        outer = () if found.quantiles is None else (found.quantiles[:, 0], found.quantiles[:, -1])
        ends = [_over_time(found, each[:, step, place]) for each in outer]
        levels = found.recipe.model.quantiles
        band = (ends[0], ends[1], f"from quantile {levels[0]:g} to {levels[-1]:g}") if ends else None
        y = axis_of(target, [value for line in (truth, points, *ends) for _, value in line])
        lines = [Line("truth", truth, "ink"), Line("forecast", points, STYLES[1])]
        ahead = f"{step + 1} steps ahead" if step else "one step ahead"
        near = float(np.abs(found.truth[-SHOWN_ROWS:, step, place] - found.points[-SHOWN_ROWS:, step, place]).mean())
        said = f"The mean absolute error of what is shown is {number(near)}."
        charts.append(
            line_chart(f"{target}, {ahead}", lines, _time_axis(found), y, said=said, band=band, size=(WIDE, HEIGHT))
        )
    shown = min(len(found.rows), SHOWN_ROWS)
    return Section(f"Forecasts of {target}", [paragraph(f"The last {shown:,} forecasts of the scored part."), *charts])


def _residuals(found: Examined, place: int, target: str) -> Section:
    """Truth minus forecast one step ahead."""
    residuals = (found.truth - found.points)[:, 0, place]
    mean, deviation = float(residuals.mean()), float(residuals.std())
    neighbours = np.array(found.rows[1:]) - np.array(found.rows[:-1]) == 1
    pairs = residuals[1:][neighbours] - mean, residuals[:-1][neighbours] - mean
    alike = float((pairs[0] * pairs[1]).sum() / max((residuals - mean).dot(residuals - mean), 1e-300))
    said = (
        f"Truth minus forecast, one step ahead: {number(mean)} on average, with a standard deviation of"
        f" {number(deviation)}; {(residuals > 0).mean():.0%} are above zero. The autocorrelation of neighbours"
        f" is {alike:.2f}, where 0 says that nothing is left to be learned from the last error."
    )
    counts, edges = np.histogram(residuals[np.isfinite(residuals)], BINS)
    plot = Plot(axis_of("truth minus forecast", edges.tolist()), axis_of("forecasts", counts.tolist(), low=0.0))
    for count, low, high in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        plot.bar(low, high, count, STYLES[0])
    histogram = figure("Residuals", plot.svg(f"Histogram of the residuals. {said}"))
    points = _over_time(found, residuals)
    y = axis_of("truth minus forecast", [value for _, value in points])
    zero = Line("", [(0.0, 0.0), (max(x for x, _ in points), 0.0)], "even")
    over_time = line_chart(
        "Residuals over time", [zero, Line("", points)], _time_axis(found), y, said=said, size=(WIDE, HEIGHT)
    )
    if found.quantiles is None:
        return Section(f"Residuals of {target}", [paragraph(said), over_time, figures(histogram)])
    covered, chart, numbers = _coverage(found, found.quantiles, place)
    blocks = [paragraph(said), over_time, paragraph(covered), figures(histogram, chart), numbers]
    return Section(f"Residuals and intervals of {target}", blocks)


def _coverage(found: Examined, quantiles: Floats, place: int) -> tuple[str, Markup, Markup]:
    """How many truths lie below each quantile: in words, as a chart and as a table."""
    levels = found.recipe.model.quantiles
    below = (found.truth[:, None, :, place] <= quantiles[..., place]).mean(axis=(0, 2)).tolist()
    rows = [(f"{level:g}", f"{share:.1%}") for level, share in zip(levels, below, strict=True)]
    x, y = (axis_of(title, (), low=0.0, high=1.0, most=5) for title in ("quantile level", "share of truths at most it"))
    lines = [
        Line("as wanted", [(0.0, 0.0), (1.0, 1.0)], "even"),
        Line("this forecaster", list(zip(levels, below, strict=True)), STYLES[0], dots=True),
    ]
    inside = below[-1] - below[0]
    said = (
        f"Between the quantiles {levels[0]:g} and {levels[-1]:g} lie {inside:.1%} of the truths, where"
        f" {levels[-1] - levels[0]:.1%} should; all steps of {len(found.rows):,} forecasts are counted."
    )
    chart = line_chart("Coverage by quantile level", lines, x, y, said=said)
    return said, chart, table(("quantile level", "share of truths at most it"), rows)


def compared(named: Mapping[str, Examined]) -> list[Section]:
    """Several forecasters side by side."""
    rows = []
    for name, each in named.items():
        scores = each.scores.get("scores", {})
        cells = [
            number_text(scores[key]["value"], ".4g") if key in scores else "–"
            for key in ("mae", "rmse", "mase", "pinball")
        ]
        rows.append((name, each.scores.get("target", "–"), f"{each.scores.get('horizon', '–')}", *cells))
    said = "Runs compare where they forecast the same column of one file, as many steps ahead."
    curves = curves_of_runs({name: Metrics(each.run.metrics).read() for name, each in named.items()}, "mase", "MASE")
    headings = ("run", "target", "steps", "MAE", "RMSE", "MASE", "pinball loss")
    return [Section("Side by side", [table(headings, rows), paragraph(said), figures(curves)])]
