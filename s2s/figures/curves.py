"""Curves of a training, from the rows of its metrics.jsonl."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from s2s.figures.axes import Axis, Point, axis_of, number, steps_axis
from s2s.figures.charts import STYLES, Line, line_chart
from s2s.figures.page import Section, figures, folded, paragraph, table

Rows = Sequence[Mapping[str, Any]]
MOST_POINTS = 200
"""Points of a curve; of more, neighbours are averaged."""
MOST_ROWS = 60
"""Rows of the table of validations; of more, every second, third, ... is left out."""


def points_of(rows: Rows, name: str) -> list[Point]:
    """Steps and values of the rows that have the value."""
    return [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]


def validations_of(rows: Rows) -> list[dict[str, Any]]:
    """Scores of each validation, with its step; those of other sets by key and set, as in "bleu (old)"."""
    validations = [{"step": row["step"], **row["validation"]} for row in rows if row.get("validation")]
    for row in validations:
        for name, scores in row.get("also", {}).items():
            row |= {f"{key} ({name})": score for key, score in scores.items()}
    return validations


def best_step(rows: Rows) -> int | None:
    """Step of the weights that were kept."""
    return max((row["step"] for row in rows if row.get("best")), default=None)


def training_section(rows: Rows, loss: tuple[str, str], scores: Mapping[str, str]) -> Section:
    """Loss in training and validation, scores of validations, and the learning rate, by optimizer step.

    `loss` is its key in a validation and its unit; `scores` are further ones, titles by key.
    """
    validations, best = validations_of(rows), best_step(rows)
    if not rows:
        return Section("Training", [paragraph("The run has no metrics.jsonl, so there are no curves.")])
    sets = sorted({name for row in validations for name in row.get("also", {})})
    scores = dict(scores) | {f"{key} ({name})": f"{title} ({name})" for name in sets for key, title in scores.items()}
    x = steps_axis("optimizer steps", [row["step"] for row in rows])
    rule = None if best is None else (best, f"best, {best:,}")
    lines = [
        Line("training", thinned(points_of(rows, "loss"))),
        Line("validation", points_of(validations, loss[0]), STYLES[1], dots=True),
    ]
    charts = [_chart("Loss", lines, x, loss[1], rule)]
    found = [Line(title, points_of(validations, key), dots=True) for key, title in scores.items()]
    lines = [
        line._replace(style=style) for line, style in zip((each for each in found if each.points), STYLES, strict=False)
    ]
    if lines:
        title, unit = " and ".join(line.label for line in lines), "score" if len(lines) > 1 else lines[0].label
        charts.append(_chart(f"{title} on validation data", lines, x, unit, rule))
    rates = points_of(rows, "learning_rate")
    if len(rates) > 1:
        charts.append(_chart("Learning rate", [Line("", thinned(rates))], x, "rate", None))
    return Section(
        "Training", [_said(rows, best), figures(*charts, _table(validations, best, {loss[0]: loss[1], **scores}))]
    )


def curves_of_runs(runs: Mapping[str, Rows], key: str, title: str) -> Markup:
    """One score of the validations of several runs."""
    lines = [
        Line(name, points_of(validations_of(rows), key), STYLES[place % len(STYLES)], dots=True)
        for place, (name, rows) in enumerate(runs.items())
    ]
    x = steps_axis("optimizer steps", [step for line in lines for step, _ in line.points])
    return _chart(title, lines, x, title, None)


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS points, each the mean of neighbours."""
    if len(points) <= MOST_POINTS:
        return list(points)
    size = -(-len(points) // MOST_POINTS)
    groups = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y or 0.0 for _, y in group) / len(group)) for group in groups]


def _chart(title: str, lines: Sequence[Line], x: Axis, unit: str, rule: tuple[float, str] | None) -> Markup:
    y = axis_of(unit, [value for line in lines for _, value in line.points])
    ends = [f"{line.label or title}: {_ends(line.points)}" for line in lines if line.points]
    return line_chart(title, lines, x, y, said="; ".join(ends), rule=rule)


def _ends(points: Sequence[Point]) -> str:
    (first, begun), (last, ended) = points[0], points[-1]
    return f"{number(begun or 0.0)} at step {first:,.0f}, {number(ended or 0.0)} at step {last:,.0f}"


def _said(rows: Rows, best: int | None) -> Markup:
    seconds = max((row.get("elapsed_seconds", 0.0) for row in rows), default=0.0)
    kept = "" if best is None else f" The weights kept are those of step {best:,}, the best on validation data."
    took = f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.1f} seconds"
    form = Markup('<p>{:,} optimizer steps in <span class="time">{}</span>.{}</p>')
    return form.format(max(row["step"] for row in rows), took, kept)


def _table(validations: Rows, best: int | None, titles: Mapping[str, str]) -> Markup:
    keys = [key for key in titles if any(isinstance(row.get(key), int | float) for row in validations)]
    every = -(-len(validations) // MOST_ROWS) or 1
    shown = [
        row
        for place, row in enumerate(validations)
        if place % every == 0 or row["step"] == best or row is validations[-1]
    ]
    cells = [
        [
            f"{row['step']:,}",
            *(number(row[key]) if row.get(key) is not None else "–" for key in keys),
            "best" * (row["step"] == best),
        ]
        for row in shown
    ]
    return folded("Validations in numbers", table(("step", *(titles[key] for key in keys), ""), cells))
