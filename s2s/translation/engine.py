"""The engine of run folders: models in torch, alone or as an ensemble."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Protocol, Self

import torch
from torch.nn import functional

from s2s.device import Compute, Precision, choose_compute
from s2s.errors import RunError
from s2s.files import recorded
from s2s.nn.weights import frozen, load_model
from s2s.run import RunFolder, read_run
from s2s.text.batches import GPU_WIDTH, pad
from s2s.text.special import PAD
from s2s.text.tokenizer import Tokenizer, load_tokenizers
from s2s.translation.lengths import EXTRA_TOKENS, LEAST_LENGTH_RATIO
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.reading import Reading
from s2s.translation.recipe import Decoding, TranslationRecipe
from s2s.translation.search.beam import AnyState, JointState, Step, beam_search, combine
from s2s.translation.search.graphs import ReplayedStep
from s2s.translation.search.hypotheses import Hypothesis, Sampling, SearchOptions
from s2s.translation.search.lone import lone_search
from s2s.translation.search.sampled import SampledState, sampled
from s2s.translation.search.step import LONE_ROWS, State, Stepper

log = logging.getLogger("s2s")


class TorchEngine:
    """Frozen copies of one model, or of an ensemble."""

    def __init__(self, models: Sequence[Seq2Seq], compute: Compute) -> None:
        self.models = [frozen(model, compute.device) for model in models]
        self.steppers = [Stepper(model, compute.dtype) for model in self.models]
        self.on_gpu = on_gpu = compute.device.type == "cuda"
        self.steps: list[Step[State]] = [ReplayedStep(each) if on_gpu else each for each in self.steppers]
        # a graph fills the same tensors for every search
        self.alone: AbstractContextManager[object] = Lock() if on_gpu else nullcontext()
        self.compute = compute

    def in_precision(self, precision: Precision) -> Self:
        """The same models with matrix products of another type."""
        return type(self)(self.models, choose_compute(str(self.compute.device), precision))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A context in which searches are made."""
        with torch.inference_mode(), self.compute.entered():
            yield

    @cached_property
    def _exact(self) -> list[Stepper]:
        return [Stepper(model) for model in self.models]

    def _quickest(self, lines: int, beam: int) -> list[Stepper] | None:
        """Steps that are faster than those in bfloat16 on a CPU, where so few hypotheses are searched."""
        slow = self.compute.dtype == torch.bfloat16 and self.compute.device.type == "cpu"
        return self._exact if slow and lines == 1 and beam <= LONE_ROWS else None

    def search(
        self,
        sources: Sequence[list[int]],
        options: SearchOptions,
        *,
        beam: int,
        nbest: int,
        longest: Sequence[int],
        shortest: Sequence[int],
        sampling: Sampling | None = None,
    ) -> list[list[Hypothesis]]:
        """At most nbest hypotheses of each sentence, best first; on a GPU one batch after the other.

        With `sampling` and a beam of 1 that which is sampled token by token.
        """
        with self.alone:
            return self._search(sources, options, beam, nbest, longest, shortest, sampling)

    def _search(
        self,
        sources: Sequence[list[int]],
        options: SearchOptions,
        beam: int,
        nbest: int,
        longest: Sequence[int],
        shortest: Sequence[int],
        sampling: Sampling | None,
    ) -> list[list[Hypothesis]]:
        device, few = self.compute.device, None if sampling else self._quickest(len(sources), beam)
        steppers, steps = (few, list[Step[State]](few)) if few else (self.steppers, self.steps)
        if len(sources) == len(steppers) == 1 and steppers[0].serves_lone and not sampling:
            limit = {"longest": longest[0], "shortest": shortest[0]}
            return [lone_search(steppers[0], sources[0], options, beam=beam, nbest=nbest, **limit)]
        tokens, lengths = pad(sources), torch.tensor([len(tokens) for tokens in sources])
        if device.type == "cuda":  # of few widths: a graph is captured for each
            tokens = functional.pad(tokens, (0, -tokens.shape[1] % GPU_WIDTH), value=PAD)
        tokens = tokens.to(device)
        with self.compute.autocast():
            states = [stepper.begin(tokens, lengths, beam=beam) for stepper in steppers]

        def search(step: Step[AnyState], state: AnyState) -> list[list[Hypothesis]]:
            return beam_search(
                step,
                state,
                options,
                beam=beam,
                nbest=nbest,
                max_lengths=torch.tensor(longest),
                min_lengths=torch.tensor(shortest),
                source_lengths=lengths,
                device=device,
            )

        def chosen(step: Step[AnyState], state: AnyState) -> list[list[Hypothesis]]:
            if sampling is None:
                return search(step, state)
            own = SampledState(state, torch.from_numpy(sampling.draws))
            return search(sampled(step, sampling, options.forbidden), own)

        return chosen(combine(steps), JointState(states)) if len(steps) > 1 else chosen(steps[0], states[0])


class HasEngine(Protocol):
    """A translator."""

    @property
    def engine(self) -> object: ...


def engine_of(translator: HasEngine) -> TorchEngine:
    """That of a translator whose models are known to be in torch."""
    assert isinstance(translator.engine, TorchEngine)
    return translator.engine


def open_runs(
    folders: Sequence[Path], device: str, precision: Precision
) -> tuple[TorchEngine, Tokenizer, Tokenizer, Decoding, int, Reading]:
    """What a Translator of one run folder, or of an ensemble of several, is made of."""
    compute = choose_compute(device, precision)
    models, tokenizers, recipes = [], [], []
    for run in map(RunFolder, folders):
        recipe = read_run(run, {"translation": TranslationRecipe})
        source, target = load_tokenizers(run.path)
        sizes = {"source_vocabulary": source.vocabulary_size, "target_vocabulary": target.vocabulary_size}
        model = load_model(partial(build_seq2seq, recipe.model, **sizes), run.require_best())
        models.append(model.eval())
        tokenizers.append((source, target))
        recipes.append(recipe)
    ways = [f"{recipe.data.source} to {recipe.data.target}" for recipe in recipes]
    for run_path, way in zip(folders, ways, strict=True):
        if way != ways[0]:
            first = f"{folders[0]} from {ways[0]}"
            raise RunError(f"{run_path}: translates from {way}, but {first}; an ensemble needs the same languages")
    prints = [(source.fingerprint, target.fingerprint) for source, target in tokenizers]
    for run_path, own in zip(folders, prints, strict=True):
        if own != prints[0]:
            raise RunError(f"{run_path}: its tokenizer is not that of {folders[0]}; an ensemble must share tokenizers")
    learned = min(recipe.data.max_tokens for recipe in recipes)
    decoding, reading = settled_decoding(RunFolder(folders[0]), recipes[0]), Reading.of(recipes[0].data)
    return TorchEngine(models, compute), *tokenizers[0], decoding, learned, reading


def settled_decoding(run: RunFolder, recipe: TranslationRecipe) -> Decoding:
    """Search of a run, with the longest output that its training data need where the recipe gives none."""
    decoding = recipe.decoding
    if decoding.max_length_ratio is None:
        ratio = recorded(run.lengths, "max_length_ratio")
        most = max(recipe.data.max_tokens, LEAST_LENGTH_RATIO, decoding.min_length_ratio)  # of what a training writes
        if isinstance(ratio, int | float) and not isinstance(ratio, bool) and 0 < ratio <= most:
            decoding = decoding.settled(ratio)
        else:
            log.warning(
                "%s: missing or damaged, so an output has at most %g tokens for each of the source, and %d; put back a"
                " copy, or give decoding.max_length_ratio in %s",
                run.lengths, LEAST_LENGTH_RATIO, EXTRA_TOKENS, run.recipe,
            )  # fmt: skip
    return decoding
