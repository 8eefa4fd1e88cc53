"""What a run folder shows when a training has ended."""

from typing import TypeAlias

import torch

from s2s.forecast.baselines import persistence
from s2s.forecast.forecaster import SeriesForecaster
from s2s.forecast.plots import plot_forecast
from s2s.forecast.task import ForecastTask
from s2s.language.generator import Generator
from s2s.language.model import LanguageModel
from s2s.language.plots import Episode, plot_packing, plot_predictions
from s2s.language.task import LanguageTask
from s2s.plots import plot_attention, plot_curves
from s2s.run import Metrics, RunFolder
from s2s.text.special import START
from s2s.text.tokenizer import Tokenizer
from s2s.translation.task import TranslationTask
from s2s.translation.translator import Translator

SHOWN_TOKENS = 18
"""Tokens of the validation text whose predictions are drawn."""
SHOWN_ENTRIES = 40
"""Of a larger vocabulary nothing is drawn token by token."""
SHOWN_POSITIONS = 400
"""A larger batch is not drawn."""


AnyTask: TypeAlias = TranslationTask | LanguageTask | ForecastTask


def draw(run: RunFolder, task: AnyTask, device: str) -> None:
    """The curves, and what a task has to show: an alignment, predictions, a packed batch, a forecast."""
    if isinstance(task, TranslationTask):
        _draw_alignment(run, task, device)
    elif isinstance(task, ForecastTask):
        _draw_forecast(run, task, device)
    else:
        if task.tokenizer.vocabulary_size <= SHOWN_ENTRIES:
            plot_predictions([best_episode(run, task, device)], run.plots / "predictions.png")
        batch = next(task.batches(0, 0))
        if batch.lengths is not None and batch.inputs.numel() <= SHOWN_POSITIONS:
            rows = [
                [task.tokenizer.token(int(token)) for token in row[:length]]
                for row, length in zip(batch.inputs, batch.lengths, strict=True)
            ]
            plot_packing(rows, run.plots / "packing.png")
    plot_curves(Metrics(run.metrics).read(), run.plots / "curves.png")


def _draw_forecast(run: RunFolder, task: ForecastTask, device: str) -> None:
    """The test part of the first target: truth, forecast, interval, and what persistence says."""
    series, data = task.series, task.recipe.data
    windows = series.windows(data, series.parts.test, series.parts.end)
    found = SeriesForecaster.load(run.path, device=device).after(series.read, series.targets, windows.origins)
    ahead = data.horizon - 1
    interval = None if found.quantiles is None else (found.quantiles[0][:, ahead, 0], found.quantiles[-1][:, ahead, 0])
    plot_forecast(
        series.truth(windows)[:, ahead, 0],
        found.points[:, ahead, 0],
        persistence(series.targets[:, 0], windows.origins, data.horizon)[:, ahead],
        interval,
        run.plots / "forecast.png",
        times=[series.table.times[row + ahead] for row in windows.origins],
        title=f"{run.path.name}: {data.targets[0]}",
        step=data.horizon,
    )


def _draw_alignment(run: RunFolder, task: TranslationTask, device: str) -> None:
    """The attention of one validation sentence."""
    sources = [source for source, _ in task.validation]
    source = next((source for source in sources if 4 <= len(source.split()) <= 12), sources[0])
    found = Translator.load(run.path, device=device).translate([source], attention=True)[0]
    if found.attention is not None:
        plot_attention(found.attention, found.source_tokens, found.tokens, run.plots / "attention.png")


def best_episode(run: RunFolder, task: LanguageTask, device: str) -> Episode:
    """What a run's best weights make of the first tokens of the validation text."""
    model = Generator.load(run.path, device=device).model
    return episodes(model, shown_tokens(task), task.tokenizer, [run.path.name])[0]


def shown_tokens(task: LanguageTask) -> list[int]:
    """The beginning of the validation text, or its first line, as the model was trained to read it."""
    if task.recipe.data.cut != "lines":
        tokens: list[int] = task.validation.tokens[:SHOWN_TOKENS].tolist()
        return tokens
    begin = [] if task.recipe.tokenizer.symbols else [START]
    return [*begin, *task.validation.lines[0][:SHOWN_TOKENS].tolist()]


def episodes(model: LanguageModel, tokens: list[int], tokenizer: Tokenizer, titles: list[str]) -> list[Episode]:
    """Hidden states and probabilities after each token, of each member of a model; the text begins in state zero."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        model.eval()
        readout, hidden, _ = model(torch.tensor([tokens], device=device))
        probabilities = model.logits(readout)[0].float().softmax(dim=-1).view(len(tokens), model.members, -1)
        states = hidden[0].float().view(len(tokens), model.members, -1)
    symbols = [tokenizer.token(token) for token in tokens]
    entries = [tokenizer.token(token) for token in range(tokenizer.vocabulary_size)]
    return [
        Episode(title, symbols, entries, states[:, number].cpu().numpy(), probabilities[:, number].cpu().numpy())
        for number, title in enumerate(titles)
    ]
