"""Pictures of forecasts: truth, forecast, interval, and what persistence says."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from s2s.plots import save

Floats = NDArray[np.float64]
SHOWN_ROWS = 200
"""Of a longer test part the last rows are drawn."""
SHOWN_TIMES = 8
"""Times that are written below the rows."""


def plot_forecast(
    truth: Floats,
    forecast: Floats,
    persistence: Floats,
    interval: tuple[Floats, Floats] | None,
    path: Path,
    *,
    times: Sequence[str],
    title: str,
    step: int,
) -> None:
    """Draw (N,) each: what came, what was forecast so many steps ahead, and between which bounds; N times below."""
    shown = slice(max(len(truth) - SHOWN_ROWS, 0), None)
    rows = np.arange(len(truth))[shown]
    figure = Figure(figsize=(9, 4), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    if interval is not None:
        axes.fill_between(rows, interval[0][shown], interval[1][shown], color="C1", alpha=0.25, label="interval")
    axes.plot(rows, persistence[shown], color="0.6", linewidth=0.8, label="persistence")
    axes.plot(rows, truth[shown], color="black", linewidth=1.1, label="truth")
    axes.plot(rows, forecast[shown], color="C1", linewidth=1.1, label=f"forecast, {step} step{'s' * (step > 1)} ahead")
    axes.set_title(title, loc="left")
    axes.set_xlabel(f"the last {len(rows)} rows" if len(rows) < len(truth) else "rows of the test part")
    named = rows[:: -(-len(rows) // SHOWN_TIMES)]
    axes.set_xticks(named, [times[row] for row in named])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, path)


def plot_next(known: Floats, forecast: Floats, interval: tuple[Floats, Floats] | None, path: Path, title: str) -> None:
    """Draw the last known values (N,) and the steps that are forecast after them (H,)."""
    known = known[-SHOWN_ROWS:]
    figure = Figure(figsize=(9, 4), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    ahead = np.arange(len(known) - 1, len(known) + len(forecast))
    axes.plot(known, color="black", linewidth=1.1, label="known")
    axes.plot(ahead, [known[-1], *forecast], "o-", color="C1", markersize=3, linewidth=1.1, label="forecast")
    if interval is not None:
        low, high = ([known[-1], *each] for each in interval)
        axes.fill_between(ahead, low, high, color="C1", alpha=0.25, label="interval")
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, path)
