"""Speed of translating: sentences a second and latency, compared with the textbook's one sentence at a time."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from s2s.benchmark.rates import alternate, seconds_of, timed
from s2s.benchmark.textbook import Textbook
from s2s.device import Compute
from s2s.errors import RunError
from s2s.text.special import framed
from s2s.translation.scores import quick_bleu, tokenization_for
from s2s.translation.translator import EXTRA_TOKENS, Translator

RATE = "_sentences_per_second"
SENTENCES = 1000
"""Sentences to translate, of the test set, or without one of the validation set."""
TEXTBOOK_SENTENCES = 40
LATENCY_SENTENCES = 100
BLOCK = 10
"""Lines that one way translates before the next way's turn, so that each has its own weights in the caches."""
BATCHES = (64, 128, 256, 512)
"""Lines searched together, of which the fastest is reported."""
TRIALS = 3
"""Trials of each size, of which the fastest counts."""
BEAM = 5
ROUNDS = 5
COLD_STARTS = 5
Translate = Callable[[str], object]


class Text(NamedTuple):
    """Sentences to translate, with references."""

    sources: Sequence[str]
    references: Sequence[str]
    language: str
    """of the references"""


def bench_decoding(translator: Translator, text: Text) -> dict[str, Any]:
    """The `decoding` part of the result but for the cold start."""
    lines = text.sources
    best = _best_batch(translator, lines)
    one = translator.with_batch(1)
    few, waited = (_spread(lines, count) for count in (TEXTBOOK_SENTENCES, LATENCY_SENTENCES))
    textbook = _textbook(translator, few)
    compute, own = translator.compute, partial(_translate_one, one)
    ways = {
        "greedy" + RATE: timed(len(lines), partial(best.translate, lines, beam=1), compute),
        "textbook" + RATE: timed(len(few), lambda: [textbook(line) for line in few], compute),
        "beam5" + RATE: timed(len(lines), partial(best.translate, lines, beam=BEAM), compute),
        "batch1" + RATE: timed(len(few), lambda: [own(line) for line in few], compute),
    }
    waiting: dict[str, Translate] = {"own": own, "textbook": textbook}
    lower = best.in_precision("auto")
    lower_one = lower.with_batch(1)
    if reduced := lower.compute.dtype != best.compute.dtype:
        lower = _best_batch(lower, lines)
        ways["bfloat16_greedy" + RATE] = lambda: (
            len(lines),
            seconds_of(lambda: lower.translate(lines, beam=1), compute),
        )
        waiting["bfloat16"] = partial(_translate_one, lower_one)
    rates = alternate(ways, ROUNDS)
    tokens = sum(len(found.tokens) for found in best.translate(lines, beam=1))
    greedy, slow, wide = (rates[name + RATE] for name in ("greedy", "textbook", "beam5"))
    waits = _waits(waiting, waited, compute)
    patience = median(waits["textbook"])
    result = {
        "sentences": len(lines),
        "batch_lines": best.decoding.batch_lines,
        "greedy" + RATE: greedy.median,
        "greedy_target_tokens_per_second": greedy.median * tokens / len(lines),
        "beam5" + RATE: wide.median,
        "beam5_time_over_greedy": greedy.over(wide),
        "batch1" + RATE: rates["batch1" + RATE].median,
        "textbook" + RATE: slow.median,
        "ratio": greedy.over(slow),
        "latency_ms": _latency(waits["own"]),
        "textbook_latency_ms": _latency(waits["textbook"]),
        "latency_ratio": patience / median(waits["own"]),
        "spread": {name: rate.as_json() for name, rate in rates.items()},
    }
    if reduced:
        fast = rates["bfloat16_greedy" + RATE]
        result["bfloat16"] = {
            "batch_lines": lower.decoding.batch_lines,
            "greedy" + RATE: fast.median,
            "ratio": fast.over(slow),
            **_difference(best, lower, text),
            "batch1": {  # which may round otherwise
                "latency_ms": _latency(waits["bfloat16"]),
                "latency_ratio": patience / median(waits["bfloat16"]),
                **_difference(best, lower_one, text),
            },
        }
    return result


def _translate_one(translator: Translator, line: str) -> object:
    return translator.translate([line], beam=1)


def _spread(lines: Sequence[str], count: int) -> list[str]:
    """That many lines, evenly spaced."""
    return [lines[index] for index in np.linspace(0, len(lines) - 1, min(count, len(lines))).astype(int)]


def _best_batch(translator: Translator, lines: Sequence[str]) -> Translator:
    """A translator with the fastest number of lines searched together."""
    candidates = [translator.with_batch(size) for size in BATCHES]
    candidates[0].translate(lines[: BATCHES[0]], beam=1)
    found: list[tuple[float, int]] = []
    for _ in range(TRIALS):  # in turn, so that a slow moment of the machine does not decide
        for number, candidate in enumerate(candidates):
            found.append((seconds_of(partial(candidate.translate, lines, beam=1), translator.compute), number))
    return candidates[min(found)[1]]


def _textbook(translator: Translator, lines: Sequence[str]) -> Callable[[str], str]:
    model = Textbook(translator.models[0]).eval()
    ratio = translator.decoding.max_length_ratio

    def translate(line: str) -> str:
        tokens = framed(translator.source.encode(line))
        return translator.target.decode(model.greedy(tokens, int(len(tokens) * ratio) + EXTRA_TOKENS))

    for line in lines[:3]:
        translate(line)
    return translate


def _waits(ways: Mapping[str, Translate], lines: Sequence[str], compute: Compute) -> dict[str, list[float]]:
    """Milliseconds of each way for each line, in blocks; the first of a block is translated once before."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for first in range(0, len(lines), BLOCK):
        for name, translate in ways.items():
            translate(lines[first])
            block = lines[first : first + BLOCK]
            found[name] += [1000 * seconds_of(partial(translate, line), compute) for line in block]
    return found


def _latency(waits: Sequence[float]) -> dict[str, float]:
    return {"p50": median(waits), "p95": float(np.quantile(waits, 0.95))}


def _difference(one: Translator, other: Translator, text: Text) -> dict[str, float]:
    """BLEU of two precisions, and the share of lines in which they differ."""
    translations = [[found.text for found in each.translate(text.sources, beam=1)] for each in (one, other)]
    tokenize = tokenization_for(text.language)
    before, after = (quick_bleu(each, text.references, tokenize) for each in translations)
    changed = sum(a != b for a, b in zip(*translations, strict=True))
    return {"bleu": after, "float32_bleu": before, "changed_lines_share": changed / len(text.sources)}


def cold_start(run: Path, line: str, compute: Compute) -> dict[str, float]:
    """Seconds from the start of `s2s translate` to its end for one line, and those of `import torch` alone."""
    translate = [sys.executable, "-m", "s2s", "translate", str(run), "--device", str(compute.device)]
    alone = [sys.executable, "-c", "import torch"]
    found: dict[str, list[float]] = {"cold_start_seconds": [], "import_torch_seconds": []}
    for number in range(COLD_STARTS + 1):
        for name, command in (("cold_start_seconds", translate), ("import_torch_seconds", alone)):
            begin = time.perf_counter()
            ended = subprocess.run(command, input=line + "\n", capture_output=True, text=True, check=False)
            if ended.returncode:
                said = ended.stderr.strip().splitlines()[-1:] or ["nothing was said"]
                raise RunError(f"bench: `{' '.join(command[1:])}` ended with {ended.returncode}: {said[0]}")
            if number:  # the first brings the files into memory
                found[name].append(time.perf_counter() - begin)
    medians = {name: median(seconds) for name, seconds in found.items()}
    return {**medians, "cold_start_over_import": medians["cold_start_seconds"] / medians["import_torch_seconds"]}
