"""Forecasting: from a recipe to a series, model, loss and validation."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.device import Compute
from s2s.forecast.baselines import naive_errors
from s2s.forecast.forecaster import SavedScaling
from s2s.forecast.model import Forecaster, build_forecaster, forecast_loss
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.table import SeriesTable
from s2s.forecast.windows import WINDOWS_AT_ONCE, Series, in_groups, prepare_series
from s2s.nn.loss import Loss
from s2s.run import RunFolder, write_json
from s2s.text.source import Source
from s2s.training.forcing import forcing_rate

log = logging.getLogger("s2s")


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


def prepare(
    recipe: ForecastRecipe, run: RunFolder, compute: Compute, sources: Mapping[str, Source[SeriesTable]]
) -> ForecastTask:
    """Everything before the first step: read, divide and scale the series, keep its scaling, build the model."""
    table = sources["series"].read()
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
