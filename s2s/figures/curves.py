"""Curves of a training, from the rows of its metrics.jsonl."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s2s.figures.charts import STYLES, Chart, Line, Point, axis_of

Rows = Sequence[Mapping[str, Any]]
MOST_POINTS = 200
"""Points of a curve; of more, neighbours are averaged."""


class Training(NamedTuple):
    """Loss, scores of validations and learning rate by optimizer step."""

    steps: int
    seconds: float
    best: int | None
    """step of the weights that were kept"""
    charts: Sequence[Chart]
    columns: Mapping[str, str]
    """titles of the values of validations, by key"""
    validations: Rows


def training(rows: Rows, loss: tuple[str, str], scores: Mapping[str, str]) -> Training:
    """A training; `loss` is its key in a validation and its unit, `scores` are further ones, titles by key.

    Those of data.also_validate stand by key and name, as in "bleu (old)".
    """
    validations = [{"step": row["step"], **row["validation"]} for row in rows if row.get("validation")]
    for row in validations:
        for name, also in row.get("also", {}).items():
            row |= {f"{key} ({name})": score for key, score in also.items()}
    sets = sorted({name for row in validations for name in row.get("also", {})})
    scores = dict(scores) | {f"{key} ({name})": f"{title} ({name})" for name in sets for key, title in scores.items()}
    best = max((row["step"] for row in rows if row.get("best")), default=None)
    rule = None if best is None else (best, f"best, {best:,}")
    lines = [
        Line("training", _points(rows, "loss")),
        Line("validation", _points(validations, loss[0]), STYLES[1], True),
    ]
    told = {key: title for key, title in scores.items() if _points(validations, key)}
    scored = [
        Line(title, _points(validations, key), style, True)
        for (key, title), style in zip(told.items(), STYLES, strict=False)
    ]
    unit = "score" if len(told) > 1 else "".join(told.values())
    charts = [
        _chart("Loss", lines, loss[1], rule),
        _chart(f"{' and '.join(told.values())} on validation data", scored, unit, rule),
        _chart("Learning rate", [Line("", _points(rows, "learning_rate"))], "rate", None),
    ]
    drawn = [chart for chart in charts if any(line.points for line in chart.lines)]
    steps, seconds = (max((row.get(key, 0) for row in rows), default=0) for key in ("step", "elapsed_seconds"))
    return Training(steps, seconds, best, drawn, {loss[0]: loss[1], **told}, validations)


def curves_of_runs(runs: Mapping[str, Training], key: str, title: str) -> Chart:
    """One score of the validations of several runs."""
    lines = [
        Line(name, _points(each.validations, key), STYLES[place % len(STYLES)], True)
        for place, (name, each) in enumerate(runs.items())
    ]
    return _chart(title, lines, title, None)


def _points(rows: Rows, name: str) -> list[Point]:
    """Steps and values of the rows that have the value."""
    return thinned([(row["step"], row[name]) for row in rows if row.get(name) is not None])


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS points, each the mean of neighbours."""
    size = -(-len(points) // MOST_POINTS)
    groups = [points[begin : begin + size] for begin in range(0, len(points), size or 1)]
    return [(sum(x for x, _ in group) / len(group), sum(y or 0.0 for _, y in group) / len(group)) for group in groups]


def _chart(title: str, lines: Sequence[Line], unit: str, rule: tuple[float, str] | None) -> Chart:
    points = [point for line in lines for point in line.points]
    x = axis_of("optimizer steps", (), low=0.0, high=max([1.0, *(step for step, _ in points)]), most=5)
    return Chart(title, x, axis_of(unit, [value for _, value in points]), lines, rule=rule)
