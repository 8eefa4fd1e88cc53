"""Forecasting: from a recipe to a series, model, loss and validation."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from s2s.corpus.find import Part, Source
from s2s.device import Compute, Precision
from s2s.errors import DataError
from s2s.forecast.backtest import by_origin, overlapping, spread
from s2s.forecast.baselines import baselines, naive_errors, persistence
from s2s.forecast.forecaster import SavedScaling, SeriesForecaster, saved_scaling
from s2s.forecast.model import Forecaster, forecast_loss
from s2s.forecast.plots import plot_forecast
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.scaling import require_all
from s2s.forecast.scores import outputs_of, score_forecast
from s2s.forecast.table import SeriesTable, find_series
from s2s.forecast.windows import WINDOWS_AT_ONCE, Parts, Series, in_groups, prepare_series
from s2s.nn.loss import Loss
from s2s.run import RunFolder, recorded, write_json
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
        series: Series,
        compute: Compute,
        also: Mapping[str, Series] = {},
    ) -> None:
        """`also` are the series of data.also_validate."""
        self.recipe, self.model, self.series, self.compute = recipe, model, series, compute
        self.also = {name: ForecastTask(recipe, model, each, compute) for name, each in also.items()}
        self.unit = torch.from_numpy(series.scaler.factor).float().to(compute.device)
        parts = series.parts
        self.naive_errors = naive_errors(series.targets[: parts.validation], series.table.before[: parts.validation])
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
        data, model, steps = self.recipe.data, self.recipe.model, self.recipe.data.horizon
        if model.trained_rows == "each":
            steps += (data.window - 1) * (1 if model.steps == "fed_back" else data.horizon)
        return len(batch) * steps * len(data.targets)

    def rows(self, batch: NDArray[np.integer]) -> int:
        """Windows of a batch."""
        return len(batch)

    def part(self, batch: NDArray[np.integer], taken: slice) -> NDArray[np.integer]:
        """Some windows of a batch."""
        return batch[taken]

    def loss(self, batch: NDArray[np.integer], step: int) -> Loss:
        """The summed loss of some windows, with the forcing rate of the step."""
        windows, device = self.train.batch(batch), self.compute.device
        inputs, known, truth = (part.to(device) for part in windows)
        rate, kind = self.rates(step)["forcing_rate"], self.recipe.model.loss
        if self.recipe.model.trained_rows == "last":
            total = forecast_loss(self.model, self.model(inputs, known[:, -1], truth, rate), truth, kind, self.unit)
            return Loss(total, total.detach(), truth.numel())
        rows, forecast = self.model.at_each_row(inputs, known, truth, rate)
        rows_truth = windows.after_each_row(rows.shape[2]).to(device)
        total = forecast_loss(self.model, forecast, truth, kind, self.unit)
        total = total + forecast_loss(self.model, rows, rows_truth, kind, self.unit)
        return Loss(total, total.detach(), truth.numel() + rows_truth.numel())

    def rates(self, step: int) -> Mapping[str, float]:
        """The forcing rate at a step."""
        forcing = self.recipe.training.teacher_forcing
        rate = forcing_rate(step, forcing.schedule, rate=forcing.rate, floor=forcing.floor, steps=forcing.steps)
        return {"forcing_rate": rate}

    def validate(self) -> Mapping[str, Any]:
        """The loss of each value and the mean MASE on the validation part; of a single target, the MAE in its units."""
        total, scaled = 0.0, []
        for group in in_groups(np.arange(len(self.held)), WINDOWS_AT_ONCE):
            held = self.held.batch(group)
            inputs, known, truth = (part.to(self.compute.device) for part in held)
            forecast = self.model(inputs, known[:, -1])
            total += float(forecast_loss(self.model, forecast, truth, self.recipe.model.loss, self.unit))
            scaled.append(self.model.point(forecast).cpu().numpy())
        points, truths = self.series.in_units(self.held, np.concatenate(scaled)), self.series.truth(self.held)
        errors = np.abs(points - truths).mean(axis=(0, 1))
        own: dict[str, Any] = {"mae": float(errors[0])} if len(errors) == 1 else {}
        if self.also:
            own["also"] = {name: task.validate() for name, task in self.also.items()}
        return {"loss": total / truths.size, "mase": float((errors / self.naive_errors).mean()), **own}

    def diverged_loss(self) -> float:
        """A hundred times the mean square of what is forecast, scaled, and of a value of one."""
        known = self.series.targets[: self.series.parts.validation]
        return 100 * (1 + float(np.nanmean(np.square(self.series.scaler.scale(known)))))

    def path(self) -> str:
        """Rows read, and steps forecast."""
        data, model = self.recipe.data, self.recipe.model
        steps = f"{data.horizon} steps {model.steps.replace('_', ' ')}" if data.horizon > 1 else "the next step"
        return f"windows of {data.window} rows, {steps}"


def find(recipe: ForecastRecipe, corpora: Path | None) -> dict[str, Source[SeriesTable]]:
    """The table that a recipe names, by its key."""
    return find_series(recipe.data, corpora)


def check(recipe: ForecastRecipe, sources: Mapping[str, Source[SeriesTable]]) -> Iterator[str]:
    """How many rows each part of a series has."""
    for key, source in sources.items():
        series = _counted(recipe, _told(prepare_series(recipe.data, source.read())))
        yield f"data.{key}: {source.description}, {_rows_of(series.parts)}"


def scored_part(recipe: ForecastRecipe) -> str:
    """The part scored after training."""
    return "test"


def prepare(
    recipe: ForecastRecipe, run: RunFolder, compute: Compute, sources: Mapping[str, Source[SeriesTable]]
) -> ForecastTask:
    """All before the first step: read, divide and scale the series, keep its scaling, build the model."""
    table, before = sources["series"].read(), run.begun_from(recipe.training.start)
    scaling = saved_scaling(before)[:2] if recipe.training.start and before else None
    series = _counted(recipe, _told(prepare_series(recipe.data, table, scaling)))
    tables = {name: sources[f"also_validate.{name}"].read() for name in recipe.data.also_validate}
    also = {
        name: _counted(recipe, prepare_series(recipe.data, each, (series.reader, series.scaler)))
        for name, each in tables.items()
    }
    log.info("%s: %s", table.path.name, _rows_of(series.parts))
    torch.manual_seed(recipe.seed)
    model = Forecaster(recipe.model, recipe.data)
    kept = slice(-min(recipe.data.window, int(table.before[-1])) - 1, None)
    saved = SavedScaling(
        series.reader, series.scaler, series.read[kept], series.targets[kept], series.learned(), table.rhythm,
        series.targets.min(axis=0),
    )  # fmt: skip
    if not (run.checkpoint.exists() and run.series.exists()):  # that of a finished run stays as it is
        write_json(run.series, saved.as_json())
    return ForecastTask(recipe, model, series, compute, also)


def unlike_start(
    recipe: ForecastRecipe, sources: Mapping[str, Source[SeriesTable]], start: RunFolder, own: object
) -> Iterator[str]:
    """Columns with values far from those that the run at the start of a training has learned, in sentences."""
    saved, table = saved_scaling(start), sources["series"].read()
    new = prepare_series(recipe.data, table, saved[:2]).learned()
    old = new if saved.learned is None else saved.learned
    far = np.maximum(old[0] - new[0], new[1] - old[1]) > (old[1] - old[0]) / 2
    has, had = map(saved.reader.in_words, (new, old))
    for place in np.flatnonzero(far):
        name = recipe.data.read[place]
        yield f"{table.path}: column {name} has {has[place]}, and {start}, whose scaling is kept, learned {had[place]}"


def _told(series: Series) -> Series:
    """The series, after its remarks were logged; scoring, which reads it again, does not repeat them."""
    for remark in series.remarks:
        log.warning("%s", remark)
    return series


def _counted(recipe: ForecastRecipe, series: Series) -> Series:
    """The series, whose targets are whole numbers if the model forecasts such; DataError names the row if not."""
    if recipe.model.counts:
        own, names = series.targets, recipe.data.targets
        rule, remedy = "a count is a whole number of at least zero", "train with another model.output"
        require_all((own >= 0) & (own == np.rint(own)), own, names, series.table.place, rule=rule, remedy=remedy)
    return series


def _rows_of(parts: Parts) -> str:
    counts = parts.validation, parts.test - parts.validation, parts.end - parts.test
    return "{:,} rows to train on, {:,} to validate, {:,} to test".format(*counts)


def part_of(
    run: RunFolder, recipe: ForecastRecipe, *, on: str | None, files: object, beam: int | None, corpora: Path | None
) -> Part:
    """The part of its series to score a run on, by default test; DataError for a series that has changed since."""
    if files is not None or on not in (None, "test", "validation"):
        raise DataError(f"{run}: a forecaster is scored on the test or validation part of its own series")
    if beam is not None:
        raise DataError(f"{run}: a forecaster translates nothing; leave out --beam")
    source = find_series(recipe.data, corpora)["series"]
    before = recorded(run.environment, "data", "series")
    if before is None:
        log.warning(
            "%s: missing, damaged, or without data.series: whether %s is what the run was trained on cannot be checked,"
            " and rows that it learned from could be scored as unseen",
            run.environment, source.description,
        )  # fmt: skip
    if before not in (None, source.identity):
        raise DataError(
            f"{source.description}: has changed since {run} was trained on it, so rows that it learned from could be"
            " scored as unseen; put the old file back, or train again"
        )
    return Part(on or "test", source)


def score(
    run: RunFolder, recipe: ForecastRecipe, part: Part, *, device: str, precision: Precision, beam: int | None
) -> dict[str, Any]:
    """Scores of the forecasts from every row of a part of the series, compared with the baselines."""
    forecaster = SeriesForecaster.load(run.path, device=device)
    data = recipe.data
    series = prepare_series(data, part.source.read(), forecaster.scaling[:2])
    parts = series.parts
    first, end = (parts.test, parts.end) if part.name == "test" else (parts.validation, parts.test)
    windows = series.windows(data, first, end)
    windows.origins = spread(windows.origins, part.origins)
    found = forecaster.after(series.read, series.targets, windows.origins)
    truth = series.truth(windows)
    # baselines are fitted, and MASE is scaled, on the rows before the scored part
    before = series.table.before
    naive = naive_errors(series.targets[:first], before[:first])
    targets = {}
    for place, name in enumerate(data.targets):
        own, values, points = series.targets[:, place], truth[..., place], found.points[..., place]
        quantiles = None if found.quantiles is None else found.quantiles[..., place]
        rows = own, before, windows.origins, data.horizon
        others, remarks = baselines(
            *rows, train_end=first, season=data.season, statistical_names=recipe.evaluation.baselines
        )
        for remark in remarks:
            log.warning("%s: %s", name, remark)
        targets[name] = score_forecast(
            values,
            points,
            others,
            naive_error=float(naive[place]),
            quantiles=quantiles,
            levels=recipe.model.quantiles,
            lags=overlapping(windows.origins, data.horizon),
        )
        targets[name]["remarks"] = remarks
        if part.origins is not None:
            times = series.table.times
            targets[name]["by_origin"] = by_origin(
                windows.origins, times, values, points, others["persistence"], quantiles
            )
    scored = {"task": "forecast", "run": str(run), "split": part.name, "examples": len(windows)}
    main = data.targets[0]
    outputs = outputs_of(windows.origins, series.table.times, truth, found)
    return {**scored, "horizon": data.horizon, "target": main, **targets[main], "targets": targets, "outputs": outputs}


def draw(run: RunFolder, task: ForecastTask, sources: Mapping[str, Source[SeriesTable]], device: str) -> None:
    """Plot the test part of the first target: truth, forecast, interval and persistence."""
    series, data = task.series, task.recipe.data
    windows = series.windows(data, series.parts.test, series.parts.end)
    found = SeriesForecaster.load(run.path, device=device).after(series.read, series.targets, windows.origins)
    ahead = data.horizon - 1
    curves = {
        "persistence": persistence(series.targets[:, 0], windows.origins, data.horizon)[:, ahead],
        "truth": series.truth(windows)[:, ahead, 0],
        f"forecast, {data.horizon} step{'s' * (ahead > 0)} ahead": found.points[:, ahead, 0],
    }
    interval = None if found.quantiles is None else found.quantiles[[0, -1], :, ahead, 0]
    times = [series.table.times[row + ahead] for row in windows.origins]
    holes = np.flatnonzero(np.diff(windows.origins) > 1) + 1
    plot_forecast(
        curves, interval, times, holes.tolist(), run.plots / "forecast.png", f"{run.path.name}: {data.targets[0]}"
    )
