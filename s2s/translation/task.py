"""Translation: from a recipe to data, model, loss and validation."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from s2s.cache import cache_root
from s2s.corpus.sources import find_each
from s2s.device import Compute, release_free_memory
from s2s.errors import DataError, RecipeError
from s2s.files import recorded, write_json
from s2s.nn.loss import Loss
from s2s.run import RunFolder
from s2s.text.batches import GPU_WIDTH, Batch, BatchSampler, Lengths, Row, collate
from s2s.text.special import MASKS
from s2s.text.tokenizer import Tokenizer
from s2s.training.forcing import ScheduledSampling, forcing_rate
from s2s.training.graphs import ReplayedPass
from s2s.training.ranks import present
from s2s.training.task import Task
from s2s.translation.answers import answers, exact_match
from s2s.translation.bleu import bleu_tokenizer, quick_bleu, quick_chrf
from s2s.translation.encoded import EncodedPairs, SampledSide
from s2s.translation.engine import TorchEngine
from s2s.translation.evaluation import part_of as part_of  # what a task module answers
from s2s.translation.evaluation import score as score
from s2s.translation.evaluation import scored_part as scored_part
from s2s.translation.formed import augmented, masked, masked_share
from s2s.translation.inspection import check as check
from s2s.translation.inspection import report_dropped, tokenizers_of, warn_of_text, with_metric_that_tells
from s2s.translation.inspection import unlike_start as unlike_start
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.pairs import Held, Pairs, has_words, held_pairs, open_pairs, warn_of_learned
from s2s.translation.plots import plot_attention
from s2s.translation.reading import Reading
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.scores import shared_translations
from s2s.translation.shares import SharedPairs, encode_train
from s2s.translation.translator import Translator

log = logging.getLogger("s2s")


@dataclass(eq=False)
class TranslationTask(Task[Batch]):
    """Batches, loss and validation of one recipe, for the trainer."""

    recipe: TranslationRecipe
    """with a training.metric that can tell weights apart on the validation pairs"""
    model: Seq2Seq
    pairs: EncodedPairs
    validation: Held
    source: Tokenizer
    target: Tokenizer
    compute: Compute
    also: Mapping[str, Held] = field(default_factory=dict)
    """those of data.also_validate"""

    def __post_init__(self) -> None:
        pairs, recipe, lengths = (
            self.pairs,
            self.recipe,
            list[Lengths]([self.pairs.source.lengths, self.pairs.target.lengths]),
        )
        self.sampled: list[SampledSide] = []
        if alpha := recipe.tokenizer.sampling:
            assert pairs.texts is not None
            sampled = partial(SampledSide, alpha=alpha, longest=recipe.data.max_tokens, seed=recipe.seed)
            self.sampled = [
                sampled(self.source, pairs.source, pairs.texts[0]),
                sampled(self.target, pairs.target, pairs.texts[1]),
            ]
            lengths = [side.planned for side in self.sampled]
        if pairs.tags is not None:
            lengths[0] = lengths[0] + (pairs.tags >= 0)
        batch_tokens = recipe.training.batch_tokens
        self.sampler = BatchSampler(*lengths, batch_tokens=batch_tokens, seed=recipe.seed, rows=pairs.rows)

    def batches_in_epoch(self, epoch: int) -> int:
        """Batches of an epoch, which counts from 0."""
        return self.sampler.count(epoch)

    def batches(self, epoch: int, skip: int) -> Iterator[Batch]:
        """The batches of an epoch in their order, without the first `skip`."""
        for number, rows in enumerate(self.sampler.batches(epoch, skip), start=skip):
            if self.sampled:
                seed = (self.recipe.seed * 1_000_003 + epoch * 10_007 + number) % 2**31
                sides = [list[Row](side.rows(rows, seed)) for side in self.sampled]
            else:
                sides = [[side[row] for row in rows] for side in (self.pairs.source, self.pairs.target)]
            if self.pairs.tags is not None:
                tags = self.pairs.tags[rows]
                sides[0] = [[tag, *row] if tag >= 0 else row for tag, row in zip(tags, sides[0], strict=True)]
            yield collate(*sides)

    def tokens(self, batch: Batch) -> int:
        """Target tokens of a batch, END counted."""
        return batch.target_tokens

    def rows(self, batch: Batch) -> int:
        """Pairs of a batch."""
        return len(batch.targets)

    def part(self, batch: Batch, taken: slice) -> Batch:
        """Some pairs of a batch."""
        return batch.part(taken)

    def loss(self, batch: Batch, step: int) -> Loss:
        """The label-smoothed loss of a batch, with the forcing rate of the step."""
        training, rate = self.recipe.training, self.rates(step)["forcing_rate"]
        choose = None if rate >= 1.0 else ScheduledSampling(rate, training.teacher_forcing.feed)
        return self._loss(batch, training.label_smoothing, choose)

    def rates(self, step: int) -> Mapping[str, float]:
        """The forcing rate at a step."""
        forcing = self.recipe.training.teacher_forcing
        rate = forcing_rate(step, forcing.schedule, rate=forcing.rate, floor=forcing.floor, steps=forcing.steps)
        return {"forcing_rate": rate}

    def validate(self) -> Mapping[str, Any]:
        """Nats per token with gold prefixes, and BLEU and chrF of greedy translations."""
        also = {name: self._scores(held) for name, held in self.also.items()}
        return {**self._scores(self.validation), **({"also": also} if also else {})}

    def _scores(self, held: Held) -> dict[str, float | None]:
        compute = self.compute._replace(dtype=torch.float32)  # as in `s2s translate`
        reading = Reading.of(self.recipe.data)._replace(always_tagged=False)
        engine = TorchEngine([self.model], compute)
        translator = Translator(engine, self.source, self.target, self.recipe.decoding, reading=reading)
        read = [reading.masked_pair(*pair) for pair in held.pairs]
        encoded = [
            (translator.encode(source, tag), self.target.encode(target))
            for (source, target), tag in zip(read, held.tags, strict=True)
        ]
        encoded.sort(key=lambda pair: len(pair[0]))
        rows = max(1, self.recipe.training.batch_tokens // (len(encoded[-1][0]) + 1))
        losses = present().shared(
            lambda begins: [self._nats(encoded[begin : begin + rows]) for begin in begins], range(0, len(encoded), rows)
        )
        nats, tokens = (sum(each) for each in zip(*losses, strict=True))
        sources, references = zip(*held.pairs, strict=True)
        hypotheses = [translation.text for translation in shared_translations(translator, sources, 1, held.tags)]
        tokenize = bleu_tokenizer(self.recipe, references).tokenizer
        exact = self.recipe.training.metric == "exact_match"
        return {
            **({"exact_match": exact_match(answers(sources, hypotheses, references, held.tags))} if exact else {}),
            "nats_per_token": nats / tokens,
            "bleu": quick_bleu(hypotheses, references, tokenize),
            "chrf": quick_chrf(hypotheses, references),
        }

    def _nats(self, pairs: Sequence[tuple[Row, Row]]) -> tuple[float, int]:
        """Nats of the targets of some pairs, and their number."""
        with self.compute.autocast():
            loss = self._loss(collate(*zip(*pairs, strict=True)), 0.0, None)
        return float(loss.nats), loss.tokens

    def guessed_loss(self) -> float:
        """Nats of a token where all of the vocabulary are equally likely."""
        return math.log(self.target.vocabulary_size)

    def path(self) -> str:
        """How the decoder runs in training, and why."""
        if self.recipe.model.input_feeding:
            return "decoder: step by step (input feeding returns each readout to the next step)"
        forcing = self.recipe.training.teacher_forcing
        if forcing.rate < 1.0 or forcing.schedule != "constant":
            return "decoder: step by step where the forcing rate is below 1 (the model's own tokens are fed back)"
        return "decoder: whole sentences (nothing feeds back)"

    def _loss(self, batch: Batch, smoothing: float, choose: ScheduledSampling | None) -> Loss:
        decoder = self.model.decoder
        steps = self.model.training and (choose is not None or self.recipe.model.input_feeding)
        if steps and self.compute.device.type == "cuda":
            batch = batch.widened(GPU_WIDTH)
            decoder.replayed = decoder.replayed or ReplayedPass(decoder)
        batch = batch.to(self.compute.device)
        return self.model.loss(
            batch.source,
            batch.source_lengths,
            batch.inputs,
            batch.targets,
            target_lengths=batch.target_lengths,
            smoothing=smoothing,
            r_drop=self.recipe.training.r_drop if self.model.training else 0.0,
            choose=choose,
        )


def find(recipe: TranslationRecipe, corpora: Path | None) -> dict[str, Pairs]:
    """All pairs that a recipe names, by key; an error says which key named what is not there."""
    data = recipe.data
    also = {f"also_validate.{name}": split for name, split in data.also_validate.items()}
    named = {"train": data.train, "validation": data.validation, "test": data.test, **also}
    return find_each(named, lambda split: open_pairs(split, source=data.source, target=data.target, corpora=corpora))


def prepare(
    recipe: TranslationRecipe, run: RunFolder, compute: Compute, splits: Mapping[str, Pairs]
) -> TranslationTask:
    """Everything before the first step: train or load tokenizers, check the text, encode, build the model."""
    data, validation = recipe.data, splits["validation"]
    train = masked(splits["train"], data.protect)
    if data.protect:
        log.info("data.protect: %s of %s training pairs have masks", *map("{:,}".format, masked_share(train)))
    tokenizers = tokenizers_of(recipe, train, run)
    if data.protect and any(each.lacks(each.encode(" ".join(MASKS))) for each in tokenizers):
        raise RecipeError(
            f"data.protect: the run's vocabulary has no masks, it was made without (given {data.protect!r}); set it to"
            " false and use s2s translate --protect, or train a new vocabulary"
        )
    warn_of_text(recipe, train, tokenizers)
    encode = partial(
        encode_train,
        source=tokenizers[0],
        target=tokenizers[1],
        seed=recipe.seed,
        max_tokens=data.max_tokens,
        max_length_ratio=data.max_length_ratio,
        cache=cache_root(),
        keep_text=recipe.tokenizer.sampling > 0,
    )
    pairs = encode(train)
    parts = pairs.named if isinstance(pairs, SharedPairs) else [(train.description, pairs)]
    for name, part in parts:
        report_dropped(name, len(part), part.dropped)
    every = augmented(pairs, train, data.augment.shares, recipe.seed, encode)
    ratio, start = every.longest_ratio, recipe.training.start
    if start and (before := run.begun_from(start)):  # which has learned longer outputs, maybe
        ratio = max(ratio, recorded(before.lengths, "max_length_ratio") or 0.0)
    recipe = recipe.model_copy(update={"decoding": recipe.decoding.settled(ratio)})
    if not run.checkpoint.exists():
        write_json(run.lengths, {"max_length_ratio": recipe.decoding.max_length_ratio})
    held, also = _held(recipe, splits)
    sizes = f"{len(pairs):,}", f"{len(held.pairs):,}"
    log.info("%s: %s pairs; %s: %s pairs", train.description, sizes[0], validation.description, sizes[1])
    if isinstance(pairs, SharedPairs):
        pairs.report()
    warn_of_learned(splits)
    recipe = with_metric_that_tells(recipe, [target for _, target in held.pairs])
    release_free_memory()  # what training the tokenizers took is more than a model takes
    torch.manual_seed(recipe.seed)
    source, target = (tokenizer.vocabulary_size for tokenizer in tokenizers)
    model = build_seq2seq(recipe.model, source_vocabulary=source, target_vocabulary=target)
    return TranslationTask(recipe, model, every, held, *tokenizers, compute, also)


def _held(recipe: TranslationRecipe, splits: Mapping[str, Pairs]) -> tuple[Held, dict[str, Held]]:
    """Pairs to validate on, and those of data.also_validate; DataError where there are none to score, or to test on."""
    validation = splits["validation"]
    held = held_pairs(validation)
    if not held.pairs:
        raise DataError(f"data.validation: {validation.description} has no pairs; the best weights are chosen on them")
    also = {name: held_pairs(splits[f"also_validate.{name}"]) for name in recipe.data.also_validate}
    for name, found in also.items():
        if not found.pairs:
            raise DataError(f"data.also_validate.{name}: there are no pairs to score; check the files")
    if "test" in splits and not any(map(has_words, splits["test"].read())):
        raise DataError(f"data.test: {splits['test'].description} has no pairs to score; check the files")
    if held.blank:
        log.warning("%s: %s pairs left out, empty side", validation.description, f"{held.blank:,}")
    return held, also


def draw(run: RunFolder, task: TranslationTask, splits: Mapping[str, Pairs], device: str) -> None:
    """Plot the attention of one validation sentence."""
    sources = [source for source, _ in task.validation.pairs]
    chosen = next((row for row, source in enumerate(sources) if 4 <= len(source.split()) <= 12), 0)
    tag = task.validation.tags[chosen]
    found = Translator.load(run.path, device=device).translate([sources[chosen]], attention=True, tag=tag)[0]
    if found.attention is not None:
        plot_attention(found.attention, found.source_tokens, found.tokens, run.plots / "attention.png")
