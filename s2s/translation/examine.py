"""What a translator gives for test pairs, and how that compares with their references and its training pairs."""

import logging
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from s2s.corpus.find import Part
from s2s.errors import S2SError
from s2s.figures.calibration import Bin, bins_of
from s2s.nn.recurrent import positions_valid
from s2s.run import RunFolder, scored
from s2s.text.batches import collate
from s2s.translation.engine import TorchEngine
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.scores import bleu_tokenizer, sentence_chrf
from s2s.translation.task import part_of, score
from s2s.translation.translator import Translation, Translator

log = logging.getLogger("s2s")
VALIDATION_PAIRS = 100
"""Pairs of the validation part that are translated for a run without test pairs."""
COUNTED_PAIRS = 50_000
"""Training pairs whose target words are counted."""
PREDICTED_TOKENS = 4_000
"""Target tokens whose predictions are compared with their probabilities."""
ALIGNED, ALIGNED_TOKENS = 3, (4, 14)
"""Sentences whose alignments are kept, and the fewest and most source tokens of one."""
FREQUENCIES = ((0, 0), (1, 1), (2, 5), (6, 20), (21, 100), (101, 500), (501, None))
"""First and last frequency of words that are counted together."""
EDGES = string.punctuation + "…。、，．！？：；「」『』（）“”„‘’«»‹›–—¿¡"
"""What is not counted as a part of a word at its ends."""


class Examined(NamedTuple):
    """A run with its translations."""

    run: RunFolder
    recipe: TranslationRecipe
    scores: Mapping[str, Any]
    """as in scores.json; empty where the run could not be scored"""
    outputs: Sequence[Mapping[str, Any]]
    """as in outputs.jsonl"""
    quality: Sequence[float]
    """chrF of each"""
    frequencies: Counter[str] | None
    """of the words of training targets; None where the training pairs are not at hand"""
    bins: Sequence[Bin]
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
        return Examined(run, recipe, scores, [], [], None, [], [], remarks)
    translator = Translator.load(run.path, device=device)
    quality = sentence_chrf(*([row[side] for row in outputs] for side in ("text", "reference")))
    least, most = ALIGNED_TOKENS
    fitting = [row for row in outputs if least <= row["source_tokens"] <= most] or [outputs[0]]
    some = fitting[:: -(-len(fitting) // ALIGNED)][:ALIGNED]
    tags = [row.get("tag") for row in some]
    aligned = translator.translate([row["source"] for row in some], attention=True, tag=tags)
    bins = bins_of(*predictions(translator, outputs))
    choice = bleu_tokenizer(recipe, [row["reference"] for row in outputs])
    counted = frequencies(part, choice.unspaced)
    return Examined(
        run, recipe, scores, outputs, quality, counted, bins, aligned, remarks, choice.tokenizer, choice.unspaced
    )


def _some(part: Part) -> tuple[Part, str]:
    """Evenly spaced pairs of a part, and a remark on that."""
    pairs = list(part.source.read())
    some = pairs[:: -(-len(pairs) // VALIDATION_PAIRS) or 1]
    remark = (
        f"The recipe names no test pairs, so {len(some):,} of the {len(pairs):,} validation pairs are shown. The"
        " weights were chosen on these, so the scores are a little too good."
    )
    return part._replace(source=part.source._replace(read=lambda: some)), remark


def words_of(line: str, unspaced: bool) -> list[str]:
    """Words without punctuation at their ends; of a language without spaces the characters."""
    words = list(line) if unspaced else line.split()
    return [word for word in (word.strip(EDGES) for word in words) if word.strip()]


def frequencies(part: Part | None, unspaced: bool) -> Counter[str] | None:
    """How often each word stands in the training targets of a part; None where they cannot be read."""
    if part is None or part.training is None:
        return None
    try:
        written: Counter[str] = Counter()
        for _, target in islice(part.training.read(), COUNTED_PAIRS):
            written.update(target if unspaced else target.split())
        found: Counter[str] = Counter()
        for word, times in written.items():  # each is stripped once
            found.update(dict.fromkeys(words_of(word, unspaced), times))
        return found
    except S2SError as problem:
        log.warning("how often words stand in the training pairs cannot be counted: %s", problem)
        return None


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
    chosen = sorted(encoded[:: -(-tokens // PREDICTED_TOKENS) or 1], key=lambda pair: len(pair[0]))
    probabilities, right = [], []
    with engine.compute.entered():
        for begin in range(0, len(chosen), 64):
            batch = collate(*zip(*chosen[begin : begin + 64], strict=True)).to(device)
            readout = model(batch.source, batch.source_lengths, batch.inputs).readout
            valid = positions_valid(batch.target_lengths, batch.targets.shape[1], device)
            found = model.decoder.logits(readout[valid]).float().softmax(dim=-1).max(dim=-1)
            probabilities.append(found.values.cpu().numpy())
            right.append((found.indices == batch.targets[valid]).cpu().numpy())
    return np.concatenate(probabilities), np.concatenate(right)
