"""Plots of forecasts: truth, forecast, interval and persistence."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from s2s.plots import save

Floats = NDArray[np.float64]
SHOWN_ROWS = 200
"""Rows of a plot, the last of a longer series."""
LABELLED_CHARACTERS = 100
"""Characters that fit under the axis."""
SHOWN_TIMES = 8
"""Times written below the rows."""
STYLES = (("0.6", 0.8), ("black", 1.1), ("C1", 1.1))
"""Color and line width of persistence, truth and forecast."""


def plot_forecast(
    curves: Mapping[str, Floats],
    interval: Floats | None,
    times: Sequence[str],
    holes: Sequence[int],
    path: Path,
    title: str,
) -> None:
    """Plot persistence, truth and forecast (N,) by their labels, and an interval (2, N), over N times.

    Lines are broken before the rows that follow a hole.
    """
    figure, axes = _axes(title)
    curves = {label: np.insert(values, holes, np.nan) for label, values in curves.items()}
    interval = None if interval is None else np.insert(interval, holes, np.nan, axis=1)
    times = np.insert(np.array(times, dtype=object), holes, "").tolist()
    count = len(times)
    rows = np.arange(max(count - SHOWN_ROWS, 0), count)
    if interval is not None:
        axes.fill_between(rows, interval[0, rows], interval[1, rows], color="C1", alpha=0.25, label="interval")
    for (label, values), (color, width) in zip(curves.items(), STYLES, strict=True):
        axes.plot(rows, values[rows], label=label, color=color, linewidth=width)
    axes.set_xlabel(f"the last {len(rows)} rows" if len(rows) < count else "rows of the test part")
    shown = max(2, min(SHOWN_TIMES, LABELLED_CHARACTERS // (max(map(len, map(str, times))) + 3)))
    named = rows[:: -(-len(rows) // shown)]
    axes.set_xticks(named, [times[row] for row in named])
    axes.legend(fontsize=8)
    save(figure, path)


def plot_next(known: Floats, forecast: Floats, interval: Floats | None, path: Path, title: str) -> None:
    """Plot the last known values (N,), the steps forecast after them (H,), and an interval (2, H)."""
    figure, axes = _axes(title)
    known = known[-SHOWN_ROWS:]
    ahead = np.arange(len(known) - 1, len(known) + len(forecast))
    axes.plot(known, color="black", linewidth=1.1, label="known")
    axes.plot(ahead, [known[-1], *forecast], "o-", color="C1", markersize=3, linewidth=1.1, label="forecast")
    if interval is not None:
        low, high = ([known[-1], *each] for each in interval)
        axes.fill_between(ahead, low, high, color="C1", alpha=0.25, label="interval")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rows, the last known ones and the forecast")
    axes.legend(fontsize=8)
    save(figure, path)


def _axes(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 4), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    return figure, axes
