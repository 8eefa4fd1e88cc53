"""Speed of translating: sentences a second and latency, compared with the textbook's one sentence at a time."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from s2s.benchmark.rates import Rates, alternate, fitting, seconds_of, spread_of, timed
from s2s.benchmark.textbook import Textbook
from s2s.device import Compute
from s2s.errors import RunError
from s2s.text.tokenizer import framed
from s2s.translation.bleu import quick_bleu
from s2s.translation.engine import engine_of
from s2s.translation.outputs import Translation
from s2s.translation.translator import Translator

RATE = "_sentences_per_second"
SENTENCES = 1000
"""Sentences to translate at most, of the test set, or without one of the validation set."""
LEAST_SENTENCES = 100
SAMPLE = 64
"""Sentences whose time says how many are translated."""
PASS_SHARE = 1 / 20
"""Of the time, for the lines in greedy search and at beam 5, which are measured in several rounds."""
TEXTBOOK_SENTENCES = 20
LATENCY_SENTENCES = 100
BLOCK = 10
"""Lines that one way translates before the next way's turn, so that each has its own weights in the caches."""
BATCHES = (64, 128, 256, 512)
"""Lines searched together, of which the fastest is reported."""
TRIALS = 2
"""Trials of each size, of which the fastest counts."""
BEAM = 5
ROUNDS = 5
COLD_STARTS = 5
Translate = Callable[[str], object]


def bench_decoding(
    translator: Translator, lines: Sequence[str], references: Sequence[str], tokenize: str, seconds: float
) -> dict[str, Any]:
    """The `decoding` part of the result but for the cold start, within some seconds; `tokenize` is BLEU's tokenizer."""
    begin = time.perf_counter()
    count = _affordable(translator, lines, seconds)
    lines, references = lines[:count], references[:count]
    best = _best_batch(translator, lines, seconds / 5)
    one = translator.with_batch(1)
    few, waited = (_spread(lines, count) for count in (TEXTBOOK_SENTENCES, LATENCY_SENTENCES))
    textbook = _textbook(translator, few)
    compute = engine_of(translator).compute
    ways = {
        "greedy" + RATE: timed(len(lines), partial(best.translate, lines, beam=1), compute),
        "textbook" + RATE: timed(len(few), lambda: [textbook(line) for line in few], compute),
        "beam5" + RATE: timed(len(lines), partial(best.translate, lines, beam=BEAM), compute),
        "batch1" + RATE: timed(len(few), lambda: [one.translate([line], beam=1) for line in few], compute),
    }
    waiting: dict[str, Translate] = {"own": lambda line: one.translate([line], beam=1), "textbook": textbook}
    lower = best.in_precision("auto")
    lower_one = lower.with_batch(1)
    if reduced := engine_of(lower).compute.dtype != compute.dtype:
        lower = _best_batch(lower, lines, seconds / 10)
        ways["bfloat16_greedy" + RATE] = timed(len(lines), partial(lower.translate, lines, beam=1), compute)
        waiting["bfloat16"] = lambda line: lower_one.translate([line], beam=1)
    rates = alternate(ways, ROUNDS, 0.8 * (seconds + begin - time.perf_counter()))
    translations = best.translate(lines, beam=1)
    tokens = sum(len(found.tokens) for found in translations)
    greedy, slow, wide = (rates[name + RATE] for name in ("greedy", "textbook", "beam5"))
    latency = _latencies(waiting, waited, compute, seconds + begin - time.perf_counter())
    slowest = latency["textbook"]["p50"]
    ratios = {"ratio": greedy.ratios(slow), "beam5_time_over_greedy": greedy.ratios(wide)}
    result: dict[str, Any] = {
        "sentences": len(lines),
        "batch_lines": best.decoding.batch_lines,
        "greedy" + RATE: greedy.median,
        "greedy_target_tokens_per_second": greedy.median * tokens / len(lines),
        "beam5" + RATE: wide.median,
        "beam5_time_over_greedy": greedy.over(wide),
        "batch1" + RATE: rates["batch1" + RATE].median,
        "textbook" + RATE: slow.median,
        "ratio": greedy.over(slow),
        "latency_ms": latency["own"],
        "textbook_latency_ms": latency["textbook"],
        "latency_ratio": slowest / latency["own"]["p50"],
        "spread": spread_of(rates | ratios),
    }
    if reduced:
        fast = rates["bfloat16_greedy" + RATE]
        others = (each.translate(lines, beam=1) for each in (lower, lower_one))
        result["spread"] |= spread_of({"bfloat16.ratio": fast.ratios(slow)})
        differ = [_difference((translations, other), references, tokenize) for other in others]
        result["bfloat16"] = {
            "batch_lines": lower.decoding.batch_lines,
            "greedy" + RATE: fast.median,
            "ratio": fast.over(slow),
            **differ[0],
            "batch1": {  # which may round otherwise
                "latency_ms": latency["bfloat16"],
                "latency_ratio": slowest / latency["bfloat16"]["p50"],
                **differ[1],
            },
        }
    return result


def _spread(lines: Sequence[str], count: int) -> list[str]:
    """That many lines, evenly spaced."""
    return [lines[index] for index in np.linspace(0, len(lines) - 1, min(count, len(lines))).astype(int)]


def _affordable(translator: Translator, lines: Sequence[str], seconds: float) -> int:
    """How many lines there is time for."""
    few = _spread(lines, SAMPLE)

    def run() -> None:
        for beam in (1, BEAM):
            translator.translate(few, beam=beam)

    limits = {"least": LEAST_SENTENCES, "most": len(lines)}
    return fitting(len(few) * PASS_SHARE * seconds, run, engine_of(translator).compute, **limits)


def _best_batch(translator: Translator, lines: Sequence[str], seconds: float) -> Translator:
    """A translator with the fastest number of lines searched together."""
    found = {str(size): translator.with_batch(size) for size in BATCHES}
    compute = engine_of(translator).compute
    ways = {name: timed(1, partial(each.translate, lines, beam=1), compute) for name, each in found.items()}
    rates = alternate(ways, TRIALS, seconds)
    return found[max(rates, key=lambda name: max(rates[name].rounds))]


def _textbook(translator: Translator, lines: Sequence[str]) -> Callable[[str], str]:
    model = Textbook(engine_of(translator).models[0]).eval()

    def translate(line: str) -> str:
        tokens = framed(translator.source.encode(line))
        return translator.target.decode(model.greedy(tokens, translator.decoding.longest_output(len(tokens))))

    for line in lines[:3]:
        translate(line)
    return translate


def _latencies(
    ways: Mapping[str, Translate], lines: Sequence[str], compute: Compute, seconds: float
) -> dict[str, dict[str, float]]:
    """Quantiles of each way's milliseconds for a line, in as many blocks as there is time for, but one.

    The first of a block is translated once before.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + seconds
    for first in range(0, len(lines), BLOCK):
        if first and time.perf_counter() > end:
            break
        for name, translate in ways.items():
            translate(lines[first])
            block = lines[first : first + BLOCK]
            found[name] += [1000 * seconds_of(partial(translate, line), compute) for line in block]
    return {name: {"p50": median(each), "p95": float(np.quantile(each, 0.95))} for name, each in found.items()}


def _difference(
    found: tuple[list[Translation], list[Translation]], references: Sequence[str], tokenize: str
) -> dict[str, float | None]:
    """BLEU in float32 and in another precision, and the share of lines in which they differ."""
    texts = [[each.text for each in translations] for translations in found]
    before, after = (quick_bleu(each, references, tokenize) for each in texts)
    changed = sum(a != b for a, b in zip(*texts, strict=True))
    return {"bleu": after, "float32_bleu": before, "changed_lines_share": changed / len(references)}


def cold_start(run: Path, line: str, compute: Compute, seconds: float) -> dict[str, Any]:
    """Seconds from the start of `s2s translate` to its end for one line, and those of `import torch` alone."""
    translate = [sys.executable, "-m", "s2s", "translate", str(run), "--device", str(compute.device)]
    alone = [sys.executable, "-c", "import torch"]

    def call(command: list[str]) -> None:
        ended = subprocess.run(command, input=line + "\n", capture_output=True, text=True, check=False)
        if ended.returncode:
            said = ended.stderr.strip().splitlines()[-1:] or ["nothing was said"]
            raise RunError(f"bench: `{' '.join(command[1:])}` ended with {ended.returncode}: {said[0]}")

    ways = {"cold": timed(1, partial(call, translate), compute), "import": timed(1, partial(call, alone), compute)}
    rates = alternate(ways, COLD_STARTS, seconds)
    cold, torch = (Rates([1 / each for each in rate.rounds]) for rate in rates.values())
    found = {"cold_start_seconds": cold, "import_torch_seconds": torch, "cold_start_over_import": cold.ratios(torch)}
    return {name: rate.median for name, rate in found.items()} | {"spread": spread_of(found)}
