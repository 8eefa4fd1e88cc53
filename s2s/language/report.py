"""What the report of a language model shows: what it makes of a text, token by token, and texts that it writes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from s2s.errors import DataError, S2SError
from s2s.figures.calibration import calibration
from s2s.figures.charts import WIDE, Chart, Line, Point, axis_of
from s2s.figures.curves import thinned
from s2s.language.evaluation import SCORED_WINDOW, encoded, part_of
from s2s.language.generator import Generator
from s2s.language.gradients import gradient_chart, gradient_table, gradients_of
from s2s.language.recipe import LanguageRecipe
from s2s.language.scores import told_of_unknown
from s2s.language.text import EncodedText, Stream, cut
from s2s.language.units import TRAITS, Unit, units_of, watched
from s2s.run import RunFolder, scored
from s2s.text.special import END, START

log = logging.getLogger("s2s")
CURVES = ("nats_per_token", "nats per token"), {"accuracy": "Accuracy"}
"""Loss and scores of the validations, by key."""
SHOWN_TOKENS = 500
"""Tokens of the text that is shown with its nats."""
SHADES = (1.0, 2.5, 5.0)
"""Nats from which a token is marked, more and more."""
MOST_POSITIONS = 40
"""Positions of a line whose mean loss is shown."""
FORMS = {"perplexity": ".4g", "accuracy": ".1%"}
"""Of scores that are not shown with four places."""
READ_TOKENS = 4_000
"""Targets whose predictions are looked at one by one, of the beginning of a text or of some of its lines."""
SAMPLED_TOKENS = 120
TEMPERATURES = (0.0, 0.7, 1.0)
"""At which texts are written."""


class Reading(NamedTuple):
    """Predictions of the tokens of a line, or of running text."""

    tokens: NDArray[np.integer]
    """(T,) the targets"""
    nats: NDArray[np.floating]
    """(T,) negative log-likelihood of each"""
    likeliest: NDArray[np.integer]
    """(T,) token with the highest probability"""
    highest: NDArray[np.floating]
    """(T,) that probability"""


class Examined(NamedTuple):
    """A language model with what it reads and writes."""

    recipe: LanguageRecipe
    generator: Generator
    scores: Mapping[str, Any]
    """as in scores.json"""
    description: str
    """of the text that is read"""
    readings: Sequence[Reading]
    samples: Sequence[tuple[float, str]]
    """temperature and text"""
    remarks: Sequence[str]
    units: Sequence[Unit]
    """that follow what the text has"""
    gradients: Sequence[float]
    """norms of the loss's gradient by the state 1, 2, ... tokens before"""


def examine(run: RunFolder, recipe: LanguageRecipe, corpora: Path | None, device: str) -> Examined:
    """What the model makes of the scored text, where that is at hand, and what it writes."""
    generator, remarks, readings, description = Generator.load(run.path, device=device), [], list[Reading](), ""
    beginning, units, gradients = "", list[Unit](), list[float]()
    try:
        part = part_of(run, recipe, on=None, files=None, beam=None, corpora=corpora)
        text, description = encoded(part.source, generator.tokenizer, recipe.data), part.source.description
        readings = read(generator, text, recipe)
        with generator.compute.entered():
            gradients = gradients_of(generator.model, text, recipe, generator.compute.device)
            seen = watched(generator, text, recipe, lambda token: _surface(generator, recipe, token))
        units = units_of(seen, recipe.model.layers, "cell" if recipe.model.cell == "lstm" else "unit")
        beginning = generator.tokenizer.decode([int(text.tokens[0])])
    except S2SError as problem:
        log.warning("%s", problem)  # it may name folders of this machine, which a page handed on should not
        remarks.append("What needs the data of the recipe is left out: they could not be read.")
    try:
        samples = [(each, written(generator, "", each)) for each in TEMPERATURES]
    except DataError:  # the model knows no beginning
        samples = [(each, written(generator, beginning, each)) for each in TEMPERATURES] if beginning else []
    return Examined(recipe, generator, scored(run)[0], description, readings, samples, remarks, units, gradients)


def written(generator: Generator, prompt: str, temperature: float) -> str:
    """A text that the model writes; always the same one."""
    (found,) = generator.generate(prompt, length=SAMPLED_TOKENS, temperature=temperature)
    return found.text.strip("\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@torch.inference_mode()
def read(generator: Generator, text: EncodedText, recipe: LanguageRecipe) -> list[Reading]:
    """Predictions of the first tokens of a text, read in one stream, or of lines from all over it."""
    lines, model, device = recipe.data.cut == "lines", generator.model, generator.compute.device
    batches = cut(text, recipe) if lines else Stream(text, rows=1, window=SCORED_WINDOW)
    found, count, state = list[Reading](), 0, None
    with generator.compute.entered():
        for batch in batches.batches(0, 0):
            readout, _, state = model(batch.inputs.to(device), state if batch.continues else None, batch.lengths)
            scores = model.scored(readout.flatten(0, 1), batch.targets.to(device).flatten())
            nats, likeliest, highest = (each.view(batch.targets.shape) for each in scores)
            parts = [part.cpu().numpy() for part in (batch.targets, -nats, likeliest, highest.exp())]
            lengths = [batch.targets.shape[1]] * len(nats) if batch.lengths is None else batch.lengths.tolist()
            found += [Reading(*(part[row, :length] for part in parts)) for row, length in enumerate(lengths)]
            count += batch.tokens
            if count >= READ_TOKENS:
                break
    return found if lines else [Reading(*(np.concatenate(parts) for parts in zip(*found, strict=True)))]


def shown(found: Examined) -> dict[str, Any]:
    """What report-language.html shows of one run, besides what was found."""
    told = told_of_unknown(found.scores) if found.scores.get("unknown_share") else []
    if not found.readings:
        return {"forms": FORMS, "told": told}
    highest, likeliest, tokens, nats = (
        np.concatenate([getattr(each, name) for each in found.readings])
        for name in ("highest", "likeliest", "tokens", "nats")
    )
    shaded = [
        (sum(loss > shade for shade in SHADES), _shown(found, token))
        for token, loss in zip(tokens[:SHOWN_TOKENS].tolist(), nats[:SHOWN_TOKENS].tolist(), strict=True)
    ]
    measured = calibration(highest, likeliest == tokens)
    of_run = {"this model": found.gradients} if found.gradients else {}
    seen = {"chart": gradient_chart(of_run), "table": gradient_table(of_run)} if of_run else {}
    return {"forms": FORMS, "told": told, "calibration": measured, "along": _along(found), "shaded": shaded,
            "gradients": seen, "rules": TRAITS.values()}  # fmt: skip


def _along(found: Examined) -> Chart:
    """Mean loss by position in the line, or along running text."""
    if found.recipe.data.cut == "lines":
        longest = min(max(len(reading.nats) for reading in found.readings), MOST_POSITIONS)
        columns = [[float(each.nats[at]) for each in found.readings if len(each.nats) > at] for at in range(longest)]
        points: list[Point] = [(place + 1.0, sum(column) / len(column)) for place, column in enumerate(columns)]
        title, axis, low = "Loss by position in the line", "position in the line", 1.0
    else:
        nats = found.readings[0].nats.tolist()
        points = thinned(list(enumerate(nats, start=1)))
        size = -(-len(nats) // len(points))
        title = "Loss along the text" + (f", means of {size:,} tokens" if size > 1 else "")
        axis, low = "tokens from the beginning", 0.0
    x = axis_of(axis, (), low=low, high=max(2.0, points[-1][0]))
    y = axis_of("nats per token", [loss for _, loss in points], low=0.0)
    return Chart(title, x, y, [Line("", points, dots=low == 1.0)], width=WIDE)


def _shown(found: Examined, token: int) -> str:
    """A token as text with marks for the ends of lines."""
    return _surface(found.generator, found.recipe, token).replace("\n", "⏎\n")


def _surface(generator: Generator, recipe: LanguageRecipe, token: int) -> str:
    """A token as text."""
    if not generator.closed and token in (START, END):
        return "\n"
    name = generator.tokenizer.token(token)
    return name + " " if recipe.tokenizer.kind == "words" else name.replace("▁", " ")


def compared(named: Mapping[str, Examined]) -> list[str | Chart]:
    """What is to be known of a comparison, and how far back the loss of each reaches."""
    said = (
        "Nats per token compare models of one tokenizer; bits per character or byte all that read the same text, and"
        " bits per byte spelled those too that do not know all of it."
    )
    gradients = {name: found.gradients for name, found in named.items() if found.gradients}
    return [said, gradient_chart(gradients)] if gradients else [said]
