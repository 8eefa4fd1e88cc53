"""What the report of a translator shows."""

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from markupsafe import Markup

from s2s.figures.calibration import calibration_figure, calibration_text
from s2s.figures.charts import bar_chart, matrix
from s2s.figures.curves import curves_of_runs, training_section
from s2s.figures.page import Section, figures, heading, in_language, join, paragraph, table
from s2s.run import Metrics
from s2s.translation.answers import answers
from s2s.translation.comparison import compare
from s2s.translation.examine import COUNTED_PAIRS, Examined, recall_by_frequency
from s2s.translation.examine import examine as examine  # what a report module answers
from s2s.translation.scores import failures, remarks_on, short_share

SIGNED = {"bleu": "BLEU", "chrf": "chrF"}
"""Scores with signatures, by their key."""
SHOWN_WORST, SHOWN_BEST, SHOWN_FAILED = 8, 4, 3
FIFTHS = ("lowest fifth", "second", "third", "fourth", "highest")
"""Of the sentences, by the model's own score."""
MEANINGS = {
    "loops": "some words stand three times in a row",
    "empty": "nothing was written for a source with words",
    "copied": "the source again, at least two words of it",
    "truncated": "cut off at the longest output that is allowed",
    "long": "the source is longer than any line in training",
    "unknown": "the vocabulary lacks something of the source",
}
"""Of each failure and flag."""


def sections(found: Examined) -> list[Section]:
    """Everything on one run."""
    rows = Metrics(found.run.metrics).read()
    curves = training_section(rows, ("nats_per_token", "nats per target token"), SIGNED)
    parts = [_scores(found), curves]
    if found.outputs:
        parts.append(Section("Length and rare words", [_by_length(found), *_by_frequency(found)]))
        parts += [_calibration(found), _failures(found), _sentences(found), _alignments(found)]
    return parts


def _scores(found: Examined) -> Section:
    blocks = [paragraph(remark) for remark in found.remarks]
    scores = found.scores
    if not scores:
        return Section("Scores", [*blocks, paragraph("The run has not been scored.")])
    said = f"Scored on {scores['split']}: {scores['examples']:,} pairs, beam {scores['beam']}"
    blocks.append(paragraph(f"{said}. Intervals are of 95 % (bootstrap)."))
    rows = []
    for name, each in scores["scores"].items():
        if name not in SIGNED:
            rows.append((name.replace("_", " "), f"{each['value']:.1%}", ""))
        elif each["value"] is None:
            rows.append((SIGNED[name], "–", "most references are too short for it"))
        else:
            rows.append((SIGNED[name], f"{each['value']:.1f}", f"{each['low']:.1f} to {each['high']:.1f}"))
    blocks.append(table(("score", "value", "interval"), rows))
    blocks += [paragraph(f"{remark[0].upper()}{remark[1:]}.") for remark in remarks_on(scores.get("data", {}))]
    form = Markup('<p class="soft">{}: <code>{}</code></p>')
    blocks += [form.format(title, scores["scores"][name]["signature"]) for name, title in SIGNED.items()]
    return Section("Scores", blocks)


def _by_length(found: Examined) -> Markup:
    """Scores by source length, as a chart and a table."""
    lengths = found.scores.get("by_length", [])
    told = any(row["bleu"] is not None for row in lengths)
    values = [row["bleu"] for row in lengths] if told else _chrf_by_length(found)
    names, unit = [row["source_tokens"] for row in lengths], "BLEU" if told else "mean chrF of a sentence"
    chart = bar_chart(f"{unit} by source length", names, values, axes=("source tokens", unit), high=100.0, form=".0f")
    rows = [
        (name, f"{row['examples']:,}", "–" if value is None else f"{value:.1f}", f"{row['length_ratio']:.3f}")
        for name, row, value in zip(names, lengths, values, strict=True)
    ]
    return figures(chart, table(("source tokens", "sentences", unit, "output / reference length"), rows))


def _by_frequency(found: Examined) -> list[Markup]:
    """How many of the references' words the outputs have, by how often training has them."""
    if found.frequencies is None:
        said = "How well rare words are translated cannot be said: the training pairs are not at hand."
        return [paragraph(said)]
    pairs = [(row["text"], row["reference"]) for row in found.outputs]
    recall = recall_by_frequency(pairs, found.frequencies, unspaced=found.unspaced)
    shares, unit = [100 * right / words for _, words, right in recall], "characters" if found.unspaced else "words"
    chart = bar_chart(
        f"{unit.capitalize()} of the references that the output has",
        [name for name, *_ in recall],
        shares,
        axes=("times in the training targets", "% found in the output"),
        high=100.0,
        form=".0f",
    )
    rows = [
        (name, f"{words:,}", f"{right:,}", f"{share:.1f}%")
        for (name, words, right), share in zip(recall, shares, strict=True)
    ]
    said = (
        f"Counted are {unit} without punctuation{'' if found.unspaced else ' at their ends'}; how often each stands in"
        f" training is that of the first {COUNTED_PAIRS:,} pairs at most."
    )
    return [figures(chart, table(("times in training", unit, "found", "share"), rows)), paragraph(said)]


def _chrf_by_length(found: Examined) -> list[float | None]:
    """Mean chrF of the sentences of each row of by_length, which are in the order of their lengths."""
    ordered = [
        chrf for _, chrf in sorted(zip((row["source_tokens"] for row in found.outputs), found.quality, strict=True))
    ]
    ends = np.cumsum([row["examples"] for row in found.scores["by_length"]]).tolist()
    return [sum(ordered[begin:end]) / (end - begin) for begin, end in zip([0, *ends], ends, strict=False)]


def _calibration(found: Examined) -> Section:
    text = calibration_text(found.bins, "target tokens of these pairs, each predicted after the reference up to it")
    diagram = calibration_figure(found.bins)
    count = len(found.outputs)
    if count < 10 * len(FIFTHS):
        return Section("Calibration", [text, figures(diagram)])
    order = sorted(range(count), key=lambda at: found.outputs[at]["score"])
    fifths = [order[count * k // len(FIFTHS) : count * (k + 1) // len(FIFTHS)] for k in range(len(FIFTHS))]
    means = [sum(found.quality[at] for at in fifth) / len(fifth) for fifth in fifths]
    axes = ("sentences by the model's own score", "mean chrF of a sentence")
    own = bar_chart("Quality by the model's own score", FIFTHS, means, axes=axes, high=100.0, form=".0f")
    return Section("Calibration", [text, figures(diagram, own)])


def _failures(found: Examined) -> Section:
    sources, texts = ([row[key] for row in found.outputs] for key in ("source", "text"))
    flagged = failures(sources, texts, split=list if found.unspaced else str.split)
    for flag in ("truncated", "long", "unknown"):
        flagged[flag] = [flag in row["flags"] for row in found.outputs]
    rows = [(name, f"{sum(each):,}", f"{sum(each) / len(each):.1%}", MEANINGS[name]) for name, each in flagged.items()]
    blocks = [table(("failure", "sentences", "share", "meaning"), rows)]
    for name, each in flagged.items():
        shown = [at for at, fails in enumerate(each) if fails][:SHOWN_FAILED]
        if shown:
            blocks += [heading(name), *(_pair(found, at) for at in shown)]
    return Section("Loops, empty, copied and truncated outputs", blocks)


def _sentences(found: Examined) -> Section:
    order = sorted(range(len(found.outputs)), key=lambda at: (found.quality[at], len(found.outputs[at]["reference"])))
    exact = sum(row["text"] == row["reference"] for row in found.outputs)
    worst = [at for at in order[:SHOWN_WORST] if found.outputs[at]["text"] != found.outputs[at]["reference"]]
    said = (
        f"{exact:,} of {len(order):,} outputs equal their reference. In the others, words of the reference that the"
        " output lacks are struck out, and words that the output has in their place are underlined."
    )
    best = [at for at in reversed(order) if at not in worst][:SHOWN_BEST]
    blocks = [paragraph(said), heading("Worst, by chrF"), *(_pair(found, at) for at in worst)]
    return Section("Best and worst sentences", [*blocks, heading("Best"), *(_pair(found, at) for at in best)])


def _pair(found: Examined, at: int, others: Mapping[str, Examined] | None = None) -> Markup:
    """A source, its reference, and the output of the run, or of each of some runs by name."""
    row, data = found.outputs[at], found.recipe.data
    lines = [("source", in_language(row["source"], data.source))]
    for name, each in (others or {"output": found}).items():
        reference, output = differences(row["reference"], each.outputs[at]["text"], unspaced=found.unspaced)
        if not others:
            lines.append(("reference", in_language(reference, data.target)))
        elif len(lines) == 1:
            lines.append(("reference", in_language(row["reference"], data.target)))
        label = f"{name}, chrF {each.quality[at]:.0f}"
        lines.append(
            (label, in_language(output, data.target) if output else Markup('<span class="soft">nothing</span>'))
        )
    return Markup('<dl class="pair">{}</dl>').format(
        join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*line) for line in lines)
    )


def differences(reference: str, output: str, *, unspaced: bool) -> tuple[Markup, Markup]:
    """A reference with `del` around the words that an output lacks, and the output with `ins` around its own."""
    split, glue = (list, "") if unspaced else (str.split, " ")
    left, right = split(reference), split(output)
    marked: tuple[list[Markup], list[Markup]] = [], []
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for side, words, form in ((0, left[a:b], "<del>{}</del>"), (1, right[c:d], "<ins>{}</ins>")):
            if words:
                marked[side].append(Markup("{}" if kind == "equal" else form).format(glue.join(words)))
    return Markup(glue).join(marked[0]), Markup(glue).join(marked[1])


def _alignments(found: Examined) -> Section:
    charts = [
        matrix(each.text, each.attention.tolist(), each.source_tokens, each.tokens)
        for each in found.aligned
        if each.attention is not None and each.tokens
    ]
    if not charts:
        return Section("Alignments", [paragraph("The model has no attention (model.attention is none).")])
    said = "For each target token, a row, how much of its attention each source token got."
    return Section("Alignments", [paragraph(said), figures(*charts)])


def compared(named: Mapping[str, Examined]) -> list[Section]:
    """Several translators side by side, the others against the first."""
    translated = {name: each for name, each in named.items() if each.outputs}
    tested = {row["run"]: row for row in compare([_comparable(*each) for each in translated.items()])}
    rows = []
    for name, each in named.items():
        scores, against = each.scores.get("scores", {}), ("–", "–")
        if test := tested.get(name):
            form = "+.2%" if test["metric"] == "exact_match" else "+.2f"
            against = format(test["difference"], form), f"{test['p_value']:.3f}"
        rows.append((name, each.scores.get("split", "–"), *(_interval(scores.get(key)) for key in SIGNED), *against))
    metric = next((SIGNED.get(row["metric"], "exact match") for row in tested.values()), "BLEU")
    said = (
        "p is the probability of so large a difference, in either direction, between systems of equal worth (paired"
        " bootstrap, Koehn 2004)."
    )
    headings = ("run", "scored on", *SIGNED.values(), f"{metric} against {next(iter(translated), 'the first')}", "p")
    logs = {name: Metrics(each.run.metrics).read() for name, each in named.items()}
    curves = curves_of_runs(logs, "nats_per_token", "nats per target token")
    blocks = [table(headings, rows), paragraph(said), figures(curves)]
    if tested:
        two = next(iter(translated)), next(iter(tested))
        blocks += _largest_differences({name: named[name] for name in two})
    return [Section("Side by side", blocks)]


def _largest_differences(two: Mapping[str, Examined]) -> list[Markup]:
    (first, one), (second, other) = two.items()
    gains = [b - a for a, b in zip(one.quality, other.quality, strict=True)]
    order = sorted(range(len(gains)), key=lambda at: gains[at])
    blocks = []
    for name, places in ((first, order[:SHOWN_BEST]), (second, order[::-1][:SHOWN_BEST])):
        sign = 1 if name == second else -1
        shown = [at for at in places if sign * gains[at] > 0]
        if shown:
            blocks += [heading(f"Where {name} is better by most chrF"), *(_pair(one, at, two) for at in shown)]
    return blocks


def _comparable(name: str, found: Examined) -> dict[str, Any]:
    """A result as `compare` reads it."""
    sources, references, texts = ([row[key] for row in found.outputs] for key in ("source", "reference", "text"))
    tags = [row.get("tag") for row in found.outputs]
    return {
        "run": name,
        "hypotheses": texts,
        "references": references,
        "right": [answer.exact for answer in answers(sources, texts, references, tags)],
        "tokenize": found.tokenize,
        "data": {"short_references": short_share(references, found.tokenize)},
    }


def _interval(score: Mapping[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "–"
    return f"{score['value']:.1f} ({score['low']:.1f} to {score['high']:.1f})"
