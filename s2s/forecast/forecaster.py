"""A trained forecaster: the next steps of a series, with intervals."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.device import Compute, choose_compute
from s2s.errors import DataError
from s2s.forecast.calendar import calendar_features
from s2s.forecast.data import SeriesData
from s2s.forecast.model import Forecaster
from s2s.forecast.panel import Panel
from s2s.forecast.plots import SHOWN_ROWS, plot_next
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.rows import counted
from s2s.forecast.saved import Saved, SavedScaling, last_rows, saved_scaling
from s2s.forecast.scaling import require_scalable
from s2s.forecast.series import first_few, values_of
from s2s.forecast.table import SeriesTable, read_tables
from s2s.forecast.windows import WINDOWS_AT_ONCE, WindowBatch, in_groups
from s2s.nn.weights import frozen, load_model
from s2s.run import RunFolder, read_run

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

    def some(self, which: slice | NDArray[np.intp]) -> "Forecasts":
        """Those after some of the windows."""
        return Forecasts(self.points[which], None if self.quantiles is None else self.quantiles[:, which])


class SeriesForecaster:
    """A frozen copy of a forecaster, with its scaling: rows in the file's units in, forecasts in the same units out.

    Many threads may use one.
    """

    def __init__(self, model: Forecaster, recipe: ForecastRecipe, saved: Saved, compute: Compute) -> None:
        self.model = frozen(model, compute.device)
        self.recipe = recipe
        self.saved = saved
        self.compute = compute

    @classmethod
    def load(cls, run: str | Path, *, device: str = "auto") -> Self:
        """Open a run folder; RunError for one that is missing, damaged or holds no forecaster."""
        folder = RunFolder(Path(run))
        recipe = read_run(folder, {"forecast": ForecastRecipe})
        compute = choose_compute(device, "float32")
        saved = saved_scaling(folder, recipe.data)
        model = load_model(partial(Forecaster, recipe.model, recipe.data, saved.shared.embedded), folder.require_best())
        return cls(model, recipe, saved, compute)

    @property
    def scaling(self) -> SavedScaling:
        """Scaling of the run's series, the first of many."""
        return self.saved.series[0]

    def next_steps(
        self, read: Floats | None = None, targets: Floats | None = None, *, steps: int | None = None
    ) -> Forecasts:
        """Forecasts after rows (N, F) and (N, K) in the file's units, by default those of the training file.

        Of many series that file has, O counts them. DataError for fewer rows than a window, for `steps` that the model
        does not have, and where what is known ahead lacks for some of them.
        """
        if read is None or targets is None:
            return self.after_last(self.saved.series, steps)
        data = self.recipe.data
        if data.features_ahead:
            raise DataError("rows alone have nothing that is known ahead; give a table to `s2s forecast`, or none")
        for values, names in ((read, data.read), (targets, data.targets)):
            require_scalable(data.scaling, values, names, lambda row: f"row {row + 1:,}")
        marks = np.isnan(read) if data.missing_values == "mark" else None
        own = self.scaling._replace(read=np.nan_to_num(read), targets=np.nan_to_num(targets), marks=marks, number=0)
        return self.after_last([own], steps, "the table")

    def after_last(self, series: Sequence[SavedScaling], steps: int | None = None, name: str = "") -> Forecasts:
        """Forecasts after the last row of each of some series, for data.horizon or another number of steps."""
        data, count, at_once = self.recipe.data, self._steps(steps), self.steps_read(steps)
        for each in series:
            if len(each.read) < data.rows_before:
                raise DataError(
                    f"{name or 'after its last hole the training table'} has {len(each.read)} rows, but the model reads"
                    f" {data.rows_before}; give a table with more"
                )
        panel = Panel([each._replace(ahead=self._ahead(each, at_once)) for each in series], data, steps_after=at_once)
        found = self.after(panel, panel.starts[1:] - at_once, at_once)
        quantiles = None if found.quantiles is None else found.quantiles[:, :, :count]
        return Forecasts(found.points[:, :count], quantiles)

    def steps_read(self, steps: int | None) -> int:
        """Steps of which must be known what is known ahead, to forecast some."""
        return self._steps(steps) if self.model.fed_back else self.recipe.data.horizon

    def _steps(self, steps: int | None) -> int:
        horizon = self.recipe.data.horizon
        if steps is None or (self.model.fed_back and steps > 0) or 0 < steps <= horizon:
            return steps or horizon
        if steps < 1:
            raise DataError(f"steps: must be at least 1 (given {steps})")
        raise DataError(
            f"the model forecasts {counted(horizon, 'step')} at once (data.horizon), and not {steps}; train with"
            f' data.horizon={steps}, or with model.steps="fed_back", which goes on for any number of steps'
        )

    def _ahead(self, series: SavedScaling, steps: int) -> Floats | None:
        """(N + steps, C) what is known ahead, its calendar continued; DataError where columns known ahead lack."""
        data, ahead, needed = self.recipe.data, series.ahead, len(series.read) + steps
        if ahead is None or len(ahead) >= needed:
            return ahead
        lack = needed - len(ahead)
        if data.known:
            names, targets = ", ".join(data.known), ", ".join(data.targets)
            raise DataError(
                f"{names} must be known of {counted(steps, 'step')} to forecast (data.known), and {lack} of them are"
                f" missing: after the last row with a value of {targets} the table has {counted(steps - lack, 'row')}"
                " with them; add rows, without a target"
            )
        if series.rhythm is None or series.local is None:
            raise DataError("a table of one row does not tell the times of the next ones (data.calendar); give more")
        return np.vstack([ahead, calendar_features(series.rhythm.after(series.local, lack), data.calendar)])

    def generator(self) -> torch.Generator:
        """A new source of the random numbers that paths are sampled with, always the same ones."""
        return torch.Generator(device=self.compute.device).manual_seed(self.recipe.seed)

    def after(
        self,
        panel: Panel,
        origins: NDArray[np.intp],
        steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Forecasts:
        """Forecasts from each of some rows (O,) of series on; a `generator` is that of several calls."""
        parts, windows = list[Forecasts](), panel.windows(origins, steps)
        with self.compute.entered():
            generator = generator or self.generator()
            for group in in_groups(np.arange(len(origins)), SAMPLED_AT_ONCE if self._samples else WINDOWS_AT_ONCE):
                restore, unit = partial(panel.in_units, origins[group]), panel.unit(origins[group])
                parts.append(self._forecast(windows.batch(group), restore, unit, generator, steps))
        quantiles = [part.quantiles for part in parts if part.quantiles is not None]
        points = np.concatenate([part.points for part in parts])
        return Forecasts(points, np.concatenate(quantiles, axis=1) if quantiles else None)

    @property
    def _samples(self) -> bool:
        """Whether quantiles are those of sampled paths, not the model's outputs."""
        output = self.model.output
        return output != "point" and (output != "quantiles" or self.model.fed_back)

    @torch.inference_mode()
    def _forecast(
        self,
        batch: WindowBatch,
        restore: Callable[[Floats], Floats],
        unit: Tensor,
        generator: torch.Generator,
        steps: int | None,
    ) -> Forecasts:
        """Windows, what brings forecasts (..., B, H, K) to the file's units, and a scaled one in them -> forecasts."""
        model, levels, device = self.model, self.recipe.model.quantiles, self.compute.device
        inputs, last, beside = batch.inputs.to(device), batch.known[:, -1].to(device), batch.beside.to(device)
        forecast = model(inputs, last, beside=beside, steps=steps)
        points = restore(model.point(forecast).double().cpu().numpy())
        if self._samples:
            sampled = model.sample(inputs, last, PATHS, generator, beside, steps, unit.to(device))
            paths = restore(sampled.double().cpu().numpy())
            if model.counts:
                return Forecasts(points, np.quantile(np.rint(paths), levels, axis=0, method="inverted_cdf"))
            return Forecasts(points, np.quantile(paths, levels, axis=0))
        if model.output == "point":
            return Forecasts(points, None)
        ordered = forecast.sort(dim=-1).values.double().cpu().numpy()
        return Forecasts(points, np.stack([restore(ordered[..., level]) for level in range(len(levels))]))


def forecast_rows(
    run: Path, source: Path | None, device: str, steps: int | None = None
) -> tuple[list[dict[str, Any]], Callable[[Path], None]]:
    """Rows of the next steps after a table or the run's own, and a function that plots the first target to a path.

    Of many series each has its rows, which begin with its name; the first is plotted.
    """
    forecaster = SeriesForecaster.load(run, device=device)
    data = forecaster.recipe.data
    series: Sequence[SavedScaling] = forecaster.saved.series
    if source is not None:
        series = _last_of_each(forecaster.saved, data, source)
    if data.series_id:
        series = _those_with_enough(data, series, forecaster, steps)
    found = forecaster.after_last(series, steps, "" if source is None else "the table")
    columns = [column for target in data.targets for column in forecaster.recipe.columns_of(target)]
    values = np.stack([found.points, *(() if found.quantiles is None else found.quantiles)], axis=-1)
    beyond = [remark for each, own in zip(series, values, strict=True) for remark in each.beyond(columns, own)]
    if data.floor is None and not forecaster.model.counts:
        beyond = [f"{remark}; data.floor sets a lowest" for remark in beyond]
    for remark in first_few(data, beyond):
        log.info("%s", remark)
    rows = [
        {**({data.series_id: each.id} if data.series_id else {}), "step": step, **dict(zip(columns, row, strict=True))}
        for each, own in zip(series, values.reshape(*values.shape[:2], len(columns)).tolist(), strict=True)
        for step, row in enumerate(own, start=1)
    ]
    interval = None if found.quantiles is None else found.quantiles[[0, -1], 0, :, 0]
    title = f"{series[0].id}{': ' * bool(data.series_id)}{data.targets[0]}, the next {found.points.shape[1]}"
    return rows, lambda path: plot_next(series[0].targets[:, 0], found.points[0, :, 0], interval, path, title)


def _last_of_each(saved: Saved, data: SeriesData, source: Path) -> tuple[SavedScaling, ...]:
    """The end of each series of a table, after what is to be said of it."""
    learned, found, remarks = {each.id: each for each in saved.series}, list[SavedScaling](), list[str]()
    for table in read_tables(data, source):
        values, before = values_of(data, table), learned.get(table.id)
        remarks += table.remarks
        if not data.series_id:
            _require_after_hole(data, table)
        own = last_rows(data, table, values, saved.shared, before and before.learned, shown=SHOWN_ROWS)
        if before and before.lowest is not None and own.lowest is not None:
            own = own._replace(lowest=np.fmin(own.lowest, before.lowest))
        if before and before.rhythm and table.rhythm and (fault := table.rhythm.differs(before.rhythm)):
            remarks.append(
                f"{table.name}: {fault}, and a forecast goes on in the steps that were learned; give a table like it"
            )
        remarks += own.unlike(table, data)
        found.append(own)
    for remark in first_few(data, remarks):
        log.warning("%s", remark)
    return tuple(found)


def _those_with_enough(
    data: SeriesData, series: Sequence[SavedScaling], forecaster: SeriesForecaster, steps: int | None
) -> list[SavedScaling]:
    """Series that can be forecast, after a remark on the others; DataError where there are none."""
    count, left, kept = forecaster.steps_read(steps), list[str](), list[SavedScaling]()
    for each in series:
        if len(each.read) < data.rows_before:
            left.append(
                f"{each.id} has {len(each.read)} rows after its last hole, but the model reads {data.rows_before}"
            )
        elif data.known and each.ahead is not None and (lack := count + len(each.read) - len(each.ahead)) > 0:
            left.append(f"{each.id} lacks {', '.join(data.known)} (data.known) of {lack} of {counted(count, 'step')}")
        else:
            kept.append(each)
    if left:
        fault = f"{len(left):,} of {len(series):,} series cannot be forecast, the first: {left[0]}"
        if not kept:
            raise DataError(fault)
        log.warning("%s", fault)
    return kept


def _require_after_hole(data: SeriesData, table: SeriesTable) -> None:
    """DataError where too few rows follow the last hole."""
    count, needed = int(table.before[-1]) + 1, data.rows_before
    if count < min(needed, len(table)):
        raise DataError(
            f"{table.place(-count)}: only {count} rows follow the last hole, but the model reads {needed} and none from"
            f" before one; a hole is {table.hole}{'; data.longest_step sets it' * bool(data.time)}"
        )
