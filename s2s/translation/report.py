"""What the report of a translator shows: its outputs for test pairs, their references, and what training has seen."""

import logging
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray

from s2s.corpus.sources import Part
from s2s.errors import S2SError
from s2s.figures.calibration import Calibration, calibration
from s2s.figures.charts import bar_chart
from s2s.nn.recurrent import positions_valid
from s2s.run import RunFolder, scored
from s2s.text.batches import collate
from s2s.translation.answers import answers
from s2s.translation.bleu import bleu_tokenizer, bucket_of, sentence_chrf, short_share
from s2s.translation.comparison import compare, comparison_text
from s2s.translation.engine import TorchEngine
from s2s.translation.evaluation import part_of, score
from s2s.translation.outputs import Translation
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.scores import failures, remarks_on
from s2s.translation.translator import Translator

log = logging.getLogger("s2s")
CURVES = ("nats_per_token", "nats per target token"), {"bleu": "BLEU", "chrf": "chrF"}
"""Loss and scores of the validations, by key."""
SHOWN_WORST, SHOWN_BEST, SHOWN_FAILED = 8, 4, 3
VALIDATION_PAIRS = 100
"""Pairs of the validation part that are translated for a run without test pairs."""
COUNTED_PAIRS = 20_000
"""Training pairs whose target words are counted."""
JUDGED_PAIRS = 1_000
"""Outputs of which chrF is computed, one by one."""
PREDICTED_TOKENS, PREDICTED_ROWS = 2_000, 64
"""Target tokens whose predictions are compared with their probabilities, and pairs of a batch of them."""
ALIGNED, ALIGNED_TOKENS = 3, (4, 14)
"""Sentences whose alignments are kept, and the fewest and most source tokens of one."""
FREQUENCIES = ((0, 0), (1, 1), (2, 5), (6, 20), (21, 100), (101, 500), (501, None))
"""First and last frequency of words that are counted together."""
EDGES = string.punctuation + "…。、，．！？：；「」『』（）“”„‘’«»‹›–—¿¡"
"""What is not counted as a part of a word at its ends."""


class Examined(NamedTuple):
    """A run with its translations."""

    recipe: TranslationRecipe
    scores: Mapping[str, Any]
    """as in scores.json; empty where the run could not be scored"""
    outputs: Sequence[Mapping[str, Any]]
    """as in outputs.jsonl"""
    judged: Sequence[Mapping[str, Any]]
    """outputs with their chrF; of many, evenly spaced ones"""
    frequencies: Counter[str] | None
    """of the words of training targets; None where the training pairs are not at hand"""
    calibration: Calibration | None
    """of the most probable tokens after references"""
    aligned: Sequence[Translation]
    """with attention"""
    remarks: Sequence[str]
    tokenize: str = "none"
    """BLEU's tokenizer for the references"""
    unspaced: bool = False
    """whether the words of the target language are its characters"""


def examine(run: RunFolder, recipe: TranslationRecipe, corpora: Path | None, device: str) -> Examined:
    """The translations that scoring left in a run, or else new ones, and what else its model shows.

    A run without test pairs is examined on some validation pairs. Where data are missing, a remark says what is left
    out for that.
    """
    (scores, outputs), remarks = scored(run), list[str]()
    part: Part | None = None
    try:
        on = "validation" if recipe.data.test is None else None
        part = part_of(run, recipe, on=on, files=None, beam=None, corpora=corpora)
        if on:
            part, remark = _some(part)
            remarks.append(remark)
        if len(outputs) != scores.get("examples"):
            scores = score(run, recipe, part, device=device, precision="float32", beam=None)
            outputs = scores["outputs"]
    except S2SError as problem:
        outputs = outputs if len(outputs) == scores.get("examples") else []
        log.warning("%s", problem)  # it may name folders of this machine, which a page handed on should not
        remarks.append("What needs the data of the recipe is left out: they could not be read.")
    if not outputs:
        return Examined(recipe, scores, [], [], None, None, [], remarks)
    translator = Translator.load(run.path, device=device)
    some = outputs[:: -(-len(outputs) // JUDGED_PAIRS)]
    quality = sentence_chrf(*([row[side] for row in some] for side in ("text", "reference")))
    judged = [{**row, "chrf": chrf} for row, chrf in zip(some, quality, strict=True)]
    least, most = ALIGNED_TOKENS
    fitting = [row for row in outputs if least <= row["source_tokens"] <= most] or [outputs[0]]
    drawn = fitting[:: -(-len(fitting) // ALIGNED)][:ALIGNED]
    tags = [row.get("tag") for row in drawn]
    aligned = translator.translate([row["source"] for row in drawn], attention=True, tag=tags)
    calibrated = calibration(*predictions(translator, outputs))
    choice = bleu_tokenizer(recipe, [row["reference"] for row in outputs])
    counted = frequencies(part, choice.unspaced)
    return Examined(
        recipe, scores, outputs, judged, counted, calibrated, aligned, remarks, choice.tokenizer, choice.unspaced
    )


def _some(part: Part) -> tuple[Part, str]:
    """Evenly spaced pairs of a part, and a remark on that."""
    parts = part.source.parts or (part.source,)
    pairs = [(pair, each) for each in parts for pair in each.read()]
    some = pairs[:: -(-len(pairs) // VALIDATION_PAIRS) or 1]
    remark = (
        f"The recipe names no test pairs, so {len(some):,} of the {len(pairs):,} validation pairs are shown. The"
        " weights were chosen on these, so the scores are a little too good."
    )
    kept = [[pair for pair, of in some if of is each] for each in parts]
    thinned = tuple(each._replace(read=partial(iter, few)) for each, few in zip(parts, kept, strict=True))
    return part._replace(
        source=part.source._replace(read=lambda: iter(pair for pair, _ in some), parts=thinned)
    ), remark


def words_of(line: str, unspaced: bool) -> list[str]:
    """Words without punctuation at their ends; of a language without spaces the characters."""
    words = list(line) if unspaced else line.split()
    return [word for word in (word.strip(EDGES) for word in words) if word.strip()]


def frequencies(part: Part | None, unspaced: bool) -> Counter[str] | None:
    """How often each word stands in the training targets of a part; None where they cannot be read."""
    if part is None or part.training is None:
        return None
    written: Counter[str] = Counter()
    try:
        for _, target in islice(part.training.read(), COUNTED_PAIRS):
            written.update(target if unspaced else target.split())
    except S2SError as problem:
        log.warning("how often words stand in the training pairs cannot be counted: %s", problem)
        return None
    found: Counter[str] = Counter()
    for written_word, times in written.items():  # each is stripped once
        found.update(dict.fromkeys(words_of(written_word, unspaced), times))
    return found


def recall_by_frequency(
    pairs: Sequence[tuple[str, str]], frequencies: Counter[str], *, unspaced: bool
) -> list[tuple[str, int, int]]:
    """(output, reference) pairs -> range of training frequency, reference words in it, and those found in the output.

    A word that stands twice in a reference is found twice only where it stands twice in the output.
    """
    counts = [[0, 0] for _ in FREQUENCIES]
    for output, reference in pairs:
        wanted, given = (Counter(words_of(line, unspaced)) for line in (reference, output))
        for word, times in wanted.items():
            often = frequencies[word]
            place = next(k for k, (_, last) in enumerate(FREQUENCIES) if last is None or often <= last)
            counts[place][0] += times
            counts[place][1] += min(times, given[word])
    names = [_range(*each) for each in FREQUENCIES]
    return [(name, words, right) for name, (words, right) in zip(names, counts, strict=True) if words]


def _range(low: int, high: int | None) -> str:
    if high is None:
        return f">{low - 1}"
    return "never" if not high else str(low) if low == high else f"{low}–{high}"


@torch.inference_mode()
def predictions(
    translator: Translator, outputs: Sequence[Mapping[str, Any]]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Highest probability (N,) after each prefix of references, and whether its token is the reference's (N,).

    `outputs` are as in outputs.jsonl; of many, evenly spaced ones are read, some PREDICTED_TOKENS tokens.
    """
    engine = translator.engine
    assert isinstance(engine, TorchEngine), "a run folder is opened with torch"
    model, device = engine.models[0], engine.compute.device
    encoded = []
    for row in outputs:
        source, reference = translator.reading.masked_pair(row["source"], row["reference"])
        encoded.append((translator.encode(source, row.get("tag")), translator.target.encode(reference)))
    tokens = sum(len(target) + 1 for _, target in encoded)
    chosen = sorted(encoded[:: -(-tokens // PREDICTED_TOKENS) or 1], key=lambda pair: len(pair[1]))
    probabilities, right = [], []
    with engine.compute.entered():
        for begin in range(0, len(chosen), PREDICTED_ROWS):
            batch = collate(*zip(*chosen[begin : begin + PREDICTED_ROWS], strict=True)).to(device)
            readout = model(batch.source, batch.source_lengths, batch.inputs).readout
            valid = positions_valid(batch.target_lengths, batch.targets.shape[1], device)
            found = model.decoder.logits(readout[valid]).float().softmax(dim=-1).max(dim=-1)
            probabilities.append(found.values.cpu().numpy())
            right.append((found.indices == batch.targets[valid]).cpu().numpy())
    return np.concatenate(probabilities), np.concatenate(right)


def shown(found: Examined) -> dict[str, Any]:
    """What report-translation.html shows of one run, besides what was found."""
    said = list(remarks_on(found.scores.get("data", {})))
    if not found.outputs:
        return {"said_on_scores": said}
    split = list if found.unspaced else str.split
    failed = failures(*([row[key] for row in found.outputs] for key in ("source", "text")), split=split)
    failed["truncated"] = ["truncated" in row["flags"] for row in found.outputs]
    rows = {
        name: [row for row, fails in zip(found.outputs, each, strict=True) if fails] for name, each in failed.items()
    }
    order = sorted(found.judged, key=lambda row: (row["chrf"], len(row["reference"])))
    worst = [row for row in order[:SHOWN_WORST] if row["text"] != row["reference"]]
    best = [row for row in order[::-1] if row not in worst][:SHOWN_BEST]
    return {
        "said_on_scores": said,
        "by_length": _by_length(found),
        "by_frequency": _by_frequency(found),
        "failures": {name: len(each) for name, each in rows.items()},
        "sentences": [
            *((name, [_pair(row, found) for row in each[:SHOWN_FAILED]]) for name, each in rows.items()),
            ("worst, by chrF", [_pair(row, found) for row in worst]),
            ("best", [_pair(row, found) for row in best]),
        ],
        "exact": sum(row["text"] == row["reference"] for row in found.outputs),
        "aligned": [each for each in found.aligned if each.attention is not None and each.tokens],
    }


def _by_length(found: Examined) -> dict[str, Any]:
    """Mean chrF of a sentence by source length, and the BLEU of all."""
    judged: dict[str, list[float]] = {}
    for row in found.judged:
        judged.setdefault(bucket_of(row["source_tokens"]), []).append(row["chrf"])
    means = {name: sum(each) / len(each) for name, each in judged.items()}
    rows = [{**row, "chrf": means.get(row["source_tokens"])} for row in found.scores["by_length"]]
    axes, bars = ("source tokens", "mean chrF"), [(row["source_tokens"], row["chrf"]) for row in rows]
    return {"rows": rows, "chart": bar_chart("Quality by source length", axes, bars, 100.0)}


def _by_frequency(found: Examined) -> dict[str, Any] | None:
    """How many of the references' words the outputs have, by how often training has them."""
    if found.frequencies is None:
        return None
    unit = "characters" if found.unspaced else "words"
    pairs = [(row["text"], row["reference"]) for row in found.outputs]
    rows = recall_by_frequency(pairs, found.frequencies, unspaced=found.unspaced)
    title, axes = f"{unit} of the references that the output has".capitalize(), ("times in training", "% found")
    chart = bar_chart(title, axes, [(name, 100 * right / words) for name, words, right in rows], 100.0)
    return {"chart": chart, "unit": unit, "rows": rows, "pairs": COUNTED_PAIRS}


def _pair(row: Mapping[str, Any], found: Examined) -> dict[str, Any]:
    """A source, its reference and its output, with their differences marked."""
    reference, output = differences(row["reference"], row["text"], unspaced=found.unspaced)
    return {**row, "reference": reference, "text": output}


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


def compared(named: Mapping[str, Examined]) -> list[str]:
    """Each translator against the first, in a sentence."""
    found = compare([_comparable(name, each) for name, each in named.items() if each.outputs])
    said = "p: probability of so large a difference, in either direction, between equal systems (Koehn 2004)."
    return [*map(comparison_text, found), said] if found else []


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
