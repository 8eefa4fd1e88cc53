"""Growth of cost with the pairs of a corpus, the length of sentences, and the width of the beam."""

import logging
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import accumulate, islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from s2s.benchmark.rates import Rates, alternate, spread_of, timed
from s2s.device import choose_compute, peak_memory_bytes, settle_process
from s2s.errors import RunError
from s2s.run import RunFolder
from s2s.text.batches import Batch, collate
from s2s.training.trainer import Trainer
from s2s.translation.data import TableSplit, TranslationData
from s2s.translation.engine import engine_of
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.search.beam import beam_search
from s2s.translation.search.hypotheses import SearchOptions
from s2s.translation.search.step import Stepper
from s2s.translation.task import TranslationTask, find, prepare
from s2s.translation.translator import Translator

log = logging.getLogger("s2s")

EMPTY = 200
"""Pairs of the run with which the others' memory is compared."""
PAIRS = (10_000, 100_000, 1_000_000)
"""As many of these as there is time for, but the first."""
STEPS = 5
LARGEST_VOCABULARY = 400
LENGTHS = (10, 25, 50, 100, 200)
LENGTH_ROWS = 16
ROUNDS = 3
BEAMS = (1, 2, 5, 10, 20)
BEAM_LINES = 64
WORDS = 20_000


def bench_growth(
    recipe: TranslationRecipe, task: TranslationTask, translator: Translator, lines: Sequence[str], seconds: float
) -> list[Any]:
    """The `growth` part of the result within some seconds: an object for each size, `of` saying of what."""
    end = time.perf_counter() + seconds
    of_lengths = list(_of_lengths(task, translator, seconds / 4))
    of_beams = list(_of_beams(translator, lines, (end - time.perf_counter()) / 4))
    return [*_of_pairs(recipe, str(task.compute.device), end - time.perf_counter()), *of_lengths, *of_beams]


def _of_pairs(recipe: TranslationRecipe, device: str, seconds: float = math.inf) -> Iterator[dict[str, Any]]:
    """Growth with pairs; each number in a process of its own, for its peak of memory."""
    with TemporaryDirectory() as folder:
        held, peaks = Path(folder) / "validation.tsv", []
        _write_pairs(held, EMPTY)
        begin = time.perf_counter()
        ended: list[tuple[int, float]] = []
        for count in (EMPTY, *PAIRS):
            needed = _predicted(ended, count)
            if needed > begin + seconds - time.perf_counter():
                log.info(
                    "%s pairs and more would take %.0f s at least: left out; give more --minutes", f"{count:,}", needed
                )
                return
            started = time.perf_counter()
            table = Path(folder) / f"{count}.tsv"
            _write_pairs(table, count)
            try:
                with ProcessPoolExecutor(1, get_context("spawn"), _be_quiet) as pool:
                    found = pool.submit(_train_on, recipe, table, held, device).result()
            except BrokenProcessPool:
                raise RunError(
                    f"bench: the process that trains on {count:,} pairs was ended from outside, as it is where memory"
                    " runs out"
                ) from None
            table.unlink()
            ended.append((count, time.perf_counter() - started))
            peaks.append(found["peak_memory_bytes"])
            yield {"of": "pairs", "size": count, **found, "memory_over_empty_bytes": peaks[-1] - peaks[0]}


def _predicted(ended: Sequence[tuple[int, float]], count: int) -> float:
    """Seconds for so many pairs, by those of the last two numbers of pairs."""
    if len(ended) < 2:
        return 0.0
    (few, short), (many, long) = ended[-2:]
    return long + max(0.0, long - short) * (count - many) / (many - few)


def _be_quiet() -> None:
    """Silence a worker's warnings about made-up text, and leave Ctrl-C to the process that waits for it."""
    logging.getLogger("s2s").setLevel(logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_pairs(path: Path, count: int) -> None:
    """Sentences of 4 to 16 made-up words, frequent and rare as in language (Zipf), and the same with words reversed."""
    random = Random(1)
    syllables = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
    words = ["".join(random.choices(syllables, k=random.randint(1, 4))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 1) for rank in range(WORDS)))
    with path.open("w", encoding="utf-8") as file:
        file.write("source\ttarget\n")
        for _ in range(count):
            sentence = random.choices(words, cum_weights=weights, k=random.randint(4, 16))
            file.write(" ".join(sentence) + "\t" + " ".join(word[::-1] for word in sentence) + "\n")


def _train_on(recipe: TranslationRecipe, table: Path, held: Path, device: str) -> dict[str, float]:
    """Prepare a corpus and train some steps, as `s2s train` does; `held` is the validation split."""
    settle_process()
    compute = choose_compute(device, recipe.training.precision)
    train, validation = TableSplit(table=str(table)), TableSplit(table=str(held))
    data = TranslationData(source="source", target="target", train=train, validation=validation, test=None)
    size = min(recipe.tokenizer.vocabulary_size, LARGEST_VOCABULARY)  # so that the smallest table can fill it
    tokenizer = recipe.tokenizer.model_copy(update={"vocabulary_size": size, "byte_fallback": False})
    recipe = recipe.model_copy(update={"data": data, "tokenizer": tokenizer})
    with TemporaryDirectory() as folder:
        os.environ["S2S_CACHE"] = folder  # of this process: what is encoded here is of no use to anyone
        run = RunFolder(Path(folder) / "run")
        begin = time.perf_counter()
        task = prepare(recipe, run, compute, find(recipe, None))
        prepared = time.perf_counter()
        batches = task.batches(0, 0)
        first = next(batches)
        read = time.perf_counter()
        trainer = Trainer(task, recipe.training, run, compute)
        task.model.train()
        trainer.step([first])
        for batch in islice(batches, STEPS):
            trainer.step([batch])
    return {
        "prepare_seconds": prepared - begin,
        "first_batch_seconds": read - prepared,
        "batches_in_epoch": task.batches_in_epoch(0),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _of_lengths(task: TranslationTask, translator: Translator, seconds: float) -> Iterator[dict[str, Any]]:
    """Growth with length, of random tokens: a step of the recipe's batch size, and greedy search as long as sources."""
    generator = torch.Generator().manual_seed(1)
    for length in LENGTHS:
        rows = max(1, task.recipe.training.batch_tokens // (length + 1))
        sizes = (task.source.vocabulary_size, task.target.vocabulary_size)
        source, target = (torch.randint(8, size, (rows, length), generator=generator) for size in sizes)
        batch = collate(source.tolist(), target.tolist())
        task.model.train()
        few, stepper = source[:LENGTH_ROWS], engine_of(translator).steppers[0]
        ways = {
            "loss_and_gradient": timed(batch.target_tokens, partial(_loss_and_gradient, task, batch), task.compute),
            "greedy": timed(few.numel(), partial(_greedy, stepper, few), task.compute),
        }
        rates = alternate(ways, ROUNDS, seconds / len(LENGTHS))
        task.model.zero_grad()
        yield _row("length", length, {f"{name}_target_tokens_per_second": rate for name, rate in rates.items()})


def _loss_and_gradient(task: TranslationTask, batch: Batch) -> None:
    with task.compute.autocast():
        loss = task.loss(batch, 0)
    loss.smoothed.backward()  # type: ignore[no-untyped-call]


@torch.inference_mode()
def _greedy(stepper: Stepper, rows: Tensor) -> None:
    """Search for as many tokens as the rows (B, S) have."""
    lengths, device = torch.full((len(rows),), rows.shape[1]), stepper.device
    limits: dict[str, Any] = {"max_lengths": lengths, "min_lengths": lengths, "source_lengths": lengths}
    begin = stepper.begin(rows.to(device), lengths)
    beam_search(stepper, begin, SearchOptions(), beam=1, **limits, device=device)


def _of_beams(translator: Translator, lines: Sequence[str], seconds: float) -> Iterator[dict[str, Any]]:
    lines = lines[:BEAM_LINES]
    ways = {
        str(beam): timed(len(lines), partial(translator.translate, lines, beam=beam), engine_of(translator).compute)
        for beam in BEAMS
    }
    for beam, rate in alternate(ways, ROUNDS, seconds).items():
        yield _row("beam", int(beam), {"sentences_per_second": rate})


def _row(of: str, size: int, rates: Mapping[str, Rates]) -> dict[str, Any]:
    return {"of": of, "size": size, **{name: rate.median for name, rate in rates.items()}, "spread": spread_of(rates)}
