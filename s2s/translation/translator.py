"""Raw lines in, raw lines out: tokenizers, search and one or more models together."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from s2s.device import Compute, Precision, choose_compute
from s2s.errors import RunError
from s2s.recipe.messages import list_of_texts
from s2s.run import RunFolder, frozen, load_model, read_run, recorded
from s2s.text.batches import GPU_WIDTH, pad
from s2s.text.special import PAD, START, UNKNOWN
from s2s.text.tokenizer import Tokenizer, framed, has_loop, load_tokenizers
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.recipe import EXTRA_TOKENS, LEAST_LENGTH_RATIO, Decoding, TranslationRecipe
from s2s.translation.search.beam import AnyState, JointState, Step, beam_search, combine
from s2s.translation.search.cells import Int8Affine
from s2s.translation.search.graphs import ReplayedStep
from s2s.translation.search.hypotheses import Hypothesis, SearchOptions
from s2s.translation.search.lone import lone_search, serves
from s2s.translation.search.step import INT8_ROWS, LONE_ROWS, State, Stepper

log = logging.getLogger("s2s")

BATCH_TOKENS = 8192
"""Padded source tokens searched together at most, whatever the recipe's number of lines."""


class Alternative(NamedTuple):
    """One of several translations of a line."""

    text: str
    score: float
    """log-probability over the length normaliser, in nats"""
    log_probability: float
    """of the whole sentence, in nats"""


class Translation(NamedTuple):
    """What became of one line."""

    text: str
    score: float
    log_probability: float
    flags: tuple[str, ...] = ()
    """`truncated` (cut off at the longest length), `repeats` (some words stand three times in a row), `long` (of more
    source tokens than any line of the training), `unknown` (with characters or words that the vocabulary lacks)"""
    tokens: tuple[str, ...] = ()
    """target tokens, END last unless truncated"""
    log_probabilities: tuple[float, ...] = ()
    """one for each of the tokens, in nats"""
    source_tokens: tuple[str, ...] = ()
    """with END last"""
    attention: NDArray[np.float32] | None = None
    """(target tokens, source tokens), where it was asked for and the model has attention"""
    nbest: tuple[Alternative, ...] = ()


BLANK = Translation("", 0.0, 0.0)


class Translator:
    """Frozen copies of one model, or of an ensemble of models that share their tokenizers.

    Many threads may use one: on a CPU they search side by side, on a GPU one after the other.
    """

    def __init__(
        self,
        models: Sequence[Seq2Seq],
        source: Tokenizer,
        target: Tokenizer,
        decoding: Decoding,
        compute: Compute,
        learned_tokens: int | None = None,
    ) -> None:
        """`learned_tokens` are those of the longest line that the training may have kept."""
        self.models = [frozen(model, compute.device) for model in models]
        self.steppers = [Stepper(model, compute.dtype) for model in self.models]
        on_gpu = compute.device.type == "cuda"
        self.steps: list[Step[State]] = [ReplayedStep(each) if on_gpu else each for each in self.steppers]
        # a graph fills the same tensors for every search
        self.alone: AbstractContextManager[object] = Lock() if on_gpu else nullcontext()
        self.source = source
        self.target = target
        self.decoding = decoding
        self.compute = compute
        self.learned_tokens = learned_tokens
        self.has_warned = False

    @cached_property
    def _int8(self) -> list[Stepper]:
        return [Stepper(model, int8=True) for model in self.models]

    @cached_property
    def _exact(self) -> list[Stepper]:
        return [Stepper(model) for model in self.models]

    def _quickest(self, lines: int, beam: int) -> list[Stepper] | None:
        """Steps that are faster than those in bfloat16 on a CPU, where so few hypotheses are searched."""
        if self.compute.dtype != torch.bfloat16 or self.compute.device.type != "cpu":
            return None
        if lines * beam <= INT8_ROWS and Int8Affine.is_right():
            return self._int8
        return self._exact if lines == 1 and beam <= LONE_ROWS else None

    @classmethod
    def load(cls, *runs: str | Path, device: str = "auto", precision: Precision = "float32") -> Self:
        """Open one run folder, or several as an ensemble that averages their probabilities.

        Raises RunError for a folder that is missing or damaged, or whose languages or tokenizers differ, and TypeError
        for a list of folders.
        """
        if not runs:
            raise RunError("Translator.load: no run folder is given; name one, or several of an ensemble")
        for path in runs:
            if not isinstance(path, str | Path):
                raise TypeError(
                    f"Translator.load: a run folder is a str or a Path (given {path!r:.60}); give several of an"
                    " ensemble one by one, as in Translator.load(*folders)"
                )
        compute = choose_compute(device, precision)
        models, tokenizers, recipes = [], [], []
        for run in (RunFolder(Path(path)) for path in runs):
            recipe = read_run(run, {"translation": TranslationRecipe})
            source, target = load_tokenizers(run.path)
            sizes = {"source_vocabulary": source.vocabulary_size, "target_vocabulary": target.vocabulary_size}
            model = load_model(partial(build_seq2seq, recipe.model, **sizes), run.require_best())
            models.append(model.eval())
            tokenizers.append((source, target))
            recipes.append(recipe)
        ways = [f"{recipe.data.source} to {recipe.data.target}" for recipe in recipes]
        for run_path, way in zip(runs, ways, strict=True):
            if way != ways[0]:
                first = f"{runs[0]} from {ways[0]}"
                raise RunError(f"{run_path}: translates from {way}, but {first}; an ensemble needs the same languages")
        prints = [(source.fingerprint, target.fingerprint) for source, target in tokenizers]
        for run_path, own in zip(runs, prints, strict=True):
            if own != prints[0]:
                raise RunError(f"{run_path}: its tokenizer is not that of {runs[0]}; an ensemble must share tokenizers")
        learned = min(recipe.data.max_tokens for recipe in recipes)
        return cls(models, *tokenizers[0], _decoding(RunFolder(Path(runs[0])), recipes[0]), compute, learned)

    def with_batch(self, lines: int) -> Self:
        """The same translator, searching so many lines together."""
        other = copy(self)
        other.decoding = self.decoding.model_copy(update={"batch_lines": lines})
        return other

    def in_precision(self, precision: Precision) -> Self:
        """The same translator with matrix products of another type."""
        compute = choose_compute(str(self.compute.device), precision)
        return type(self)(self.models, self.source, self.target, self.decoding, compute, self.learned_tokens)

    def translate(
        self, lines: Iterable[str], *, beam: int | None = None, nbest: int = 1, attention: bool = False
    ) -> list[Translation]:
        """Translate lines of raw text, in their order; a blank line stays blank.

        `beam` is the recipe's unless given; it is widened to `nbest`, the translations returned of each line. Their
        texts differ; there are fewer where a beam four times as wide finds no more. Raises TypeError for anything but
        texts, and for one text instead of lines, and ValueError for a beam or nbest below 1.
        """
        lines = list_of_texts("lines", lines)
        width = self.decoding.beam if beam is None else beam
        for name, value in (("beam", width), ("nbest", nbest)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name}: must be a whole number of at least 1 (given {value!r})")
        encoded = [self.source.encode(line) if line.strip() else [] for line in lines]
        self._warn_of_long(lines, encoded)
        results = [BLANK] * len(lines)
        bar: AbstractContextManager[tqdm[None] | None] = nullcontext()
        if len(lines) != 1:  # a line alone needs none, nor the time to make it
            bar = tqdm(total=len(lines), desc="translate", unit=" lines", disable=None, delay=2, leave=False)
        with torch.inference_mode(), self.compute.entered(), bar as progress:
            for group in self._groups([len(tokens) for tokens in encoded]):
                with self.alone:
                    found = self._different([encoded[index] for index in group], max(width, nbest), nbest, attention)
                for index, hypotheses in zip(group, found, strict=True):
                    results[index] = self._translation(encoded[index], hypotheses)
                if progress is not None:
                    progress.update(len(group))
        return results

    def _is_long(self, source: Sequence[int]) -> bool:
        return self.learned_tokens is not None and len(source) > self.learned_tokens

    def _warn_of_long(self, lines: Sequence[str], encoded: Sequence[list[int]]) -> None:
        """Say so the first time that a line is longer than any that was learned: searching it can take minutes."""
        found = next((place for place, tokens in enumerate(encoded) if self._is_long(tokens)), None)
        if found is not None and not self.has_warned:
            self.has_warned = True
            log.warning(
                "a line has %s tokens (%r...), and training kept lines of at most %s: longer ones are translated badly"
                " and slowly, and are flagged `long`; split them into sentences",
                f"{len(encoded[found]):,}", lines[found][:30], f"{self.learned_tokens:,}",
            )  # fmt: skip

    def _groups(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of lines that are not blank, longest first, in batches of similar lengths."""
        group: list[int] = []
        for index in sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i]):
            longest = lengths[group[0]] if group else 0
            if group and (len(group) >= self.decoding.batch_lines or (len(group) + 1) * longest > BATCH_TOKENS):
                yield group
                group = []
            group.append(index)
        if group:
            yield group

    def _different(
        self, sources: Sequence[list[int]], beam: int, nbest: int, attention: bool, wider: int = 2
    ) -> list[list[Hypothesis]]:
        """The best hypotheses of each source, no two of one text, as two segmentations of a word are.

        Where that leaves fewer than `nbest`, beams twice as wide are searched, `wider` times at most.
        """
        if nbest == 1:
            return self._search(sources, beam, 1, attention)
        found = []
        for hypotheses in self._search(sources, beam, beam, attention):
            texts: dict[str, Hypothesis] = {}
            for each in hypotheses:
                texts.setdefault(self.target.decode(each.tokens), each)
            found.append([*texts.values()][:nbest])
        few = [index for index, hypotheses in enumerate(found) if len(hypotheses) < nbest]
        if few and wider:
            again = self._different([sources[index] for index in few], 2 * beam, nbest, attention, wider - 1)
            for index, hypotheses in zip(few, again, strict=True):
                found[index] = hypotheses
        return found

    def _search(self, sources: Sequence[list[int]], beam: int, nbest: int, attention: bool) -> list[list[Hypothesis]]:
        decoding, device = self.decoding, self.compute.device
        options = SearchOptions(
            forbidden=(PAD, START, UNKNOWN),
            no_repeat_ngram=decoding.no_repeat_ngram,
            length_normalization=decoding.length_normalization,
            length_alpha=decoding.length_alpha,
            coverage_penalty=decoding.coverage_penalty,
            keep_attention=attention,
        )
        sentences = [framed(tokens) for tokens in sources]
        longest = [decoding.longest_output(len(tokens)) for tokens in sentences]
        shortest = [
            min(int(len(tokens) * decoding.min_length_ratio), most)
            for tokens, most in zip(sentences, longest, strict=True)
        ]
        few = self._quickest(len(sources), beam)
        steppers, steps = (few, list[Step[State]](few)) if few else (self.steppers, self.steps)
        if len(sources) == len(steppers) == 1 and serves(steppers[0], options):
            limit = {"longest": longest[0], "shortest": shortest[0]}
            return [lone_search(steppers[0], sentences[0], options, beam=beam, nbest=nbest, **limit)]
        tokens, lengths = pad(sentences), torch.tensor([len(tokens) for tokens in sentences])
        if device.type == "cuda":  # of few widths: a graph is captured for each
            tokens = functional.pad(tokens, (0, -tokens.shape[1] % GPU_WIDTH), value=PAD)
        tokens = tokens.to(device)
        with self.compute.autocast():
            states = [stepper.begin(tokens, lengths) for stepper in steppers]

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

        return search(combine(steps), JointState(states)) if len(steps) > 1 else search(steps[0], states[0])

    def _translation(self, source: list[int], hypotheses: list[Hypothesis]) -> Translation:
        best = hypotheses[0]
        nbest = tuple(
            Alternative(self.target.decode(each.tokens), each.score, each.log_probability) for each in hypotheses
        )
        raised = {
            "truncated": best.truncated,
            "repeats": has_loop(nbest[0].text.split()),
            "long": self._is_long(source),
            "unknown": self.source.lacks(source),
        }
        tokens = best.tokens if best.truncated else framed(best.tokens)
        return Translation(
            *nbest[0],
            tuple(flag for flag, stands in raised.items() if stands),
            tuple(self.target.token(token) for token in tokens),
            tuple(best.log_probabilities),
            tuple(self.source.token(token) for token in framed(source)),
            best.attention,
            nbest,
        )


def _decoding(run: RunFolder, recipe: TranslationRecipe) -> Decoding:
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
