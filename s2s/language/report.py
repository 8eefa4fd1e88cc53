"""What the report of a language model shows."""

from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from s2s.figures.calibration import calibration
from s2s.figures.charts import WIDE, WIDTH, Chart, Line, Point, axis_of
from s2s.figures.curves import curves_of_runs, thinned, training
from s2s.language.examine import Examined
from s2s.language.examine import examine as examine  # what a report module answers
from s2s.run import Metrics, number_text
from s2s.text.special import END, START

SHOWN_TOKENS = 500
"""Tokens of the text that is shown with its nats."""
SHADES = (1.0, 2.5, 5.0)
"""Nats from which a token is marked, more and more."""
MOST_POSITIONS = 40
"""Positions of a line whose mean loss is shown."""
FORMS = {"nats_per_token": ".4f", "perplexity": ".4g", "bits_per_character": ".4f", "accuracy": ".1%"}


def shown(found: Examined) -> dict[str, Any]:
    """What report-language.html shows of one run, besides what was found."""
    rows = Metrics(found.run.metrics).read()
    scores = found.scores.get("scores", {})
    values = {
        "score_rows": [
            (name.replace("_", " "), number_text(each["value"], FORMS.get(name, ".4f")))
            for name, each in scores.items()
        ],
        "learned": _learned(found.sweep),
        "training": training(rows, ("nats_per_token", "nats per token"), {"accuracy": "Accuracy"}),
    }
    if not found.readings:
        return values
    highest, likeliest, tokens, nats = (
        np.concatenate([getattr(each, name) for each in found.readings])
        for name in ("highest", "likeliest", "tokens", "nats")
    )
    shaded = [
        (sum(loss > shade for shade in SHADES), _shown(found, token))
        for token, loss in zip(tokens[:SHOWN_TOKENS].tolist(), nats[:SHOWN_TOKENS].tolist(), strict=True)
    ]
    return {
        **values,
        "calibration": calibration(highest, likeliest == tokens),
        "along": _along(found),
        "shaded": shaded,
    }


def _learned(sweep: Mapping[str, Any] | None) -> str:
    """How many trainings of a sweep learned, and when."""
    if sweep is None:
        return ""
    epochs = [row["learned_epoch"] for row in sweep["trainings"] if row["learned_epoch"] is not None]
    when = f", at epoch {median(epochs):g} in the median and {min(epochs):g} at the earliest" if epochs else ""
    said = f"{len(epochs):,} of {len(sweep['trainings']):,} trainings from other seeds learned{when}."
    return f"{said} The weights kept are those of seed {sweep['kept_seed']}."


def _along(found: Examined) -> Chart:
    """Mean loss by position in the line, or along running text."""
    if found.recipe.data.cut == "lines":
        longest = min(max(len(reading.nats) for reading in found.readings), MOST_POSITIONS)
        columns = [[float(each.nats[at]) for each in found.readings if len(each.nats) > at] for at in range(longest)]
        points: list[Point] = [(place + 1.0, sum(column) / len(column)) for place, column in enumerate(columns)]
        title, axis, low, width = "Loss by position in the line", "position in the line", 1.0, WIDTH
    else:
        nats = found.readings[0].nats.tolist()
        points = thinned(list(enumerate(nats, start=1)))
        size = -(-len(nats) // len(points))
        title = "Loss along the text" + (f", means of {size:,} tokens" if size > 1 else "")
        axis, low, width = "tokens from the beginning", 0.0, WIDE
    x = axis_of(axis, (), low=low, high=max(2.0, points[-1][0]))
    y = axis_of("nats per token", [loss for _, loss in points], low=0.0)
    return Chart(title, x, y, [Line("", points, dots=width == WIDTH)], width=width)


def _shown(found: Examined, token: int) -> str:
    """A token as text."""
    if not found.generator.closed and token in (START, END):
        return "⏎\n"
    name = found.generator.tokenizer.token(token)
    if found.recipe.tokenizer.kind == "words":
        return name + " "
    return name.replace("▁", " ").replace("\n", "⏎\n")


def compared(named: Mapping[str, Examined]) -> dict[str, Any]:
    """What report-compared.html shows of several language models."""
    rows = []
    for name, each in named.items():
        scores = each.scores.get("scores", {})
        values = [number_text(scores[key]["value"], form) if key in scores else "–" for key, form in FORMS.items()]
        rows.append((name, each.scores.get("split", "–"), *values))
    logs = {name: Metrics(each.run.metrics).read() for name, each in named.items()}
    return {
        "headings": ("run", "scored on", *(key.replace("_", " ") for key in FORMS)),
        "rows": rows,
        "said": "Nats per token compare models of one tokenizer; bits per character all that read the same text.",
        "curves": curves_of_runs(logs, "nats_per_token", "nats per token"),
        "examples": (),
    }
