"""Forecasting: from a recipe to a series, model, loss and validation."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.corpus.sources import Source
from s2s.device import Compute
from s2s.files import write_json
from s2s.forecast.baselines import persistence
from s2s.forecast.data import SeriesData
from s2s.forecast.evaluation import part_of as part_of  # what a task module answers
from s2s.forecast.evaluation import score as score
from s2s.forecast.evaluation import scored_part as scored_part
from s2s.forecast.forecaster import SeriesForecaster
from s2s.forecast.least_squares import fit_linear_parts
from s2s.forecast.model import Beside, Forecaster, forecast_loss
from s2s.forecast.panel import Panel
from s2s.forecast.plots import plot_forecast
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.saved import Saved, last_rows, saved_scaling
from s2s.forecast.scaling import require_all
from s2s.forecast.series import PARTS, SHOWN, Prepared, Series, prepare_panel, values_of
from s2s.forecast.table import Tables, find_series
from s2s.forecast.windows import WINDOWS_AT_ONCE, in_groups
from s2s.nn.loss import Loss
from s2s.nn.rows import for_rows
from s2s.run import RunFolder
from s2s.training.forcing import forcing_rate
from s2s.training.task import Task

log = logging.getLogger("s2s")


class ForecastTask(Task[NDArray[np.integer]]):
    """Batches, loss and validation of one recipe, for the trainer."""

    model: Forecaster

    def __init__(
        self,
        recipe: ForecastRecipe,
        model: Forecaster,
        series: Sequence[Series],
        compute: Compute,
        also: Mapping[str, Sequence[Series]] = {},
    ) -> None:
        """`also` are the series of data.also_validate."""
        self.recipe, self.model, self.series, self.compute = recipe, model, series, compute
        self.also = {name: ForecastTask(recipe, model, each, compute) for name, each in also.items()}
        self.panel = Panel(series, recipe.data)
        self.train, self.held = (
            self.panel.windows(self.panel.origins(series, part)) for part in ("training", "validation")
        )

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
        data, model, steps = self.recipe.data, self.recipe.model, self.recipe.data.horizon
        after_rows = (1 if model.steps == "fed_back" else data.horizon) if model.trained_rows == "each" else 0
        if self.train.valid is None:
            return len(batch) * (steps + (data.window - 1) * after_rows) * len(data.targets)
        windows = self.train.batch(batch)
        valid = [windows.valid_steps(), windows.valid_after_each_row(after_rows) if after_rows else None]
        return sum(int(each.sum()) for each in valid if each is not None)

    def rows(self, batch: NDArray[np.integer]) -> int:
        """Windows of a batch."""
        return len(batch)

    def part(self, batch: NDArray[np.integer], taken: slice) -> NDArray[np.integer]:
        """Some windows of a batch."""
        return batch[taken]

    def loss(self, batch: NDArray[np.integer], step: int) -> Loss:
        """The summed loss of some windows, with the forcing rate of the step."""
        windows, device = self.train.batch(batch), self.compute.device
        inputs, known, truth = (part.to(device) for part in windows[:3])
        beside = self._unnamed(windows.beside).to(device)
        rate = self.rates(step)["forcing_rate"]
        unit = self.panel.unit(self.train.origins[batch]).to(device)
        if self.recipe.model.trained_rows == "last":
            return self._loss(self.model(inputs, known[:, -1], truth, rate, beside), truth, windows.valid_steps(), unit)
        rows, forecast = self.model.at_each_row(inputs, known, truth, rate, beside)
        after = windows.after_each_row(rows.shape[2]).to(device), windows.valid_after_each_row(rows.shape[2])
        parts = self._loss(forecast, truth, windows.valid_steps(), unit), self._loss(rows, *after, unit[:, None])
        total = parts[0].smoothed + parts[1].smoothed
        return Loss(total, total.detach(), parts[0].tokens + parts[1].tokens)

    def _loss(self, forecast: Tensor, truth: Tensor, valid: Tensor | None, unit: Tensor) -> Loss:
        """Of forecasts (..., P) of values (...), those left out that are not `valid`; a scaled one is a `unit`."""
        if valid is not None:
            valid = valid.to(truth.device)
            forecast, truth, unit = forecast[valid], truth[valid], unit.expand_as(truth)[valid]
        total = forecast_loss(self.model, forecast, truth, self.recipe.model.loss, unit)
        return Loss(total, total.detach(), truth.numel())

    def _unnamed(self, beside: Beside) -> Beside:
        """Windows of which a share, model.series_dropout, is read as those of a series that was never seen."""
        rate = self.recipe.model.series_dropout
        if beside.series is None or not rate:
            return beside
        dropped = for_rows(torch.rand, len(beside.series)) < rate
        return beside._replace(series=beside.series.masked_fill(dropped, 0))

    def rates(self, step: int) -> Mapping[str, float]:
        """The forcing rate at a step."""
        forcing = self.recipe.training.teacher_forcing
        rate = forcing_rate(step, forcing.schedule, rate=forcing.rate, floor=forcing.floor, steps=forcing.steps)
        return {"forcing_rate": rate}

    def validate(self) -> Mapping[str, Any]:
        """The loss of each value and the mean MASE on the validation part; of a single target, the MAE in its units.

        MASE is the mean over the series of each one's.
        """
        total, shape = 0.0, (len(self.series), len(self.recipe.data.targets))
        absolute, counts = np.zeros(shape), np.zeros(shape)
        for group in in_groups(np.arange(len(self.held)), WINDOWS_AT_ONCE):
            held, origins = self.held.batch(group), self.held.origins[group]
            inputs, known, truth = (part.to(self.compute.device) for part in held[:3])
            forecast = self.model(inputs, known[:, -1], beside=held.beside.to(self.compute.device))
            unit = self.panel.unit(origins).to(self.compute.device)
            total += float(self._loss(forecast, truth, held.valid_steps(), unit).nats)
            points = self.panel.in_units(origins, self.model.point(forecast).cpu().numpy())
            errors = np.abs(points - self.panel.truth(origins))
            which = self.panel.series_of(origins)
            np.add.at(absolute, which, np.nansum(errors, axis=1))
            np.add.at(counts, which, (~np.isnan(errors)).sum(axis=1))
        maes = np.divide(absolute, counts, out=np.full(absolute.shape, np.nan), where=counts > 0)
        mase = maes / np.stack([each.naive_errors for each in self.series])
        own: dict[str, Any] = {"mae": float(absolute.sum() / counts.sum())} if counts.shape[1] == 1 else {}
        if self.also:
            own["also"] = {name: task.validate() for name, task in self.also.items()}
        return {"loss": total / int(counts.sum()), "mase": float(np.nanmean(mase)), **own}

    def diverged_loss(self) -> float:
        """A hundred times the mean square of what is forecast, scaled, and of a value of one."""
        known = [each.scaler.scale(each.targets[: each.parts.validation]) for each in self.series]
        return 100 * (1 + float(np.nanmean(np.square(np.concatenate(known)))))

    def path(self) -> str:
        """Rows read, and steps forecast."""
        data, model = self.recipe.data, self.recipe.model
        steps = f"{data.horizon} steps {model.steps.replace('_', ' ')}" if data.horizon > 1 else "the next step"
        return f"windows of {data.window} rows, {steps}"


def find(recipe: ForecastRecipe, corpora: Path | None) -> dict[str, Source[Tables]]:
    """The table that a recipe names, by its key."""
    return find_series(recipe.data, corpora)


def check(recipe: ForecastRecipe, sources: Mapping[str, Source[Tables]]) -> Iterator[str]:
    """How many rows each part of a series has."""
    for key, source in sources.items():
        series = _counted(recipe, _told(prepare_panel(recipe.data, source.read()))).series
        yield f"data.{key}: {source.description}, {_rows_of(recipe.data, series)}"


def prepare(
    recipe: ForecastRecipe, run: RunFolder, compute: Compute, sources: Mapping[str, Source[Tables]]
) -> ForecastTask:
    """All before the first step: read, divide and scale the series, keep its scaling, build the model."""
    data, before = recipe.data, run.begun_from(recipe.training.start)
    learned = saved_scaling(before, data).shared if recipe.training.start and before else None
    tables = sources["series"].read()
    series, shared, left, _ = _counted(recipe, _told(prepare_panel(data, tables, learned)))
    also = {
        name: _counted(recipe, prepare_panel(data, sources[f"also_validate.{name}"].read(), shared)).series
        for name in data.also_validate
    }
    log.info("%s: %s", tables[0].path.name, _rows_of(data, series))
    torch.manual_seed(recipe.seed)
    model = Forecaster(recipe.model, data, shared.embedded)
    saved = [last_rows(data, each.table, each.values, shared, each.learned()) for each in series]
    saved += [last_rows(data, each, values_of(data, each), shared) for each in left]
    if not (run.checkpoint.exists() and run.series.exists()):  # that of a finished run stays as it is
        write_json(run.series, Saved(shared, tuple(sorted(saved, key=lambda each: each.id))).as_json())
    task = ForecastTask(recipe, model, series, compute, also)
    if recipe.model.autoregression_weights == "least_squares":
        fit_linear_parts(model, task.train, data)
    return task


def unlike_start(
    recipe: ForecastRecipe, sources: Mapping[str, Source[Tables]], start: RunFolder, own: object
) -> Iterator[str]:
    """Columns with values far from those that the run at the start of a training has learned, in sentences."""
    saved, tables = saved_scaling(start, recipe.data), sources["series"].read()
    learned, said = {each.id: each for each in saved.series}, 0
    for series in prepare_panel(recipe.data, tables, saved.shared).series:
        before, new = learned.get(series.table.id), series.learned()
        if before is None or before.learned is None or said == SHOWN:
            continue
        old = before.learned
        far = np.maximum(old[0] - new[0], new[1] - old[1]) > (old[1] - old[0]) / 2
        has, had = map(before.reader.in_words, (new, old))
        said += bool(far.any())
        for place in np.flatnonzero(far):
            learned_there = f"{start}, whose scaling is kept, learned {had[place]}"
            yield f"{series.table.name}: column {recipe.data.read[place]} has {has[place]}, and {learned_there}"


def _told(found: Prepared) -> Prepared:
    """What was found, after its remarks were logged; scoring, which reads it again, does not repeat them."""
    for remark in found.remarks:
        log.warning("%s", remark)
    return found


def _counted(recipe: ForecastRecipe, found: Prepared) -> Prepared:
    """What was found, whose targets are whole numbers if the model forecasts such; DataError names the row if not."""
    for series in found.series if recipe.model.counts else ():
        own, names = series.values.gaps()[1], recipe.data.targets
        rule, remedy = "a count is a whole number of at least zero", "train with another model.output"
        within = np.isnan(own) | ((own >= 0) & (own == np.rint(own)))
        require_all(within, own, names, series.table.place, rule=rule, remedy=remedy)
    return found


def _rows_of(data: SeriesData, series: Sequence[Series]) -> str:
    counts = [sum(end - first for first, end in (each.parts.of(name) for each in series)) for name in PARTS]
    rows = "{:,} rows to train on, {:,} to validate, {:,} to test".format(*counts)
    return f"{len(series):,} series, {rows}" if data.series_id else rows


def draw(run: RunFolder, task: ForecastTask, sources: Mapping[str, Source[Tables]], device: str) -> None:
    """Plot the test part of the first target of the first series: truth, forecast, interval and persistence."""
    series, data = task.series[0], task.recipe.data
    panel = Panel([series], data)
    windows = panel.windows(series.origins(data, "test"))
    found = SeriesForecaster.load(run.path, device=device).after(panel, windows.origins)
    ahead = data.horizon - 1
    curves = {
        "persistence": persistence(series.targets[:, 0], windows.origins, data.horizon)[:, ahead],
        "truth": panel.truth(windows.origins)[:, ahead, 0],
        f"forecast, {data.horizon} step{'s' * (ahead > 0)} ahead": found.points[:, ahead, 0],
    }
    interval = None if found.quantiles is None else found.quantiles[[0, -1], :, ahead, 0]
    times = [series.table.times[row + ahead] for row in windows.origins]
    holes = np.flatnonzero(np.diff(windows.origins) > 1) + 1
    title = f"{run.path.name}: {series.table.id}{', ' * bool(data.series_id)}{data.targets[0]}"
    plot_forecast(curves, interval, times, holes.tolist(), run.plots / "forecast.png", title)
