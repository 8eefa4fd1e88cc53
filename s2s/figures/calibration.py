"""Whether a model is right as often as its probabilities say: the reliability diagram and its error."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.figures.charts import Chart, diagonal_chart

BINS = 10
"""Of equal width, as in Guo et al. (2017)."""
FEWEST = 10
"""Predictions of a bin that is drawn."""


class Bin(NamedTuple):
    """Predictions whose highest probability lies in a range."""

    low: float
    high: float
    tokens: int
    probability: float
    """mean of the highest"""
    right: float
    """share of predictions in which the most probable token was the true one"""


class Calibration(NamedTuple):
    """Probabilities against how often they are right, over all predictions and by bins of probability."""

    tokens: int
    probability: float
    right: float
    error: float
    """mean distance of probability and accuracy, bin by bin (Guo et al. 2017, equation 3)"""
    bins: Sequence[Bin]
    """those that hold any"""

    @property
    def chart(self) -> Chart:
        """The reliability diagram."""
        drawn = [(each.probability, each.right) for each in self.bins if each.tokens >= FEWEST]
        axes = "mean probability", "share right"
        return diagonal_chart("Share right by probability", axes, "as sure as right", "this model", drawn)


def calibration(probabilities: NDArray[np.floating], right: NDArray[np.bool_]) -> Calibration:
    """(N,) highest probabilities and (N,) whether that token was right."""
    places = np.minimum((np.asarray(probabilities, np.float64) * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places).tolist():
        inside = places == place
        means = float(probabilities[inside].mean()), float(right[inside].mean())
        bins.append(Bin(place / BINS, (place + 1) / BINS, int(inside.sum()), *means))
    error = sum(each.tokens * abs(each.probability - each.right) for each in bins) / len(places)
    return Calibration(len(places), float(probabilities.mean()), float(right.mean()), error, bins)
