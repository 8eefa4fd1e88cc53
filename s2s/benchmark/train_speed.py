"""Speed of training, compared with the textbook's and with the machine's limit, and the parts of its time."""

import time
from collections import Counter
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from s2s.benchmark.limit import Product, Products, seconds_of_product
from s2s.benchmark.rates import Way, alternate, fitting, now, spread_of, timed
from s2s.benchmark.textbook import Textbook
from s2s.device import Compute, peak_memory_bytes
from s2s.nn.loss import Loss
from s2s.run import RunFolder
from s2s.text.batches import Batch, collate
from s2s.training.trainer import Trainer
from s2s.translation.model import build_seq2seq
from s2s.translation.task import TranslationTask

RATE = "target_tokens_per_second"
BATCHES = 20
"""Batches of a recipe's first epoch that are measured at most, all in each round."""
LEAST_BATCHES = 4
TEXTBOOK_BATCHES = 3
ROUNDS = 9
PASS_SHARE = 1 / 30
"""Of the time, for a pass over the batches: a round takes some three, and there are a warm-up and several rounds."""
FORCING_RATE = 0.5
"""Forcing rate of the stepped training that is measured."""


def bench_training(task: TranslationTask, compute: Compute, seconds: float) -> dict[str, Any]:
    """The `training` part of the result, within some seconds; the task's model is trained on the way."""
    begin, own = time.perf_counter(), _trainer(task, compute)
    batches = list(islice(task.batches(0, 0), BATCHES))
    one = _training(own, batches[:1])
    batches = batches[: fitting(PASS_SHARE * seconds, one, compute, least=LEAST_BATCHES, most=BATCHES)]
    ways = {RATE: _training(own, batches)}
    ways[RATE]()
    peak = peak_memory_bytes(compute)
    ways["textbook_" + RATE] = _textbook(task, compute, max(1, len(batches) * TEXTBOOK_BATCHES // BATCHES))
    stepped = _stepped(task)
    for name, part in stepped.items():
        ways[name] = _training(_trainer(part, compute), batches[: max(1, len(batches) // 4)])
    target = sum(batch.target_tokens for batch in batches)
    source = sum(int(batch.source_lengths.sum()) for batch in batches)
    middle = sorted(batches, key=lambda batch: batch.target_tokens)[len(batches) // 2]
    products = _products(task, middle)
    ways["limit_" + RATE] = lambda: (
        middle.target_tokens,
        sum(times * seconds_of_product(product, compute) for product, times in products.items()),
    )
    multiply_adds = sum(times * product.multiply_adds for product, times in products.items())
    rates = alternate(ways, ROUNDS, seconds + begin - time.perf_counter())
    reached, textbook, limit = (rates[name + RATE] for name in ("", "textbook_", "limit_"))
    ratios = {f"stepped.{name}": rates[name].ratios(reached) for name in stepped}
    ratios |= {"ratio": reached.ratios(textbook), "limit_fraction": reached.ratios(limit)}
    return {
        RATE: reached.median,
        "source_and_" + RATE: reached.median * (source + target) / target,
        "textbook_" + RATE: textbook.median,
        "ratio": reached.over(textbook),
        "spread": spread_of(rates | ratios),
        "stepped": {name: rates[name].over(reached) for name in stepped},
        "limit_" + RATE: limit.median,
        "limit_fraction": reached.over(limit),
        "multiply_adds_per_target_token": multiply_adds / middle.target_tokens,
        "padding_share": task.sampler.padding_share(0),
        "peak_memory_bytes": peak,
        "shares": shares_of(own, task, compute, len(batches)),
    }


def _trainer(task: TranslationTask, compute: Compute) -> Trainer[Batch]:
    """A trainer that is ready to step, without a run folder."""
    with TemporaryDirectory() as folder:
        trainer = Trainer(task, task.recipe.training, RunFolder(Path(folder) / "run"), compute)
    trainer.model.train()
    return trainer


def _training(trainer: Trainer[Batch], batches: list[Batch]) -> Way:
    """Rounds of the real training on the first batches, reading them included."""

    def run() -> None:
        for batch in islice(trainer.task.batches(0, 0), len(batches)):
            trainer.step([batch])

    return timed(sum(batch.target_tokens for batch in batches), run, trainer.compute)


def _stepped(task: TranslationTask) -> dict[str, TranslationTask]:
    """Tasks of the same recipe whose decoder steps: by input feeding, or by a forcing rate below one."""
    recipe = task.recipe
    forcing = recipe.training.teacher_forcing.model_copy(update={"rate": FORCING_RATE, "schedule": "constant"})
    found = {}
    for name, changes in (
        ("input_feeding", {"model": recipe.model.model_copy(update={"input_feeding": True})}),
        ("forcing", {"training": recipe.training.model_copy(update={"teacher_forcing": forcing})}),
    ):
        other = recipe.model_copy(update=changes)
        source, target = task.source.vocabulary_size, task.target.vocabulary_size
        model = build_seq2seq(other.model, source_vocabulary=source, target_vocabulary=target)
        found[name] = replace(task, recipe=other, model=model)
    return found


def _textbook(task: TranslationTask, compute: Compute, count: int) -> Way:
    """Rounds of the textbook's training: batches of as many sentences, but in the order of the corpus."""
    model = Textbook(deepcopy(task.model)).train()
    rule = torch.optim.Adam(model.parameters(), lr=task.recipe.training.learning_rate)
    rows = max(1, len(task.pairs) // task.batches_in_epoch(0))
    batches = []
    for first in range(0, len(task.pairs) - rows + 1, rows)[:count]:
        part = range(first, first + rows)
        batches.append(collate([task.pairs.source[row] for row in part], [task.pairs.target[row] for row in part]))

    def run() -> None:
        for batch in batches:
            source, inputs, targets = (part.to(compute.device) for part in (batch.source, batch.inputs, batch.targets))
            rule.zero_grad()
            loss = model.loss(source, batch.source_lengths, inputs, targets, task.recipe.training.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            rule.step()

    return timed(sum(batch.target_tokens for batch in batches), run, compute)


def _products(task: TranslationTask, batch: Batch) -> Counter[Product]:
    """Matrix products of the loss of a batch and of its gradients."""
    batch = batch.to(task.compute.device)
    tokens = batch.source, batch.source_lengths, batch.inputs, batch.targets
    products = Products()
    with products:
        with task.compute.autocast():
            loss = task.model.loss(*tokens, target_lengths=batch.target_lengths)
        loss.smoothed.backward()  # type: ignore[no-untyped-call]
    task.model.zero_grad()
    return products.found


def shares_of(trainer: Trainer[Batch], task: TranslationTask, compute: Compute, count: int) -> dict[str, float]:
    """Share of the time of so many steps that each part takes; the attention's is not in the decoder's."""
    marks: list[tuple[str, float]] = []
    whole_loss, decoder = task.loss, task.model.decoder

    def mark(name: str) -> None:
        marks.append((name, now(compute)))

    def loss(batch: Batch, step: int) -> Loss:
        mark("loss")
        found = whole_loss(batch, step)
        mark("backward")
        return found

    parts = (task.model.encoder, "encoder", "loss"), (decoder, "decoder", "loss")
    with ExitStack() as hooks:
        for part, inside, after in (*parts, (decoder.attention, "attention", "decoder")):
            if part is not None:
                hooks.callback(part.register_forward_pre_hook(lambda *_, name=inside: mark(name)).remove)
                hooks.callback(part.register_forward_hook(lambda *_, name=after: mark(name)).remove)
        hooks.callback(trainer.learner.optimizer.register_step_pre_hook(lambda *_: mark("optimizer")).remove)
        task.loss = loss  # type: ignore[method-assign]
        hooks.callback(delattr, task, "loss")
        mark("data")
        for batch in islice(task.batches(0, 0), count):
            trainer.step([batch])
            mark("data")
    seconds: Counter[str] = Counter()
    for (name, begin), (_, end) in pairwise(marks):
        seconds[name] += end - begin  # type: ignore[assignment]
    return {name: part / sum(seconds.values()) for name, part in seconds.items()}
