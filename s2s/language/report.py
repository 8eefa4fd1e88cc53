"""What the report of a language model shows."""

from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np
from markupsafe import Markup

from s2s.figures.axes import HEIGHT, WIDE, Point, axis_of
from s2s.figures.calibration import bins_of, calibration_figure, calibration_text
from s2s.figures.charts import Line, line_chart
from s2s.figures.curves import curves_of_runs, thinned, training_section
from s2s.figures.page import Section, figures, heading, paragraph, table
from s2s.language.examine import Examined, Reading
from s2s.language.examine import examine as examine  # what a report module answers
from s2s.run import Metrics, number_text
from s2s.text.special import END, START

SHOWN_TOKENS = 500
"""Tokens of the text that is shown with its nats."""
SHADES = (1.0, 2.5, 5.0)
"""Nats from which a token is marked, more and more."""
SURPRISES = 10
BEFORE = 40
"""Characters that are shown before a surprising token."""
MOST_POSITIONS = 40
"""Positions of a line whose mean loss is shown."""
FORMS = {"nats_per_token": ".4f", "perplexity": ".4g", "bits_per_character": ".4f", "accuracy": ".1%"}


def sections(found: Examined) -> list[Section]:
    """Everything on one run."""
    parts = [_scores(found)]
    if found.sweep is not None:
        parts.append(_sweep(found))
    rows = Metrics(found.run.metrics).read()
    parts.append(training_section(rows, ("nats_per_token", "nats per token"), {"accuracy": "Accuracy"}))
    parts.append(_samples(found))
    if found.readings:
        parts += [_along(found), _calibration(found)]
    return parts


def _scores(found: Examined) -> Section:
    blocks = [paragraph(remark) for remark in found.remarks]
    if not found.scores:
        return Section("Scores", [*blocks, paragraph("The run has not been scored.")])
    scores = found.scores
    rows = [
        (name.replace("_", " "), number_text(each["value"], FORMS.get(name, ".4f")))
        for name, each in scores["scores"].items()
    ]
    said = f"Scored on {scores['split']}: {scores['examples']:,} tokens."
    if scores.get("unknown_share"):
        said += f" Unknown are {scores['unknown_share']:.2%} of the tokens, which makes the scores too good."
    return Section("Scores", [*blocks, paragraph(said), table(("score", "value"), rows)])


def _sweep(found: Examined) -> Section:
    assert found.sweep is not None
    trainings = found.sweep["trainings"]
    epochs = [row["learned_epoch"] for row in trainings if row["learned_epoch"] is not None]
    when = f", at epoch {median(epochs):g} in the median and {min(epochs):g} at the earliest" if epochs else ""
    said = (
        f"{len(epochs):,} of {len(trainings):,} trainings from other seeds learned{when}. The weights kept are those"
        f" of seed {found.sweep['kept_seed']}."
    )
    nats = sorted(row["validation_nats_per_token"] for row in trainings)
    points: list[Point] = [(place + 1.0, value) for place, value in enumerate(nats)]
    x, y = (
        axis_of("trainings, best first", [1.0, len(nats)], low=1.0, high=float(len(nats))),
        axis_of("nats per token", nats),
    )
    chart = line_chart("Loss of each training", [Line("", points, dots=len(nats) <= 60)], x, y, said=said)
    return Section("Sweep", [paragraph(said), figures(chart)])


def _samples(found: Examined) -> Section:
    if not found.samples:
        return Section("Samples", [paragraph("The model knows no beginning of a line, and the text is not at hand.")])
    blocks = [paragraph("Written by the model: the most likely token each time (temperature 0), and sampled ones.")]
    for temperature, text in found.samples:
        blocks += [heading(f"Temperature {temperature:g}"), Markup('<div class="text">{}</div>').format(text)]
    return Section("Samples", blocks)


def _along(found: Examined) -> Section:
    lines = found.recipe.data.cut == "lines"
    tokens = sum(len(reading.tokens) for reading in found.readings)
    count = len(found.readings)
    where = f"{count:,} line{'s' * (count > 1)}" if lines else "the beginning"
    blocks = [paragraph(f"{tokens:,} tokens, {where} of {found.description}, each predicted from those before it.")]
    blocks.append(figures(*_by_position(found.readings)) if lines else _by_place(found.readings[0]))
    limits = ", ".join(f"{shade:g}" for shade in SHADES)
    legend = (
        f"The less the model expected a token, the more it is marked: from {limits} nats on. A token of 0.7 nats has a"
        " probability of one half."
    )
    blocks += [heading("The text, with what surprised the model"), paragraph(legend), _shaded(found)]
    return Section("Loss along the text", [*blocks, heading("What surprised it most"), _surprises(found)])


def _by_place(reading: Reading) -> Markup:
    points = thinned([(float(place), float(nats)) for place, nats in enumerate(reading.nats, start=1)])
    x, y = (
        axis_of("tokens from the beginning", [x for x, _ in points], low=0.0, high=points[-1][0]),
        axis_of("nats per token", [y for _, y in points], low=0.0),
    )
    size = -(-len(reading.nats) // len(points))
    title = f"Loss along the text, means of {size:,} tokens" if size > 1 else "Loss along the text"
    said = f"Between {min(y or 0.0 for _, y in points):.2f} and {max(y or 0.0 for _, y in points):.2f} nats."
    return line_chart(title, [Line("", points)], x, y, said=said, size=(WIDE, HEIGHT))


def _by_position(readings: Sequence[Reading]) -> list[Markup]:
    longest = min(max(len(reading.nats) for reading in readings), MOST_POSITIONS)
    columns = [[float(each.nats[place]) for each in readings if len(each.nats) > place] for place in range(longest)]
    points: list[Point] = [(place + 1.0, sum(column) / len(column)) for place, column in enumerate(columns)]
    x, y = (
        axis_of("position in the line", [1.0, longest], low=1.0, high=max(2.0, longest)),
        axis_of("nats per token", [y for _, y in points], low=0.0),
    )
    rows = [
        (f"{place + 1}", f"{len(column):,}", f"{sum(column) / len(column):.3f}") for place, column in enumerate(columns)
    ]
    lines = [Line("", points, dots=True)]
    chart = line_chart("Loss by position in the line", lines, x, y, said="The numbers are in the table beside it.")
    return [chart, table(("position", "lines", "nats per token"), rows)]


def _shown(found: Examined, token: int) -> str:
    """A token as text."""
    closed = found.generator.closed
    if not closed and token in (START, END):
        return "⏎\n"
    name = found.generator.tokenizer.token(token)
    if found.recipe.tokenizer.kind == "words":
        return name + " "
    return name.replace("▁", " ").replace("\n", "⏎\n")


def _shaded(found: Examined) -> Markup:
    marked, left = list[Markup](), SHOWN_TOKENS
    for reading in found.readings:
        for token, nats in zip(reading.tokens[:left].tolist(), reading.nats.tolist(), strict=False):
            grade = sum(nats > shade for shade in SHADES)
            form = Markup('<mark class="n{}">{}</mark>') if grade else Markup("{1}")
            marked.append(form.format(grade, _shown(found, token)))
        left -= len(reading.tokens)
        if left <= 0:
            break
    return Markup('<div class="text">{}</div>').format(Markup("").join(marked))


def _surprises(found: Examined) -> Markup:
    places = [
        (nats, row, place) for row, each in enumerate(found.readings) for place, nats in enumerate(each.nats.tolist())
    ]
    rows = []
    places = [each for each in places if each[0] >= SHADES[0]]
    if not places:
        return paragraph(f"Nothing did: no token took {SHADES[0]:g} nat or more.")
    for nats, row, place in sorted(places, key=lambda each: (-each[0], *each[1:]))[:SURPRISES]:
        reading = found.readings[row]
        before = "".join(_shown(found, token) for token in reading.tokens[max(place - BEFORE, 0) : place].tolist())
        came, expected = (_shown(found, int(each[place])) for each in (reading.tokens, reading.likeliest))
        cells = [" ".join(text.split()) or "␣" for text in (before[-BEFORE:], came, expected)]
        rows.append((f"… {cells[0]}", cells[1], f"{nats:.1f}", f"{cells[2]} ({reading.highest[place]:.0%})"))
    return table(("after", "came", "nats", "expected"), rows)


def _calibration(found: Examined) -> Section:
    highest, right = (
        np.concatenate(parts)
        for parts in zip(*((each.highest, each.likeliest == each.tokens) for each in found.readings), strict=True)
    )
    bins = bins_of(highest, right)
    return Section("Calibration", [calibration_text(bins, "tokens of the text"), figures(calibration_figure(bins))])


def compared(named: Mapping[str, Examined]) -> list[Section]:
    """Several language models side by side."""
    rows = []
    for name, each in named.items():
        scores = each.scores.get("scores", {})
        values = [number_text(scores[key]["value"], form) if key in scores else "–" for key, form in FORMS.items()]
        rows.append((name, each.scores.get("split", "–"), *values))
    curves = curves_of_runs(
        {name: Metrics(each.run.metrics).read() for name, each in named.items()}, "nats_per_token", "nats per token"
    )
    said = "Nats per token compare models of one tokenizer; bits per character compare all that read the same text."
    headings = ("run", "scored on", *(key.replace("_", " ") for key in FORMS))
    return [Section("Side by side", [table(headings, rows), paragraph(said), figures(curves)])]
