"""Plots of small recurrent models: states, probabilities, and what packing does to a batch."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from s2s.files import writing
from s2s.language.model import LanguageModel
from s2s.plots import label_of, save
from s2s.text.tokenizer import Tokenizer

DOTS_PER_INCH = 130
JOINED_PIXELS = 2000
"""Largest width of plots that are joined side by side."""


class Episode(NamedTuple):
    """A model reading some tokens, from a state of zeros."""

    title: str
    symbols: list[str]
    """(T,) the tokens read"""
    vocabulary: list[str]
    """(V,) the tokens that can be predicted"""
    states: NDArray[np.float32]
    """(T, H) the top layer after each"""
    probabilities: NDArray[np.float32]
    """(T, V) of the next token after each"""


def episodes(model: LanguageModel, tokens: list[int], tokenizer: Tokenizer, titles: list[str]) -> list[Episode]:
    """Hidden states and probabilities after each token, of each member of a model, from a state of zeros."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        model.eval()
        readout, hidden, _ = model(torch.tensor([tokens], device=device))
        probabilities = model.logits(readout)[0].float().softmax(dim=-1).view(len(tokens), model.members, -1)
        states = hidden[0].float().view(len(tokens), model.members, -1)
    symbols = [tokenizer.token(token) for token in tokens]
    vocabulary = [tokenizer.token(token) for token in range(tokenizer.vocabulary_size)]
    return [
        Episode(title, symbols, vocabulary, states[:, number].cpu().numpy(), probabilities[:, number].cpu().numpy())
        for number, title in enumerate(titles)
    ]


def plot_states(episodes: Sequence[Episode], path: Path, title: str) -> None:
    """Draw hidden states and probabilities, a small panel for each training in a square grid.

    Blue is -1, white 0, red 1; a row for each symbol read, from the top down.
    """
    side = math.ceil(math.sqrt(len(episodes)))
    wide = (episodes[0].states.shape[1] + len(episodes[0].vocabulary)) * 0.13 + 0.5
    rows = math.ceil(len(episodes) / side)
    figure = Figure(figsize=(side * max(wide, 1.6), rows * 2.3 + 0.5), dpi=DOTS_PER_INCH, layout="constrained")
    heading = f"{title}: hidden units | probability of the next symbol (blue -1, white 0, red 1)"
    figure.suptitle(heading, fontsize=9)
    for number, episode in enumerate(episodes):
        axes = figure.add_subplot(rows, side, number + 1)
        _panel(axes, np.hstack([episode.states, episode.probabilities]), episode, 5)
        axes.axvline(episode.states.shape[1] - 0.5, color="black", linewidth=1.2)
        axes.set_title(episode.title, fontsize=6, color="C2" if "learned" in episode.title else "black", pad=2)
    save(figure, path)


def plot_predictions(episodes: Sequence[Episode], path: Path) -> None:
    """Draw the probability of each next symbol after each symbol read, a panel for each model, side by side."""
    widest = max(len(episode.vocabulary) for episode in episodes)
    size = (len(episodes) * max(widest * 0.3 + 1.2, 2.2), len(episodes[0].symbols) * 0.22 + 1.2)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    for number, episode in enumerate(episodes):
        axes = figure.add_subplot(1, len(episodes), number + 1)
        _panel(axes, episode.probabilities, episode, 8)
        if max(map(len, episode.vocabulary)) > 2:
            axes.tick_params(axis="x", labelrotation=90)
        axes.set_title(episode.title, fontsize=8)
        axes.set(xlabel="probability of the next", ylabel="after reading" if number == 0 else "")
    save(figure, path)


def plot_accuracies(pairs: Sequence[tuple[float, float]], best: float | None, path: Path) -> None:
    """Draw, for each training, the share predicted rightly of the text it learned and of a fresh one."""
    figure = Figure(figsize=(6, 3.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    order = sorted(range(len(pairs)), key=lambda index: pairs[index])
    axes.plot([pairs[i][0] for i in order], "o-", color="C0", label="text learned", markersize=3.5)
    axes.plot([pairs[i][1] for i in order], "o-", color="C3", label="fresh text", markersize=3.5)
    if best is not None:
        axes.axhline(best, color="black", linestyle="--", label=f"best to be expected on fresh text ({best:.3f})")
    axes.set_title(path.parent.parent.name, loc="left")
    axes.set(xlabel="trainings, in the order of what they learned", ylabel="predicted rightly")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    save(figure, path)


def plot_packing(rows: Sequence[Sequence[str]], path: Path) -> None:
    """Draw a batch of rows of unequal lengths, padded and packed: what is computed at each step in time.

    Packed, the longest row is first, and at each step only the rows take part that are not finished.
    """
    longest = max(map(len, rows))
    sizes = [sum(len(row) > step for row in rows) for step in range(longest)]
    figure = Figure(figsize=(longest * 0.42 + 2, len(rows) * 0.7 + 2.4), dpi=DOTS_PER_INCH, layout="constrained")
    positions = f"{len(rows)} x {longest} = {len(rows) * longest} positions"
    panels = [
        (f"padded: {positions}, {len(rows) * longest - sum(sizes)} of them padding", list(rows)),
        (f"packed: {sum(sizes)} rows, in steps of {' '.join(map(str, sizes))}", sorted(rows, key=len, reverse=True)),
    ]
    for number, (title, lines) in enumerate(panels):
        axes = figure.add_subplot(2, 1, number + 1)
        for height, line in enumerate(lines):
            for step in range(longest if number == 0 else len(line)):
                there = step < len(line)
                color = "#cfe3f7" if there else "#dddddd"
                axes.add_patch(Rectangle((step, height), 1, 1, facecolor=color, edgecolor="white"))
                text = _shown(line[step]) if there else "pad"
                label = axes.text(step + 0.5, height + 0.5, text, ha="center", va="center", clip_on=True)
                label.set(fontsize=5.5, color="black" if there else "#888888")
        axes.set(xlim=(0, longest), ylim=(len(lines), 0), xlabel="step in time", ylabel="row")
        axes.set_title(title, loc="left", fontsize=8)
    save(figure, path)


def join_plots(paths: Sequence[Path], path: Path) -> None:
    """Join plots in one file: side by side where they are narrow, else under one another."""
    plots = [Image.open(each).convert("RGB") for each in paths]
    widths, heights = ([plot.size[axis] for plot in plots] for axis in (0, 1))
    across = sum(widths) <= JOINED_PIXELS
    joined = Image.new("RGB", (sum(widths), max(heights)) if across else (max(widths), sum(heights)), "white")
    for number, plot in enumerate(plots):
        joined.paste(plot, (sum(widths[:number]), 0) if across else (0, sum(heights[:number])))
    with writing(path) as temporary:
        joined.save(temporary, format="PNG")


def _panel(axes: Axes, values: NDArray[np.float32], episode: Episode, size: int) -> None:
    """Matrix in blue, white and red from -1 to 1: rows named by the tokens read, last columns by the vocabulary."""
    axes.matshow(values, cmap="bwr", vmin=-1.0, vmax=1.0, aspect="auto")
    axes.set_yticks(range(len(episode.symbols)), [_shown(symbol) for symbol in episode.symbols])
    columns = range(values.shape[1] - len(episode.vocabulary), values.shape[1])
    axes.set_xticks(columns, [_shown(token) for token in episode.vocabulary])
    axes.tick_params(labelsize=size, length=0, top=False, bottom=False, labeltop=False, labelbottom=True)


def _shown(token: str) -> str:
    return {"\n": "\\n", " ": "␣", "\t": "\\t"}.get(token) or label_of(token)
