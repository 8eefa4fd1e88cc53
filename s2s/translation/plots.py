"""Plot of an alignment: which source tokens the decoder looked at for each target token."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from s2s.plots import label_of, save

LABELLED_TOKENS = 120
"""An axis with more tokens is numbered instead of labelled."""


def plot_attention(attention: NDArray[np.floating], source: Sequence[str], target: Sequence[str], path: Path) -> None:
    """Draw attention weights (T, S) as a heat map: a row for each target token, a column for each source token."""
    assert attention.shape == (len(target), len(source)), (attention.shape, len(target), len(source))
    labelled = [len(tokens) if len(tokens) <= LABELLED_TOKENS else None for tokens in (source, target)]
    width, height = (12.0 if labels is None else max(0.32 * labels + 2.2, 4.5) for labels in labelled)
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(attention, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=axes, label="attention weight", fraction=0.3 / width, aspect=height / 0.3, pad=0.02)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="source", ylabel="target")
    for axis, tokens in ((axes.xaxis, source), (axes.yaxis, target)):
        if len(tokens) <= LABELLED_TOKENS:
            axis.set_ticks(range(len(tokens)), [label_of(token) for token in tokens])
    axes.tick_params(axis="x", labelrotation=60 if len(source) <= LABELLED_TOKENS else 0)
    for label in axes.get_xticklabels():
        label.set(ha="left", va="bottom", rotation_mode="anchor")
    save(figure, path)
