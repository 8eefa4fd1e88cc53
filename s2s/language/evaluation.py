"""Scores of a language model on a text."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from s2s.cache import cache_root
from s2s.corpus.sources import Part, split_of
from s2s.device import Compute, Precision
from s2s.errors import DataError
from s2s.language.dynamic import Dynamic, following
from s2s.language.generator import Generator
from s2s.language.model import LanguageModel, predict
from s2s.language.recipe import LanguageData, LanguageRecipe, TextFile
from s2s.language.scores import Predicted
from s2s.language.text import EncodedText, Pieces, Stream, cut, encode_text, find, open_text
from s2s.run import RunFolder
from s2s.text.special import UNKNOWN
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import ListTokenizer

SCORED_WINDOW = 2048
"""Tokens of a text that are scored in one pass."""


def scored_part(recipe: LanguageRecipe) -> str:
    """What is scored when a training has ended: its test, or else its validation text."""
    return "validation" if recipe.data.test is None else "test"


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
