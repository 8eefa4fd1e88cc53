"""A trained forecaster: the next steps of a series, with intervals."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.device import Compute, choose_compute
from s2s.errors import DataError, RunError
from s2s.forecast.holes import Rhythm
from s2s.forecast.model import Forecaster
from s2s.forecast.plots import plot_next
from s2s.forecast.recipe import ForecastRecipe, SeriesData
from s2s.forecast.scaling import Scaler, require_scalable
from s2s.forecast.table import SeriesTable, read_series
from s2s.forecast.windows import WINDOWS_AT_ONCE, in_groups, values_of
from s2s.run import RunFolder, frozen, load_model, read_run

log = logging.getLogger("s2s")
Floats = NDArray[np.float64]
PATHS = 1000
"""Sampled paths, from which the quantiles of a distribution are estimated."""
SAMPLED_AT_ONCE = 64
"""Windows whose paths are sampled together, so that memory does not grow with the series."""


class Forecasts(NamedTuple):
    """Forecasts after O windows, in the units of the file."""

    points: Floats
    """(O, H, K) the mean; of quantiles, and of scaled square roots or log returns, the median"""
    quantiles: Floats | None
    """(Q, O, H, K), rising; None for a model of points"""


class SavedScaling(NamedTuple):
    """Scaling of a run's series, and its last window."""

    reader: Scaler
    scaler: Scaler
    read: Floats
    """(W + 1, F) the last rows of the columns that the model reads, in the file's units; fewer after a late hole"""
    targets: Floats
    """(W + 1, K)"""
    learned: Floats | None = None
    """(2, F) lowest and highest scaled value of each column in the training part; None in an old run"""
    rhythm: Rhythm | None = None
    """of the training table; None in an old run, and without times"""
    lowest: Floats | None = None
    """(K,) lowest value of each target in the table; None in an old run"""

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        reader, scaler = (
            {"shift": each.shift.tolist(), "factor": each.factor.tolist()} for each in (self.reader, self.scaler)
        )
        rows = {"read": self.read.tolist(), "targets": self.targets.tolist()}
        learned = None if self.learned is None else self.learned.tolist()
        rhythm = None if self.rhythm is None else self.rhythm._asdict()
        scaling = {"kind": self.reader.kind, "reader": reader, "scaler": scaler}
        lowest = None if self.lowest is None else self.lowest.tolist()
        return {**scaling, **rows, "learned": learned, "rhythm": rhythm, "lowest": lowest, "floor": self.scaler.floor}

    @classmethod
    def of_json(cls, saved: Mapping[str, Any]) -> Self:
        """Inverse of `as_json`."""
        reader, scaler = (
            Scaler(saved["kind"], np.array(saved[name]["shift"]), np.array(saved[name]["factor"]))
            for name in ("reader", "scaler")
        )
        learned, rhythm, lowest = saved.get("learned"), saved.get("rhythm"), saved.get("lowest")
        return cls(
            reader,
            scaler._replace(floor=saved.get("floor")),
            np.array(saved["read"], float),
            np.array(saved["targets"], float),
            None if learned is None else np.array(learned, float),
            None if rhythm is None else Rhythm(**{**rhythm, "resting": _tuple(rhythm["resting"])}),
            None if lowest is None else np.array(lowest, float),
        )

    def beyond(self, found: Forecasts, recipe: ForecastRecipe) -> Iterator[str]:
        """The lowest forecast of each target, if it is below all values that the data had, in sentences."""
        if self.lowest is None:
            return
        values = np.stack([found.points, *(() if found.quantiles is None else found.quantiles)])
        for place, target in enumerate(recipe.data.targets):
            own, least = values[..., place], self.lowest[place]
            if own.min() < least:
                column = recipe.columns_of(target)[int(own.argmin()) // own[0].size]
                said = f"{column} is as low as {own.min():.4g}, and the data never below {least:g}"
                yield f"{said}; data.floor sets a lowest"

    def unlike(self, table: SeriesTable, read: Floats, targets: Floats, data: SeriesData) -> Iterator[str]:
        """What tells rows (N, F) and (N, K) of another table from what the training saw, in sentences."""
        if self.rhythm and table.rhythm and (fault := table.rhythm.differs(self.rhythm)):
            yield f"{table.path}: {fault}, and a forecast goes on in the steps that were learned; give a table like it"
        window = slice(-data.window, None)
        if self.learned is not None:
            scaled = self.reader.scale(read)[window]
            width = self.learned[1] - self.learned[0]
            far = (scaled < self.learned[0] - width).any(axis=0) | (scaled > self.learned[1] + width).any(axis=0)
            own = self.reader.in_words(np.stack([scaled.min(axis=0), scaled.max(axis=0)]))
            for place in np.flatnonzero(far)[:1].tolist():
                yield (
                    f"{table.path}: column {data.read[place]} has {own[place]} in the last {data.window} rows, but"
                    f" {self.reader.in_words(self.learned)[place]} in training, so the forecast is a guess; check the"
                    " unit and the column, or train again with these rows"
                )
        for name, values in zip(data.targets, targets.T, strict=True):
            if data.window > 1 and (values[window] == values[-1]).all():
                yield (
                    f"{table.path}: column {name} is {values[-1]:g} in all of the last {data.window} rows; check that"
                    " they were measured"
                )
                return


def _tuple(days: list[int] | None) -> tuple[int, ...] | None:
    return None if days is None else tuple(days)


class SeriesForecaster:
    """A frozen copy of a forecaster, with its scaling: rows in the file's units in, forecasts in the same units out.

    Many threads may use one.
    """

    def __init__(self, model: Forecaster, recipe: ForecastRecipe, scaling: SavedScaling, compute: Compute) -> None:
        self.model = frozen(model, compute.device)
        self.recipe = recipe
        self.scaling = scaling
        self.compute = compute

    @classmethod
    def load(cls, run: str | Path, *, device: str = "auto") -> Self:
        """Open a run folder; RunError for one that is missing, damaged or holds no forecaster."""
        folder = RunFolder(Path(run))
        recipe = read_run(folder, {"forecast": ForecastRecipe})
        compute = choose_compute(device, "float32")
        scaling = saved_scaling(folder)
        model = load_model(partial(Forecaster, recipe.model, recipe.data), folder.require_best())
        return cls(model, recipe, scaling, compute)

    def next_steps(self, read: Floats | None = None, targets: Floats | None = None) -> Forecasts:
        """Forecasts after rows (N, F) and (N, K) in the file's units, by default those of the training file.

        DataError for fewer rows than a window.
        """
        table = "the table"
        if read is None or targets is None:
            table, read, targets = "after its last hole the training table", self.scaling.read, self.scaling.targets
        needed = self.recipe.data.rows_before
        if len(read) < needed:
            raise DataError(f"{table} has {len(read)} rows, but the model reads {needed}; give a table with more")
        return self.after(read, targets, np.array([len(read)]))

    def after(self, read: Floats, targets: Floats, origins: NDArray[np.integer]) -> Forecasts:
        """Forecasts from each of some rows (O,) on; DataError for a value that the scaling is not defined for."""
        data = self.recipe.data
        for values, names in ((read, data.read), (targets, data.targets)):
            require_scalable(data.scaling, values, names, lambda row: f"row {row + 1:,}")
        scaled, last = (
            torch.from_numpy(scaler.scale(values)).float()
            for scaler, values in ((self.scaling.reader, read), (self.scaling.scaler, targets))
        )
        device = self.compute.device
        parts = []
        with self.compute.entered():
            generator = torch.Generator(device=device).manual_seed(self.recipe.seed)
            for group in in_groups(origins, SAMPLED_AT_ONCE if self._samples else WINDOWS_AT_ONCE):
                at = torch.from_numpy(group)
                inputs = scaled[at[:, None] + torch.arange(-data.window, 0)]
                parts.append(self._forecast(inputs.to(device), last[at - 1].to(device), targets[group - 1], generator))
        quantiles = [part.quantiles for part in parts if part.quantiles is not None]
        points = np.concatenate([part.points for part in parts])
        return Forecasts(points, np.concatenate(quantiles, axis=1) if quantiles else None)

    @property
    def _samples(self) -> bool:
        """Whether quantiles are those of sampled paths, not the model's outputs."""
        output = self.model.output
        return output != "point" and (output != "quantiles" or self.model.fed_back)

    @torch.inference_mode()
    def _forecast(self, inputs: Tensor, last: Tensor, known: Floats, generator: torch.Generator) -> Forecasts:
        """(B, W, F) and (B, K) scaled, (B, K) in the file's units -> forecasts after these windows."""
        model, restore, levels = self.model, self.scaling.scaler.restore, self.recipe.model.quantiles
        forecast = model(inputs, last)
        points = restore(model.point(forecast).double().cpu().numpy(), known)
        if self._samples:
            unit = torch.from_numpy(self.scaling.scaler.factor).to(inputs)
            paths = restore(model.sample(inputs, last, PATHS, generator, unit).double().cpu().numpy(), known)
            if model.counts:
                return Forecasts(points, np.quantile(np.rint(paths), levels, axis=0, method="inverted_cdf"))
            return Forecasts(points, np.quantile(paths, levels, axis=0))
        if model.output == "point":
            return Forecasts(points, None)
        ordered = forecast.sort(dim=-1).values.double().cpu().numpy()
        return Forecasts(points, np.stack([restore(ordered[..., level], known) for level in range(len(levels))]))


def saved_scaling(run: RunFolder) -> SavedScaling:
    """Scaling of a run's series; RunError where it is missing or damaged."""
    try:
        return SavedScaling.of_json(json.loads(run.series.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{run.series}: cannot be read ({problem}); train the run again") from None


def forecast_rows(run: Path, source: Path | None, device: str) -> tuple[list[dict[str, float]], Callable[[Path], None]]:
    """Rows of the next steps after a table or the run's own, and a function that plots the first target to a path."""
    forecaster = SeriesForecaster.load(run, device=device)
    data = forecaster.recipe.data
    rows_known: tuple[Floats, Floats] | tuple[()] = ()
    if source is not None:
        table = read_series(data, source)
        rows_known = _since_last_hole(data, table)
        for remark in forecaster.scaling.unlike(table, *rows_known, data):
            log.warning("%s", remark)
    found = forecaster.next_steps(*rows_known)
    for remark in forecaster.scaling.beyond(found, forecaster.recipe):
        log.info("%s", remark)
    known = rows_known[1] if rows_known else forecaster.scaling.targets
    columns = [column for target in data.targets for column in forecaster.recipe.columns_of(target)]
    values = [found.points, *(() if found.quantiles is None else found.quantiles)]
    by_step = np.stack(values, axis=-1)[0].reshape(data.horizon, len(columns)).tolist()
    rows = [{"step": step, **dict(zip(columns, each, strict=True))} for step, each in enumerate(by_step, start=1)]
    interval = None if found.quantiles is None else found.quantiles[[0, -1], 0, :, 0]
    title = f"{data.targets[0]}, the next {data.horizon}"
    return rows, lambda path: plot_next(known[:, 0], found.points[0, :, 0], interval, path, title)


def _since_last_hole(data: SeriesData, table: SeriesTable) -> tuple[Floats, Floats]:
    """Columns read (N, F) and targets (N, K) of the rows after the last hole; DataError where they are too few."""
    for remark in table.remarks:
        log.warning("%s", remark)
    count, needed = int(table.before[-1]) + 1, data.rows_before
    if count < min(needed, len(table)):
        raise DataError(
            f"{table.place(-count)}: only {count} rows follow the last hole, but the model reads {needed} and none from"
            f" before one; a hole is {table.hole}{'; data.longest_step sets it' * bool(data.time)}"
        )
    read, targets = values_of(data, table)
    return read[-count:], targets[-count:]
