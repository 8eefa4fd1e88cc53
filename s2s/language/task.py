"""Language models: from a recipe to text, model, loss and validation."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from s2s.corpus.find import cache_root
from s2s.device import Compute
from s2s.errors import DataError
from s2s.language.model import LanguageModel, build_language_model, build_members, member_weights
from s2s.language.recipe import LanguageData, LanguageRecipe
from s2s.language.scores import Predicted, predict
from s2s.language.text import Chunks, EncodedText, Pieces, SeparateLines, Stream, TextBatch, encode_text, whole_words
from s2s.nn.loss import Loss
from s2s.nn.recurrent import State
from s2s.run import RunFolder
from s2s.text.tokenizer import ListTokenizer, Tokenizer, listed, load_tokenizers, save_tokenizers, train_tokenizer

log = logging.getLogger("s2s")
SCORED_WINDOW = 2048
"""Tokens of a text that are scored in one pass, before the state is carried on."""
LEARNED_CHARACTERS = 1000
"""Subwords are learned from pieces of a text that are no longer than this."""


class LanguageTask:
    """Batches, loss and validation of one recipe, for the trainer."""

    def __init__(
        self,
        recipe: LanguageRecipe,
        model: LanguageModel,
        text: EncodedText,
        validation: EncodedText,
        tokenizer: Tokenizer,
        compute: Compute,
    ) -> None:
        self.recipe = recipe
        self.model = model
        self.compute = compute
        self.validation = validation
        self.tokenizer = tokenizer
        self.batches_of = cut(text, recipe)
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

    def loss(self, batch: TextBatch, step: int) -> Loss:
        """The loss of a batch; a chunk of a stream begins in the state in which the one before it ended."""
        device, training = self.compute.device, self.recipe.training
        loss, state = self.model.loss(
            batch.inputs.to(device),
            batch.targets.to(device),
            self._state if batch.continues else None,
            batch.lengths,
            activation_penalty=training.activation_penalty,
            temporal_activation_penalty=training.temporal_activation_penalty,
        )
        self._state = tuple(part.detach() for part in state) if self.recipe.data.cut == "stream" else None
        return loss

    def rates(self, step: int) -> Mapping[str, float]:
        """Nothing is scheduled."""
        return {}

    def validate(self) -> Mapping[str, Any]:
        """Scores of the validation text; of a sweep those of the best member, and what each has reached."""
        with self.compute.autocast():
            predicted = score_text(self.model, self.validation, self.recipe, self.compute)
        each = [predicted.scores(self.validation, member) for member in range(self.model.members)]
        order = ("accuracy", "nats_per_token") if self.recipe.training.metric == "accuracy" else ("nats_per_token",)
        signs = {"accuracy": -1, "nats_per_token": 1}
        self._kept_member = min(range(len(each)), key=lambda member: [signs[key] * each[member][key] for key in order])
        best = {**each[self._kept_member], "tokens": predicted.tokens}
        if self.recipe.sweep is None:
            return best
        members = {f"{key} of each": [scores[key] for scores in each] for key in ("nats_per_token", "accuracy")}
        return {**best, "seed": self.recipe.seed + self._kept_member, **members}

    def kept(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """All weights, or those of the member of a sweep that did best on the validation text."""
        return weights if self.recipe.sweep is None else member_weights(self.model, weights, self._kept_member)

    def path(self) -> str:
        """How the text is run through in training."""
        data, members = self.recipe.data, self.model.members
        together = f", {members} members as one" if members > 1 else ""
        carried = "the state carried on" if data.cut == "stream" else "each from a state of zeros"
        return f"{data.cut} of {data.window} tokens in {data.rows} rows, {carried}{together}"

    def carried(self) -> dict[str, Tensor]:
        """The state in which the last chunk of a stream ended."""
        return {str(number): part for number, part in enumerate(self._state or ())}

    def put_carried(self, tensors: dict[str, Tensor]) -> None:
        """Go on from that state."""
        state = tuple(tensors[str(number)].to(self.compute.device) for number in range(len(tensors)))
        self._state = state or None


def prepare(recipe: LanguageRecipe, run: RunFolder, compute: Compute, texts: Mapping[str, Pieces]) -> LanguageTask:
    """Everything before the first step: train or load the tokenizer, encode the texts, build the model."""
    train, validation = texts["train"], texts["validation"]
    tokenizer = _tokenizer(recipe, train, run)
    text, held = (encoded(source, tokenizer, recipe.data) for source in (train, validation))
    for each, source in ((text, train), (held, validation)):
        log.info("%s: %s tokens of %s entries", source.description, f"{len(each.tokens):,}", tokenizer.vocabulary_size)
        if each.unknown:
            share = each.unknown / len(each.tokens)
            log.warning("%s: %s tokens (%.2f%%) are unknown", source.description, f"{each.unknown:,}", 100 * share)
    torch.manual_seed(recipe.seed)
    if recipe.sweep is None:
        model = build_language_model(recipe.model, tokenizer.vocabulary_size)
    else:
        seeds = range(recipe.seed, recipe.seed + recipe.sweep.seeds)
        model = build_members(recipe.model, tokenizer.vocabulary_size, seeds)
    return LanguageTask(recipe, model, text, held, tokenizer, compute)


def encoded(source: Pieces, tokenizer: Tokenizer, data: LanguageData) -> EncodedText:
    """The tokens of a text; DataError for one that is too short to predict anything."""
    text = encode_text(source, tokenizer, lines=data.cut == "lines", cache=cache_root())
    framed = data.cut == "lines" and not (isinstance(tokenizer, ListTokenizer) and tokenizer.closed)
    longest = int(text.lines.lengths.max()) if data.cut == "lines" else len(text.tokens)
    if longest < 2 and not framed:
        what = "no line of more than 1 symbol" if data.cut == "lines" else "1 token, and nothing follows it"
        raise DataError(f"{source.description}: has {what}; give a longer text")
    return text


def cut(text: EncodedText, recipe: LanguageRecipe) -> Stream | Chunks | SeparateLines:
    """The text in batches, as the recipe says."""
    rows, window = recipe.data.rows, recipe.data.window
    if recipe.data.cut == "stream":
        return Stream(text, rows=rows, window=window)
    if recipe.data.cut == "chunks":
        return Chunks(text, rows=rows, window=window, seed=recipe.seed)
    framed = not recipe.tokenizer.symbols
    return SeparateLines(text, rows=rows, window=window, seed=recipe.seed, framed=framed)


def score_text(model: LanguageModel, text: EncodedText, recipe: LanguageRecipe, compute: Compute) -> Predicted:
    """Run a model over a whole text: one state from its beginning to its end, or line by line."""
    if recipe.data.cut == "lines":
        batches = cut(text, recipe).batches(0, 0)
    else:
        batches = Stream(text, rows=1, window=SCORED_WINDOW).batches(0, 0)
    return predict(model, batches, compute.device)


def _tokenizer(recipe: LanguageRecipe, train: Pieces, run: RunFolder) -> Tokenizer:
    """The run's tokenizer; until it has a checkpoint it is made, of the recipe's symbols or the training text."""
    if (run.last / "checkpoint.json").exists():
        return load_tokenizers(run.path)[0]
    settings = recipe.tokenizer
    tokenizer: Tokenizer
    if settings.symbols:
        tokenizer = _closed(recipe)
    else:
        keep_ends = settings.kind == "characters" and recipe.data.cut != "lines"
        pieces = train.read() if settings.kind == "characters" else whole_words(train.read(), LEARNED_CHARACTERS)
        tokenizer = train_tokenizer(settings, (piece if keep_ends else piece.removesuffix("\n") for piece in pieces))
    save_tokenizers(tokenizer, tokenizer, run.path)
    return tokenizer


def _closed(recipe: LanguageRecipe) -> ListTokenizer:
    try:
        return listed(recipe.tokenizer)(recipe.tokenizer.symbols, closed=True)
    except ValueError as problem:
        raise DataError(f"tokenizer.symbols: {problem}") from None
