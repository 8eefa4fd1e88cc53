"""What the report of a translator shows."""

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from markupsafe import Markup

from s2s.figures.charts import bar_chart
from s2s.figures.curves import curves_of_runs, training
from s2s.run import Metrics
from s2s.translation.answers import answers
from s2s.translation.comparison import compare
from s2s.translation.examine import COUNTED_PAIRS, Examined, recall_by_frequency
from s2s.translation.examine import examine as examine  # what a report module answers
from s2s.translation.scores import bucket_of, failures, remarks_on, short_share

SIGNED = {"bleu": "BLEU", "chrf": "chrF"}
"""Scores with signatures, by their key."""
SHOWN_WORST, SHOWN_BEST, SHOWN_FAILED = 8, 4, 3
MEANINGS = {
    "loops": "some words stand three times in a row",
    "empty": "nothing was written for a source with words",
    "copied": "the source again, at least two words of it",
    "truncated": "cut off at the longest output that is allowed",
}
"""Of each failure."""


def shown(found: Examined) -> dict[str, Any]:
    """What report-translation.html shows of one run, besides what was found."""
    scores = found.scores.get("scores", {})
    plain = [(name.replace("_", " "), f"{scores[name]['value']:.1%}", "") for name in scores if name not in SIGNED]
    curves = training(Metrics(found.run.metrics).read(), ("nats_per_token", "nats per target token"), SIGNED)
    values = {
        "score_rows": [*((title, *_interval(scores.get(name))) for name, title in SIGNED.items()), *plain],
        "said_on_scores": list(remarks_on(found.scores.get("data", {}))),
        "training": curves,
    }
    if not found.outputs:
        return values
    split = list if found.unspaced else str.split
    failed = failures(*([row[key] for row in found.outputs] for key in ("source", "text")), split=split)
    failed["truncated"] = ["truncated" in row["flags"] for row in found.outputs]
    order = sorted(found.judged, key=lambda row: (row["chrf"], len(row["reference"])))
    worst = [row for row in order[:SHOWN_WORST] if row["text"] != row["reference"]]
    best = [row for row in order[::-1] if row not in worst][:SHOWN_BEST]
    counts = {name: sum(each) for name, each in failed.items()}
    return {
        **values,
        "by_length": _by_length(found),
        "by_frequency": _by_frequency(found),
        "failure_rows": [
            (name, f"{count:,}", f"{count / len(found.outputs):.1%}", MEANINGS[name]) for name, count in counts.items()
        ],
        "failed": {
            name: [_pair(row, found) for row, fails in zip(found.outputs, each, strict=True) if fails][:SHOWN_FAILED]
            for name, each in failed.items()
        },
        "exact": sum(row["text"] == row["reference"] for row in found.outputs),
        "worst": [_pair(row, found) for row in worst],
        "best": [_pair(row, found) for row in best],
        "aligned": [each for each in found.aligned if each.attention is not None and each.tokens],
    }


def _interval(score: Mapping[str, Any] | None) -> tuple[str, str]:
    """A score and its interval."""
    if score is None or score["value"] is None:
        return "–", "" if score is None else "most references are too short for it"
    return f"{score['value']:.1f}", f"{score['low']:.1f} to {score['high']:.1f}"


def _by_length(found: Examined) -> dict[str, Any]:
    """Scores by source length: BLEU in the chart, or chrF where BLEU cannot tell."""
    buckets: dict[str, list[float]] = {}
    for row in found.judged:
        buckets.setdefault(bucket_of(row["source_tokens"]), []).append(row["chrf"])
    means = {name: sum(each) / len(each) for name, each in buckets.items()}
    lengths = found.scores["by_length"]
    bleu = {row["source_tokens"]: row["bleu"] for row in lengths}
    told = any(value is not None for value in bleu.values())
    values, unit = (bleu, "BLEU") if told else ({name: means.get(name) for name in bleu}, "mean chrF of a sentence")
    rows = [
        (
            name := row["source_tokens"],
            f"{row['examples']:,}",
            *("–" if value is None else f"{value:.1f}" for value in (row["bleu"], means.get(name))),
            f"{row['length_ratio']:.3f}",
        )
        for row in lengths
    ]
    chart = bar_chart(f"{unit} by source length", ("source tokens", unit), list(values.items()), 100.0)
    return {"chart": chart, "rows": rows}


def _by_frequency(found: Examined) -> dict[str, Any] | None:
    """How many of the references' words the outputs have, by how often training has them."""
    if found.frequencies is None:
        return None
    unit = "characters" if found.unspaced else "words"
    pairs = [(row["text"], row["reference"]) for row in found.outputs]
    recall = recall_by_frequency(pairs, found.frequencies, unspaced=found.unspaced)
    title, axes = f"{unit} of the references that the output has", ("times in training targets", "% found")
    chart = bar_chart(title.capitalize(), axes, [(name, 100 * right / words) for name, words, right in recall], 100.0)
    rows = [(name, f"{words:,}", f"{right:,}", f"{right / words:.1%}") for name, words, right in recall]
    return {"chart": chart, "unit": unit, "rows": rows, "pairs": COUNTED_PAIRS}


def _pair(row: Mapping[str, Any], found: Examined, others: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
    """A source, its reference, and the output of the run, or of each of some runs by name, with differences marked."""
    outputs, reference = [], row["reference"]
    for name, each in (others or {"output": row}).items():
        marked, output = differences(row["reference"], each["text"], unspaced=found.unspaced)
        outputs.append((f"{name}, chrF {each['chrf']:.0f}" if "chrf" in each else name, output))
        reference = reference if others else marked
    return {"source": row["source"], "reference": reference, "outputs": outputs}


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


def compared(named: Mapping[str, Examined]) -> dict[str, Any]:
    """What report-compared.html shows of several translators, the others against the first."""
    translated = {name: each for name, each in named.items() if each.outputs}
    tested = {row["run"]: row for row in compare([_comparable(*each) for each in translated.items()])}
    rows, metric = [], "BLEU"
    for name, each in named.items():
        scores, against = each.scores.get("scores", {}), ("–", "–")
        if test := tested.get(name):
            form, metric = ("+.2%", "exact match") if test["metric"] == "exact_match" else ("+.2f", "BLEU")
            against = format(test["difference"], form), f"{test['p_value']:.3f}"
        cells = ["{} ({})".format(*_interval(scores[key])) if key in scores else "–" for key in SIGNED]
        rows.append((name, each.scores.get("split", "–"), *cells, *against))
    said = (
        "p is the probability of so large a difference, in either direction, between systems of equal worth (paired"
        " bootstrap, Koehn 2004)."
    )
    first = next(iter(translated), "the first")
    logs = {name: Metrics(each.run.metrics).read() for name, each in named.items()}
    return {
        "headings": ("run", "scored on", *SIGNED.values(), f"{metric} against {first}", "p"),
        "rows": rows,
        "said": said,
        "curves": curves_of_runs(logs, "nats_per_token", "nats per target token"),
        "examples": _largest_differences({name: translated[name] for name in (first, *list(tested)[:1])})
        if tested
        else [],
        "data": next(iter(named.values())).recipe.data,
    }


def _largest_differences(two: Mapping[str, Examined]) -> list[tuple[str, list[Any]]]:
    """For each of two runs, the sentences whose chrF it is better in by most."""
    names, found = list(two), next(iter(two.values()))
    both = [dict(zip(names, rows, strict=True)) for rows in zip(*(each.judged for each in two.values()), strict=True)]
    examples = []
    for better, worse in (names, names[::-1]):
        ahead = sorted(both, key=lambda rows: rows[worse]["chrf"] - rows[better]["chrf"])[:SHOWN_BEST]
        pairs = [_pair(rows[better], found, rows) for rows in ahead if rows[better]["chrf"] > rows[worse]["chrf"]]
        examples.append((better, pairs))
    return examples


def _comparable(name: str, found: Examined) -> dict[str, Any]:
    """A result as `compare` reads it."""
    sources, references, texts = ([row[key] for row in found.outputs] for key in ("source", "reference", "text"))
    return {
        "run": name,
        "hypotheses": texts,
        "references": references,
        "right": [answer.exact for answer in answers(sources, texts, references)],
        "tokenize": found.tokenize,
        "data": {"short_references": short_share(references, found.tokenize)},
    }
