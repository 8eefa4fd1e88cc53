"""Forecasting: from a recipe to a series, model, loss and validation."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.corpus.find import split_files
from s2s.device import Compute
from s2s.errors import DataError, S2SError
from s2s.forecast.baselines import naive_errors
from s2s.forecast.forecaster import SavedScaling, SeriesForecaster
from s2s.forecast.model import Forecaster, build_forecaster, forecast_loss
from s2s.forecast.plots import plot_next
from s2s.forecast.recipe import ForecastRecipe, SeriesData
from s2s.forecast.scaling import Scaler, fit_scaler, require_scalable
from s2s.forecast.table import SeriesTable, read_table
from s2s.forecast.windows import WINDOWS_AT_ONCE, Parts, Windows, divide, in_groups
from s2s.nn.loss import Loss
from s2s.run import RunFolder, write_json
from s2s.text.encoded import identity_of
from s2s.training.forcing import forcing_rate

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]


class Series(NamedTuple):
    """A table with its parts and its scaling."""

    table: SeriesTable
    read: Floats
    """(N, F) what the model reads, in the file's units"""
    targets: Floats
    """(N, K)"""
    parts: Parts
    reader: Scaler
    scaler: Scaler
    """of the targets"""

    def truth(self, windows: Windows) -> Floats:
        """(O, H, K) what came after each window, in the file's units."""
        ahead: Floats = self.targets[windows.origins[:, None] + np.arange(windows.horizon)]
        return ahead

    def in_units(self, windows: Windows, scaled: Floats) -> Floats:
        """(..., O, H, K) forecasts after each window, from scaled to the file's units."""
        return self.scaler.restore(scaled.astype(np.float64), self.targets[windows.origins - 1])

    def windows(self, data: SeriesData, first: int, end: int) -> Windows:
        """The windows whose forecasts lie in a range of rows; a first row that has no return is in none."""
        read, targets = self.reader.scale(self.read), self.scaler.scale(self.targets)
        first = max(first, data.rows_before)
        return Windows(read, targets, first=first, end=end, window=data.window, horizon=data.horizon)


class Found(NamedTuple):
    """A CSV file that is there."""

    path: Path
    identity: str
    """SHA-256 that changes when the file changes"""
    description: str


class SeriesSource(NamedTuple):
    """All data of a recipe."""

    series: Found


def find_series(data: SeriesData, corpora: Path | None) -> SeriesSource:
    """Find the CSV file that a recipe names; CorpusError or DataError for what is not there."""
    try:
        if isinstance(data.series, str):
            files = split_files(data.series, corpora).files
            if len(files) != 1:
                raise DataError(f"{data.series}: is not one table, it has {', '.join(sorted(files)) or 'no files'}")
            path, description = next(iter(files.values())), data.series
        else:
            path, description = Path(data.series.file), Path(data.series.file).name
        return SeriesSource(Found(path, identity_of([path]), description))
    except S2SError as problem:
        raise type(problem)(f"data.series: {problem}") from None


def read_series(data: SeriesData, path: Path) -> SeriesTable:
    """The columns that a recipe names, of its own file or of another."""
    wanted = list(dict.fromkeys((*data.read, *data.targets)))
    return read_table(path, wanted, time=data.time, newest_first=data.newest_first)


def values_of(data: SeriesData, table: SeriesTable) -> tuple[Floats, Floats]:
    """(N, F) what the model reads and (N, K) the targets; DataError for a value that the scaling is not defined for."""
    read, targets = (np.stack([table.columns[name] for name in names], axis=1) for names in (data.read, data.targets))
    require_scalable(data.scaling, read, data.read, table.place)
    require_scalable(data.scaling, targets, data.targets, table.place)
    return read, targets


def prepare_series(data: SeriesData, table: SeriesTable) -> Series:
    """Divide a series in time, and fit the scaling on its training part; DataError as these do."""
    read, targets = values_of(data, table)
    parts = divide(
        len(table),
        validation_share=data.validation_share,
        test_share=data.test_share,
        rows_before=data.rows_before,
        horizon=data.horizon,
    )
    try:
        reader = fit_scaler(data.scaling, read[: parts.validation], data.read)
        scaler = fit_scaler(data.scaling, targets[: parts.validation], data.targets)
    except DataError as problem:
        raise DataError(f"{table.path}: {problem}") from None
    for name, error in zip(data.targets, naive_errors(targets[: parts.validation]), strict=True):
        if not error:
            raise DataError(
                f"{table.path}: column {name}: never changes in the training part, so there is nothing to forecast;"
                " leave it out of data.targets"
            )
    return Series(table, read, targets, parts, reader, scaler)


class ForecastTask:
    """Batches, loss and validation of one recipe, for the trainer."""

    def __init__(self, recipe: ForecastRecipe, model: Forecaster, series: Series, compute: Compute) -> None:
        self.recipe, self.model, self.series, self.compute = recipe, model, series, compute
        parts = series.parts
        self.naive_errors = naive_errors(series.targets[: parts.validation])
        self.train = series.windows(recipe.data, 0, parts.validation)
        self.held = series.windows(recipe.data, parts.validation, parts.test)

    def batches_in_epoch(self, epoch: int) -> int:
        """The same in every epoch."""
        return -(-len(self.train) // self.recipe.training.batch_windows)

    def batches(self, epoch: int, skip: int) -> Iterator[NDArray[np.integer]]:
        """Numbers of windows, in an order that the epoch and the seed fix, without the first `skip` batches."""
        order = np.random.Generator(np.random.PCG64([self.recipe.seed, epoch])).permutation(len(self.train))
        size = self.recipe.training.batch_windows
        for number in range(skip, self.batches_in_epoch(epoch)):
            yield order[number * size : (number + 1) * size]

    def tokens(self, batch: NDArray[np.integer]) -> int:
        """Values that are forecast in a batch: after its windows, and after their rows where each is trained."""
        data, model = self.recipe.data, self.recipe.model
        steps = data.horizon
        if model.trained_rows == "each":
            steps += (data.window - 1) * (1 if model.steps == "fed_back" else data.horizon)
        return len(batch) * steps * len(data.targets)

    def loss(self, batch: NDArray[np.integer], step: int) -> Loss:
        """The summed loss of some windows, with the forcing rate of the step."""
        windows, device = self.train.batch(batch), self.compute.device
        inputs, known, truth = (part.to(device) for part in (windows.inputs, windows.known, windows.targets))
        rate, kind = self.rates(step)["forcing_rate"], self.recipe.model.loss
        if self.recipe.model.trained_rows == "last":
            total = forecast_loss(self.model, self.model(inputs, known[:, -1], truth, rate), truth, kind)
            return Loss(total, total.detach(), truth.numel())
        rows, forecast = self.model.at_each_row(inputs, known, truth, rate)
        rows_truth = windows.after_each_row(rows.shape[2]).to(device)
        total = forecast_loss(self.model, forecast, truth, kind) + forecast_loss(self.model, rows, rows_truth, kind)
        return Loss(total, total.detach(), truth.numel() + rows_truth.numel())

    def rates(self, step: int) -> Mapping[str, float]:
        """The forcing rate at a step."""
        forcing = self.recipe.training.teacher_forcing
        rate = forcing_rate(step, forcing.schedule, rate=forcing.rate, floor=forcing.floor, steps=forcing.steps)
        return {"forcing_rate": rate}

    def validate(self) -> Mapping[str, Any]:
        """The loss of each value and the MASE, the mean over targets, on the validation part.

        A single target has its mean absolute error beside it, in the file's units.
        """
        total, scaled = 0.0, []
        for group in in_groups(np.arange(len(self.held)), WINDOWS_AT_ONCE):
            held = self.held.batch(group)
            inputs, last, truth = (part.to(self.compute.device) for part in (held.inputs, held.last, held.targets))
            forecast = self.model(inputs, last)
            total += float(forecast_loss(self.model, forecast, truth, self.recipe.model.loss))
            scaled.append(self.model.point(forecast).cpu().numpy())
        points, truths = self.series.in_units(self.held, np.concatenate(scaled)), self.series.truth(self.held)
        errors = np.abs(points - truths).mean(axis=(0, 1))
        own = {"mae": float(errors[0])} if len(errors) == 1 else {}
        return {"loss": total / truths.size, "mase": float((errors / self.naive_errors).mean()), **own}

    def kept(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of them."""
        return weights

    def carried(self) -> dict[str, Tensor]:
        """Nothing: each window begins from zeros."""
        return {}

    def put_carried(self, tensors: dict[str, Tensor]) -> None:
        """Nothing to take up."""

    def path(self) -> str:
        """What is read, and what is forecast."""
        data, model = self.recipe.data, self.recipe.model
        steps = f"{data.horizon} steps {model.steps.replace('_', ' ')}" if data.horizon > 1 else "the next step"
        return f"windows of {data.window} rows, {steps}"


def prepare(recipe: ForecastRecipe, run: RunFolder, compute: Compute, source: SeriesSource) -> ForecastTask:
    """Everything before the first step: read, divide and scale the series, keep its scaling, build the model."""
    table = read_series(recipe.data, source.series.path)
    series = prepare_series(recipe.data, table)
    parts = series.parts
    log.info(
        "%s: %s rows to train on, %s to validate, %s to test", table.path.name, f"{parts.validation:,}",
        f"{parts.test - parts.validation:,}", f"{parts.end - parts.test:,}",
    )  # fmt: skip
    torch.manual_seed(recipe.seed)
    model = build_forecaster(
        recipe.model,
        features=len(recipe.data.read),
        targets=len(recipe.data.targets),
        window=recipe.data.window,
        horizon=recipe.data.horizon,
    )
    kept = slice(-recipe.data.window - 1, None)
    saved = SavedScaling(series.reader, series.scaler, series.read[kept], series.targets[kept])
    write_json(run.series, saved.as_json())
    return ForecastTask(recipe, model, series, compute)


def forecast_rows(run: Path, source: Path | None, device: str) -> tuple[list[dict[str, float]], Callable[[Path], None]]:
    """The next steps after a table, or after the run's own: a row for each, with quantiles where the model has them.

    And what draws the last rows and the forecast of the first target to a path.
    """
    forecaster = SeriesForecaster.load(run, device=device)
    data = forecaster.recipe.data
    read, known = forecaster.scaling.read, forecaster.scaling.targets
    if source is not None:
        read, known = values_of(data, read_series(data, source))
    found = forecaster.next_steps(read, known)
    rows = []
    for step in range(data.horizon):
        row: dict[str, float] = {"step": step + 1}
        for place, name in enumerate(data.targets):
            quantiles = () if found.quantiles is None else found.quantiles[:, 0, step, place]
            values = found.points[0, step, place], *quantiles
            row.update(zip(forecaster.recipe.columns_of(name), map(float, values), strict=True))
        rows.append(row)
    ends = None if found.quantiles is None else (found.quantiles[0, 0, :, 0], found.quantiles[-1, 0, :, 0])
    title = f"{data.targets[0]}, the next {data.horizon}"
    return rows, lambda path: plot_next(known[:, 0], found.points[0, :, 0], ends, path, title)
