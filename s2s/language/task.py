"""Language models: from a recipe to text, model, loss and validation."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from s2s.cache import cache_root
from s2s.corpus.sources import Part, sizes, split_of
from s2s.device import Compute, Precision
from s2s.errors import DataError
from s2s.language.dynamic import Dynamic, following
from s2s.language.generator import Generator
from s2s.language.gradients import gradients_of, plot_gradients
from s2s.language.model import LanguageModel, build_language_model, build_members, member_weights, predict
from s2s.language.plots import episodes, plot_accuracies, plot_packing, plot_predictions, plot_states
from s2s.language.recipe import LanguageData, LanguageRecipe, TextFile
from s2s.language.scores import Predicted
from s2s.language.sweeps import write_sweep
from s2s.language.text import EncodedText, Pieces, Stream, TextBatch, cut, encode_text, open_text, whole_words
from s2s.language.text import find as find  # what a task module answers
from s2s.nn.loss import Loss
from s2s.nn.recurrent import State
from s2s.run import RunFolder
from s2s.text.conventions import marks_of_others
from s2s.text.normalization import Normalization, changes_of, normalizer
from s2s.text.special import START, UNKNOWN
from s2s.text.spelling import spelled_badly
from s2s.text.tokenizer import Tokenizer, listed, load_tokenizers, save_tokenizers, train_tokenizer
from s2s.text.wordlist import ListTokenizer
from s2s.training.ranks import present
from s2s.training.task import Task

log = logging.getLogger("s2s")
SCORED_WINDOW = 2048
"""Tokens of a text that are scored in one pass."""
INSPECTED_LINES = 10_000
"""Lines of the training text that are searched for what other programs write and a tokenizer changes."""
SHOWN_TOKENS = 18
"""Tokens of the validation text whose predictions are plotted."""
SHOWN_VOCABULARY = 40
"""Largest vocabulary that is plotted token by token."""
SHOWN_POSITIONS = 400
"""Positions of the largest batch that is plotted."""
SHOWN_TRAININGS = 25
"""Trainings of a sweep whose states are plotted, in a square."""
LEARNED_CHARACTERS = 1000
"""Subwords are learned from pieces of a text that are no longer than this."""


@dataclass(eq=False)
class LanguageTask(Task[TextBatch]):
    """Batches, loss and validation of one recipe, for the trainer."""

    recipe: LanguageRecipe
    model: LanguageModel
    text: EncodedText
    validation: EncodedText
    tokenizer: Tokenizer
    compute: Compute
    also: Mapping[str, EncodedText] = field(default_factory=dict)
    """texts of data.also_validate"""

    def __post_init__(self) -> None:
        self.batches_of = cut(self.text, self.recipe)
        self._rows = self.batches_of.rows if isinstance(self.batches_of, Stream) else 0
        self._state: State | None = None
        self._kept_member = 0

    def batches_in_epoch(self, epoch: int) -> int:
        """Batches of an epoch, which counts from 0."""
        return self.batches_of.batches_in_epoch(epoch)

    def batches(self, epoch: int, skip: int) -> Iterator[TextBatch]:
        """The batches of an epoch in their order, without the first `skip`."""
        return self.batches_of.batches(epoch, skip)

    def tokens(self, batch: TextBatch) -> int:
        """Targets of a batch."""
        return batch.tokens

    def rows(self, batch: TextBatch) -> int:
        """Rows of a batch."""
        return len(batch.inputs)

    def part(self, batch: TextBatch, taken: slice) -> TextBatch:
        """Some rows of a batch."""
        return batch.part(taken)

    def loss(self, batch: TextBatch, step: int) -> Loss:
        """The loss of a batch; a chunk of a stream begins in the state in which the one before it ended."""
        device, training = self.compute.device, self.recipe.training
        loss, state = self.model.loss(
            batch.inputs.to(device),
            batch.targets.to(device),
            self._state if batch.continues else None,
            batch.lengths,
            activation_penalty=training.activation_penalty,
            temporal_activation_penalty=training.temporal_activation_penalty * batch.change_weight,
        )
        self._state = tuple(part.detach() for part in state) if self.recipe.data.cut == "stream" else None
        return loss

    def validate(self) -> Mapping[str, Any]:
        """Scores of the validation text; of a sweep those of the best member, and what each has reached."""
        predicted, each = self._scores(self.validation)
        by_accuracy = self.recipe.training.metric == "accuracy"
        ranks = [(-scores["accuracy"] if by_accuracy else 0.0, scores["nats_per_token"]) for scores in each]
        self._kept_member = ranks.index(min(ranks))
        best: dict[str, Any] = {**each[self._kept_member], "tokens": predicted.tokens}
        if predicted.unknown_tokens:
            best["unknown_share"] = predicted.unknown_share
        if self.also:
            best["also"] = {name: self._scores(text)[1][self._kept_member] for name, text in self.also.items()}
        if self.recipe.sweep is None:
            return best
        members = {f"{key} of each": [scores[key] for scores in each] for key in ("nats_per_token", "accuracy")}
        return {**best, "seed": self.recipe.seed + self._kept_member, **members}

    def _scores(self, text: EncodedText) -> tuple[Predicted, list[dict[str, float]]]:
        """Predictions for a text, and the scores of each member."""
        with self.compute.autocast():
            predicted = predict_text(self.model, text, self.recipe, self.compute)
        return predicted, predicted.scores(text.size)

    def kept(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """All weights, or those of the member of a sweep that did best on the validation text."""
        return weights if self.recipe.sweep is None else member_weights(self.model, weights, self._kept_member)

    def guessed_loss(self) -> float:
        """Nats of a token where all of the vocabulary are equally likely."""
        return math.log(self.tokenizer.vocabulary_size)

    def path(self) -> str:
        """How training runs through the text."""
        data, members = self.recipe.data, self.model.members
        together = f", {members} members as one" if members > 1 else ""
        carried = "the state carried on" if data.cut == "stream" else "each from a state of zeros"
        return f"{data.cut} of {data.window} tokens in {data.rows} rows, {carried}{together}"

    def carried(self) -> dict[str, Tensor]:
        """Final state of the last chunk of a stream, of all its rows."""
        return {str(number): self._of_all_rows(part) for number, part in enumerate(self._state or ())}

    def _of_all_rows(self, part: Tensor) -> Tensor:
        return torch.stack(present().shared(lambda _: part.cpu().unbind(dim=1), range(self._rows)), dim=1)

    def put_carried(self, tensors: dict[str, Tensor]) -> None:
        """Go on from that state."""
        rows = present().rows(self._rows)
        taken = slice(None) if rows is None else rows.taken
        parts = (tensors[str(number)][:, taken].contiguous() for number in range(len(tensors)))
        self._state = tuple(part.to(self.compute.device) for part in parts) or None


def check(recipe: LanguageRecipe, texts: Mapping[str, Pieces]) -> Iterator[str]:
    """Number of characters of each text, once it is read."""
    yield from sizes(texts, "characters", len)
    rule = recipe.tokenizer.normalization
    _warn_of_text(texts["train"], normalizer(rule), rule)


def _warn_of_text(text: Pieces, normalize: Callable[[str], str], rule: Normalization | None) -> None:
    pieces = [piece.removesuffix("\n") for piece in islice(text.read(), INSPECTED_LINES)]
    normalized = zip(pieces, map(normalize, pieces), strict=True)
    changes = changes_of(normalized, text.description, "tokenizer.normalization", rule)
    for warning in changes + marks_of_others(pieces, text.description):
        log.warning(warning)


def scored_part(recipe: LanguageRecipe) -> str:
    """What is scored when a training has ended: its test, or else its validation text."""
    return "validation" if recipe.data.test is None else "test"


def prepare(recipe: LanguageRecipe, run: RunFolder, compute: Compute, texts: Mapping[str, Pieces]) -> LanguageTask:
    """Everything before the first step: train or load the tokenizer, encode the texts, build the model."""
    train, validation = texts["train"], texts["validation"]
    tokenizer = _tokenizer(recipe, train, run)
    _warn_of_text(train, tokenizer.normalize, tokenizer.normalization)
    text, held = (encoded(source, tokenizer, recipe.data) for source in (train, validation))
    for each, source in ((text, train), (held, validation)):
        size = tokenizer.vocabulary_size
        log.info("%s: %s tokens, vocabulary of %s", source.description, f"{len(each.tokens):,}", size)
        if each.unknown:
            share = 100 * each.unknown_share
            log.warning("%s: %s tokens (%.2f%%) are unknown", source.description, f"{each.unknown:,}", share)
        closed = isinstance(tokenizer, ListTokenizer) and tokenizer.closed
        if short := recipe.data.cut == "lines" and closed and int((each.lines.lengths < 2).sum()):
            log.warning("%s: %s lines of fewer than 2 symbols left out", source.description, f"{short:,}")
    torch.manual_seed(recipe.seed)
    if recipe.sweep is None:
        model = build_language_model(recipe.model, tokenizer.vocabulary_size)
    else:
        seeds = range(recipe.seed, recipe.seed + recipe.sweep.seeds)
        model = build_members(recipe.model, tokenizer.vocabulary_size, seeds)
    also = {name: encoded(texts[f"also_validate.{name}"], tokenizer, recipe.data) for name in recipe.data.also_validate}
    return LanguageTask(recipe, model, text, held, tokenizer, compute, also)


def unlike_start(
    recipe: LanguageRecipe, texts: Mapping[str, Pieces], start: RunFolder, own: Mapping[str, Pieces]
) -> Iterator[str]:
    """What the vocabulary of the run at the start of a training spells badly, in a sentence; a closed one refuses."""
    if not recipe.tokenizer.symbols:
        new, old = (list(islice(each["train"].read(), INSPECTED_LINES)) if each else [] for each in (texts, own))
        yield from spelled_badly(load_tokenizers(start.path)[0], new, old, texts["train"].description, str(start))


def encoded(source: Pieces, tokenizer: Tokenizer, data: LanguageData) -> EncodedText:
    """The tokens of a text; DataError for one that is too short to predict anything."""
    lines = data.cut == "lines"
    text = encode_text(source, tokenizer, lines=lines, cache=cache_root())
    framed = lines and not (isinstance(tokenizer, ListTokenizer) and tokenizer.closed)
    longest = int(text.lines.lengths.max()) if lines else len(text.tokens)
    if longest < 2 and not framed:
        what = "no line of more than 1 symbol" if lines else "1 token, and nothing follows it"
        raise DataError(f"{source.description}: has {what}; give a longer text")
    return text


def predict_text(
    model: LanguageModel, text: EncodedText, recipe: LanguageRecipe, compute: Compute, dynamic: Dynamic | None = None
) -> Predicted:
    """Run a model over a whole text, in one stream or line by line; with `dynamic` a frozen one follows the text."""
    window = dynamic.window if dynamic else SCORED_WINDOW
    whole = cut(text, recipe) if recipe.data.cut == "lines" else Stream(text, rows=1, window=window)
    unknown = None if recipe.tokenizer.symbols else UNKNOWN
    if dynamic is None or not dynamic.rate:
        return predict(model, whole.batches(0, 0), compute.device, unknown=unknown)
    total = whole.batches_in_epoch(0)
    bar = tqdm(whole.batches(0, 0), "following", total, unit=" windows", disable=None, delay=2, leave=False)
    with following(model, dynamic) as learn:
        return predict(model, bar, compute.device, unknown=unknown, learn=learn)


def part_of(
    run: RunFolder, recipe: LanguageRecipe, *, on: str | None, files: object, beam: int | None, corpora: Path | None
) -> Part:
    """The text to score a run on, that of `scored_part` unless another is asked for."""
    if beam is not None:
        raise DataError(f"{run}: a language model translates nothing; leave out --beam")
    exact = recipe.tokenizer.kind == "bytes"
    if files is not None:
        if not isinstance(files, TextFile):
            raise DataError(f"{run}: a language model is scored on one text; leave out --reference")
        return Part(files.file, open_text(files, corpora, exact=exact))
    wanted = on or scored_part(recipe)
    if wanted in ("train", "validation"):  # one may be held out of the other
        return Part(wanted, find(recipe, corpora)[wanted])
    split = split_of(recipe.data, wanted, "--source")
    return Part(split if isinstance(split, str) else wanted, open_text(split, corpora, exact=exact))


def score(
    run: RunFolder,
    recipe: LanguageRecipe,
    part: Part,
    *,
    device: str,
    precision: Precision,
    beam: int | None,
    dynamic: Dynamic | None = None,
) -> dict[str, Any]:
    """Scores of a language model on a text; DataError where the weights are to follow lines that stand for themselves.

    The numbers of `dynamic` are as on the command line, or ValueError.
    """
    if dynamic and recipe.data.cut == "lines":
        raise DataError(
            f"{run}: the model was trained line by line (data.cut is lines), each from a state of zeros and in no order"
            " that weights could follow; leave out --dynamic"
        )
    if dynamic:
        dynamic.require()
    generator = Generator.load(run.path, device=device, precision=precision)
    text = encoded(part.source, generator.tokenizer, recipe.data)
    with generator.compute.entered(), generator.compute.autocast():
        predicted = predict_text(generator.model, text, recipe, generator.compute, dynamic)
    (scores,) = predicted.scores(text.size)
    return {
        "task": "language",
        "run": str(run),
        "split": part.name,
        "examples": predicted.tokens,
        "unit": "tokens",
        "nats": predicted.nats[0],
        "characters": text.size.characters,
        "bytes": text.size.bytes,
        "unknown_tokens": predicted.unknown_tokens,
        "unknown_share": predicted.unknown_share,
        **predicted.parts(),
        "state": "anew for each line" if recipe.data.cut == "lines" else "carried",
        **({"dynamic": dynamic._asdict()} if dynamic else {}),
        "scores": {name: {"value": value} for name, value in scores.items()},
    }


def draw(run: RunFolder, task: LanguageTask, texts: Mapping[str, Pieces], device: str) -> None:
    """Plots of a sweep, of predictions for the validation text's first tokens, and of a packed batch."""
    if task.recipe.sweep is not None:
        _finish_sweep(run, task, texts.get("test"))
    if task.tokenizer.vocabulary_size <= SHOWN_VOCABULARY:
        model = Generator.load(run.path, device=device).model
        shown = episodes(model, _shown_tokens(task), task.tokenizer, [run.path.name])
        plot_predictions(shown, run.plots / "predictions.png")
    if task.recipe.sweep is None:
        model = Generator.load(run.path, device=device).model
        if norms := gradients_of(model, task.validation, task.recipe, task.compute.device):
            plot_gradients(norms, run.plots / "gradients.png", run.path.name)
    batch = next(task.batches(0, 0))
    if batch.lengths is not None and batch.inputs.numel() <= SHOWN_POSITIONS:
        rows = [row[:length].tolist() for row, length in zip(batch.inputs, batch.lengths, strict=True)]
        plot_packing([list(map(task.tokenizer.token, row)) for row in rows], run.plots / "packing.png")


def _finish_sweep(run: RunFolder, task: LanguageTask, fresh: Pieces | None) -> None:
    """Write sweep.json and the plots of a sweep: each training's last weights, on both texts."""
    recipe, model = task.recipe, task.model
    model.eval()
    texts = {"validation": task.validation}
    if fresh is not None:
        texts["test"] = encoded(fresh, task.tokenizer, recipe.data)
    scores = {}
    for name, text in texts.items():
        predicted = predict_text(model, text, recipe, task.compute)
        scores[name] = predicted.scores(text.size)
    rows = write_sweep(run, recipe, scores, task.batches_in_epoch(0) // recipe.training.accumulate)
    if task.tokenizer.vocabulary_size + recipe.model.hidden_size <= 2 * SHOWN_VOCABULARY:
        titles = [f"seed {row['seed']}{'' if row['learned_epoch'] is None else ', learned'}" for row in rows]
        shown = episodes(model, _shown_tokens(task), task.tokenizer, titles)[:SHOWN_TRAININGS]
        plot_states(shown, run.plots / "sweep.png", f"{run.path.name}: {recipe.model.hidden_size} units")
    if fresh is not None and recipe.sweep is not None:
        accuracies = [(row["validation_accuracy"], row["test_accuracy"]) for row in rows]
        plot_accuracies(accuracies, recipe.sweep.best_accuracy, run.plots / "accuracies.png")


def _shown_tokens(task: LanguageTask) -> list[int]:
    """The beginning of the validation text, or its first line, as the model was trained to read it."""
    lines = task.recipe.data.cut == "lines"
    begin = [START] if lines and not task.recipe.tokenizer.symbols else []
    text = task.validation.lines[0] if lines else task.validation.tokens
    return [*begin, *text[:SHOWN_TOKENS].tolist()]


def _tokenizer(recipe: LanguageRecipe, train: Pieces, run: RunFolder) -> Tokenizer:
    """Tokenizer of the run; until it has a checkpoint that of its start, or a new one of symbols or training text."""
    before = run.begun_from(recipe.training.start)
    if before is run:
        return load_tokenizers(run.path)[0]
    settings = recipe.tokenizer
    tokenizer: Tokenizer
    if before:
        tokenizer = load_tokenizers(before.path)[0]
    elif settings.symbols:
        try:
            tokenizer = listed(settings)(settings.symbols, closed=True)
        except ValueError as problem:
            raise DataError(f"tokenizer.symbols: {problem}") from None
    else:
        keep_ends = settings.kind == "characters" and recipe.data.cut != "lines"
        pieces = train.read() if settings.kind == "characters" else whole_words(train.read(), LEARNED_CHARACTERS)
        lines = (piece if keep_ends else piece.removesuffix("\n") for piece in pieces)
        rule = settings.normalization
        tokenizer = train_tokenizer(settings, map(normalizer(rule), lines)).under(rule)
    save_tokenizers(tokenizer, tokenizer, run.path)
    return tokenizer
