"""Given targets under a translator or an ensemble, by forced decoding, and targets sampled from it token by token."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2s.nn.loss import LineScore, nats_of_each
from s2s.nn.recurrent import positions_valid
from s2s.text.batches import Batch, collate
from s2s.text.special import PAD, START, UNKNOWN
from s2s.text.tokenizer import framed
from s2s.translation.engine import engine_of
from s2s.translation.model import Seq2Seq
from s2s.translation.outputs import BLANK, Translation
from s2s.translation.search.hypotheses import Sampling, SearchOptions
from s2s.translation.translator import Translator

WINDOW = 16
"""Target positions whose attention exists at one time."""


def score_given(translator: Translator, pairs: Sequence[tuple[str, str]], tag: str | None = None) -> list[LineScore]:
    """Scores of the targets, each with its END, by the probabilities that a search has for them.

    They are neither normalised by length nor held to what a search may say. A pair with a blank side has no tokens.
    """
    engine, results = engine_of(translator), [LineScore(0.0, 0, 0)] * len(pairs)
    engine.compute.require_floats("the score of a given pair")
    translator.line_tags(tag, len(pairs))
    read = [translator.reading.given(*pair) for pair in pairs]
    encoded = [(translator.encode(source, tag), translator.target.encode(target)) for source, target in read]
    blank = [not (source.strip() and target.strip()) for source, target in pairs]
    lengths = [0 if left else max(map(len, sides)) for left, sides in zip(blank, encoded, strict=True)]
    for group in translator.groups(lengths):
        batch = collate(*zip(*(encoded[index] for index in group), strict=True)).to(engine.compute.device)
        with engine.entered(), engine.compute.autocast():
            members = torch.stack([_log_probabilities(model, batch) for model in engine.models])
            together = (members.logsumexp(0) - math.log(len(members))).cpu()
        each = torch.split(together, batch.target_lengths.tolist())
        for index, log_probabilities in zip(group, each, strict=True):
            unknown = encoded[index][1].count(UNKNOWN)
            results[index] = LineScore(-float(log_probabilities.sum()), len(log_probabilities), unknown)
    return results


def _log_probabilities(model: Seq2Seq, batch: Batch) -> Tensor:
    """(N,), of the tokens of all targets, one target after the other."""
    state, memory = model.begin(batch.source, batch.source_lengths)
    readouts = []
    for inputs in torch.split(batch.inputs, WINDOW, dim=1):
        readout, _, state = model.decoder(inputs, state, memory)
        readouts.append(readout)
    valid = positions_valid(batch.target_lengths, batch.targets.shape[1], batch.targets.device)
    return -nats_of_each(torch.cat(readouts, dim=1)[valid], batch.targets[valid], model.decoder.logits)


def sample(
    translator: Translator,
    lines: Sequence[str],
    *,
    seed: int,
    first: int = 0,
    temperature: float = 1.0,
    tag: str | None = None,
) -> list[Translation]:
    """A translation of each line, sampled from the model token by token, with the flag `truncated`.

    The lines are numbered from `first`, and a line's random numbers depend on the seed and its number alone. The
    temperature is above 0; of [decoding] only the longest output holds.
    """
    engine, results, target = engine_of(translator), [BLANK] * len(lines), translator.target
    translator.line_tags(tag, len(lines))
    options = SearchOptions(forbidden=(PAD, START, UNKNOWN, *target.symbols.values()))
    read = [translator.reading.alone(line) for line in lines]
    sentences = [framed(translator.encode(each.text, tag)) if each.text.strip() else [] for each in read]
    for group in translator.groups([len(tokens) for tokens in sentences]):
        longest = [translator.decoding.longest_output(len(sentences[index]) - (tag is not None)) for index in group]
        seeds = [np.random.PCG64([seed, first + index]) for index in group]
        draws = np.stack([np.random.Generator(each).random(max(longest)) for each in seeds])
        limits: dict[str, Any] = {"longest": longest, "shortest": [0] * len(group), "beam": 1, "nbest": 1}
        sources, sampling = [sentences[index] for index in group], Sampling(draws, temperature)
        with engine.entered():
            found = engine.search(sources, options, **limits, sampling=sampling)
        for index, (best,) in zip(group, found, strict=True):
            output, flags = target.decode(best.tokens), ("truncated",) if best.truncated else ()
            text = read[index].filled(output) if read[index].keeps_all(output) else ""  # one of no use
            results[index] = Translation(text, best.score, best.log_probability, flags)
    return results
