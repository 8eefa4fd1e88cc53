"""Whether a model is right as often as its probabilities say: the reliability diagram and its error."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from s2s.figures.axes import axis_of
from s2s.figures.charts import STYLES, Line, line_chart
from s2s.figures.page import folded, paragraph, table

BINS = 10
"""Of equal width, as in Guo et al. (2017)."""
FEWEST = 10
"""Predictions of a bin that is drawn."""
EVEN = 0.01
"""A smaller difference of probability and accuracy is none."""


class Bin(NamedTuple):
    """Predictions whose highest probability lies in a range."""

    low: float
    high: float
    tokens: int
    probability: float
    """mean of the highest"""
    right: float
    """share of predictions in which the most probable token was the true one"""


def bins_of(probabilities: NDArray[np.floating], right: NDArray[np.bool_]) -> list[Bin]:
    """(N,) highest probabilities and (N,) whether that token was right -> the bins that hold any."""
    places = np.minimum((np.asarray(probabilities, np.float64) * BINS).astype(int), BINS - 1)
    found = []
    for place in range(BINS):
        inside = places == place
        if inside.any():
            means = float(probabilities[inside].mean()), float(right[inside].mean())
            found.append(Bin(place / BINS, (place + 1) / BINS, int(inside.sum()), *means))
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of probability and accuracy over all predictions, bin by bin (Guo et al. 2017, equation 3)."""
    return sum(each.tokens * abs(each.probability - each.right) for each in bins) / sum(each.tokens for each in bins)


def calibration_text(bins: Sequence[Bin], where: str) -> Markup:
    """What the bins say; `where` says which tokens were predicted and how."""
    tokens = sum(each.tokens for each in bins)
    claimed, right = (sum(each.tokens * each[field] for each in bins) / tokens for field in (3, 4))
    meaning = "as sure as it is right on average"
    if abs(claimed - right) >= EVEN:
        meaning = "surer than it is right" if claimed > right else "less sure than it is right"
    return paragraph(
        f"Over {tokens:,} {where}, the most probable token had a probability of {claimed:.1%} on average and was the"
        f" right one in {right:.1%}: the model is {meaning}. The expected calibration error, the mean distance of the"
        f" two over {BINS} bins of probability, is {calibration_error(bins):.3f} (Guo et al. 2017). Bins of fewer than"
        f" {FEWEST} tokens are left out of the figure."
    )


def calibration_figure(bins: Sequence[Bin]) -> Markup:
    """Reliability diagram of bins, with their numbers below it."""
    drawn = [(each.probability, each.right) for each in bins if each.tokens >= FEWEST]
    lines = [
        Line("as sure as right", [(0.0, 0.0), (1.0, 1.0)], "even"),
        Line("this model", drawn, STYLES[0], dots=True),
    ]
    x, y = (axis_of(title, (), low=0.0, high=1.0, most=5) for title in ("mean probability", "share right"))
    rows = [
        (f"{each.low:.1f} to {each.high:.1f}", f"{each.tokens:,}", f"{each.probability:.3f}", f"{each.right:.3f}")
        for each in bins
    ]
    more = folded("In numbers", table(("highest probability", "tokens", "mean probability", "share right"), rows))
    said = "The numbers are in the table below."
    return line_chart("Share right by probability", lines, x, y, said=said, more=[more])
