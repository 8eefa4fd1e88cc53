"""Which unit of a language model follows what in a text (Karpathy et al. 2015), by correlation on a held-out one.

The unit of a trait has the highest absolute correlation on one half of what is read; what counts is that on the other.
Chance is the same with the trait moved along the text by a random number of tokens, SHIFTS times, which keeps its runs
and breaks its tie to the units; it is above all but one of these.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from s2s.language.generator import Generator
from s2s.language.recipe import LanguageRecipe
from s2s.language.text import EncodedText, Stream, TextBatch, cut

READ_TOKENS = 8_000
ROWS = 16
"""Pieces of running text that are read side by side."""
READ_BEFORE = 100
"""Tokens at the beginning of each that are not counted."""
SEEN_BEFORE = 2_000
"""Tokens before each that the model does not read, which say what it begins in: a quotation, a bracket, a line."""
SEAM = " […]\n"
"""What is drawn after the last token of each."""
SHIFTS = 100
SHOWN_TOKENS = 400
LEVELS = 7
"""Steps of a unit's values that are told apart."""
TRAITS = {
    "quotation": (
        "inside quotation marks",
        "from “, «, „, 「, 『, \", or » or ” before a letter, to the mark that closes it or the paragraph's end",
    ),
    "bracket": ("inside brackets", "from (, [ or { to the one that closes it or the paragraph's end"),
    "line": ("place in the line", "characters since the beginning of the line"),
    "capital": ("inside a word with a capital", "from a capital letter that begins a word to the word's last letter"),
    "sentence": ("between sentences", "from . ! ? to the next letter or digit"),
}
"""Name and rule of each."""


class Unit(NamedTuple):
    """The unit that follows a trait best, with what is drawn of it."""

    trait: str
    rule: str
    name: str
    """of the unit"""
    correlation: float
    """on the half of the text on which it was not chosen"""
    chance: float
    """absolute correlation of a trait moved along the text, at most but once"""
    means: tuple[float, float]
    """of the unit where the trait holds, or is above its median, and elsewhere"""
    found: bool
    """whether the correlation is above chance"""
    bounds: Sequence[float]
    """(LEVELS + 1,) values between which the levels lie"""
    drawn: Sequence[tuple[int, str]]
    """a passage in parts of one level"""


class Watched(NamedTuple):
    """Tokens of a text, row after row, with the state after each."""

    texts: Sequence[str]
    traits: NDArray[np.float32]
    """(N, traits)"""
    values: NDArray[np.float32]
    """(N, L x H): hidden units, or tanh of an LSTM's cells"""


def traits_of(texts: Sequence[str]) -> NDArray[np.float32]:
    """(tokens, traits) of a text that is read from its beginning, each at a token's last character before a space."""
    closers = {"“": "”", "„": "“”", "”": "”", "«": "»", "»": "«", "「": "」", "『": "』", '"': '"'}
    quoted, depth, column, rows = "", 0, 0, []
    capital = word = between = False
    text = "".join(texts)
    for at, letter in enumerate(text):
        column = 0 if letter == "\n" else column + 1
        if letter == "\n" and text[at - 1 : at] == "\n":
            quoted, depth = "", 0
        if quoted and letter in closers[quoted]:
            quoted = ""
        elif not quoted and letter in closers and (letter not in "”»" or text[at + 1 : at + 2].isalpha()):
            quoted = letter
        depth = max(depth + (letter in "([{") - (letter in ")]}"), 0)
        inside = letter.isalnum()
        capital = inside and (capital if word else letter.isupper())
        word = inside
        between = not inside and (between or letter in ".!?")
        rows.append((bool(quoted), depth > 0, column, capital, between))
    spaces = [len(each) - len(each.rstrip(" ")) if each.strip(" ") else 0 for each in texts]  # after a whole word
    ends = np.cumsum([len(each) for each in texts]) - 1 - spaces
    return np.asarray(rows, np.float32).reshape(-1, len(TRAITS))[np.maximum(ends, 0)]


@torch.inference_mode()
def watched(generator: Generator, text: EncodedText, recipe: LanguageRecipe, surface: Callable[[int], str]) -> Watched:
    """States after the tokens of a text, from all over it; `surface` is the text of a token."""
    texts, traits, values = list[str](), [], []
    for batch, before, starts in _batches(text, recipe):
        lengths = [batch.inputs.shape[1]] * len(batch.inputs) if batch.lengths is None else batch.lengths.tolist()
        state, states = None, []
        for at in range(batch.inputs.shape[1]):
            state = generator.model(batch.inputs[:, at : at + 1].to(generator.compute.device), state).state
            part = state[-1].float() if len(state) == 1 else state[-1].float().tanh()
            states.append(part.transpose(0, 1).flatten(1).cpu())
        rows = torch.stack(states, dim=1).numpy()
        for row, (tokens, length, start) in enumerate(zip(batch.inputs.tolist(), lengths, starts, strict=True)):
            seen = text.tokens[max(start - SEEN_BEFORE, 0) : start].tolist()
            shown = [surface(token) for token in [*seen, *tokens[:length]]]
            texts += shown[len(seen) + before :]
            if batch.lengths is None:
                texts[-1] += SEAM
            traits.append(traits_of(shown)[len(seen) + before :])
            values.append(rows[row, before:length])
    return Watched(texts, np.concatenate(traits), np.concatenate(values))


def _batches(text: EncodedText, recipe: LanguageRecipe) -> Iterator[tuple[TextBatch, int, Sequence[int]]]:
    """Batches of READ_TOKENS in all, the tokens of each row that are not counted, and where each row begins."""
    if recipe.data.cut == "lines":
        rows = recipe.data.rows * recipe.data.window  # about the tokens of a batch
        batches = islice(cut(text, recipe).batches(0, 0), -(-READ_TOKENS // rows))
        yield from ((batch, 0, [0] * len(batch.inputs)) for batch in batches)
        return
    size = max(min(READ_TOKENS // ROWS + READ_BEFORE, (len(text.tokens) - 1) // 2), 1)
    rows = min(ROWS, (len(text.tokens) - 1) // size)
    stream = Stream(text, rows=rows, window=size)
    starts = [row * stream.each for row in range(stream.rows)]
    yield next(stream.batches(0, 0)), min(READ_BEFORE, size // 4), starts


def units_of(seen: Watched, layers: int, kind: str) -> list[Unit]:
    """The best unit for each trait that the text has."""
    count, (tokens, size) = len(TRAITS), seen.values.shape
    half, names = tokens // 2, list(TRAITS.values())
    if half < 10:
        return []
    varied = [
        trait for trait in range(count) if np.ptp(seen.traits[:half, trait]) and np.ptp(seen.traits[half:, trait])
    ]
    random = np.random.Generator(np.random.PCG64(1))
    shifts = [0, *random.integers(half // 10, half - half // 10, SHIFTS)]
    chosen_on, checked_on = (
        _correlations(seen.values[part], np.stack([np.roll(seen.traits[part], by, axis=0) for by in shifts], axis=1))
        for part in (slice(0, half), slice(half, None))
    )
    found = []
    for trait in varied:
        best = np.abs(chosen_on[:, :, trait]).argmax(axis=0)
        checked = checked_on[best, np.arange(len(shifts)), trait]
        unit, own = int(best[0]), seen.values[:, best[0]]
        name = f"{kind} {unit % (size // layers) + 1}" + (
            f" of layer {unit // (size // layers) + 1}" if layers > 1 else ""
        )
        holds = seen.traits[:, trait] > np.median(seen.traits[half:, trait]) * (names[trait] == TRAITS["line"])
        bounds = np.linspace(np.quantile(own, 0.01), np.quantile(own, 0.99), LEVELS + 1)
        begins = range(half, max(tokens - SHOWN_TOKENS, half + 1), SHOWN_TOKENS // 4)
        begin = max(begins, key=lambda at: float(seen.traits[at : at + SHOWN_TOKENS, trait].var()))
        passage = slice(begin, begin + SHOWN_TOKENS)
        levels = np.clip(np.searchsorted(bounds, own[passage]) - 1, 0, LEVELS - 1).tolist()
        groups = groupby(zip(levels, seen.texts[passage], strict=True), key=lambda token: token[0])
        drawn = [(level, "".join(text for _, text in group)) for level, group in groups]
        correlation, chance = float(checked[0]), float(np.sort(np.abs(checked[1:]))[-2])
        means, is_found = (float(own[holds].mean()), float(own[~holds].mean())), abs(correlation) > chance
        found.append(Unit(*names[trait], name, correlation, chance, means, is_found, bounds.tolist(), drawn))
    return found


def _correlations(values: NDArray[np.float32], traits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, U), (N, ...) -> (U, ...); 0 for what does not vary."""
    flat = traits.reshape(len(traits), -1)
    ready = []
    for each in (values, flat):
        centred = each - each.mean(axis=0)
        norm = np.sqrt(np.square(centred).sum(axis=0))
        ready.append(centred / np.where(norm > 1e-6, norm, np.inf))
    found: NDArray[np.float32] = ready[0].T @ ready[1]
    return found.reshape(-1, *traits.shape[1:])
