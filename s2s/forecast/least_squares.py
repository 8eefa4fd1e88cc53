"""Linear parts of a forecaster by least squares: a ridge regression of the steps on the windows before them."""

import numpy as np
import torch
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.data import SeriesData
from s2s.forecast.model import Forecaster
from s2s.forecast.windows import WINDOWS_AT_ONCE, WindowBatch, Windows, in_groups

Floats = NDArray[np.float64]
PENALTIES = np.logspace(-6, 3, 37)
"""Penalties tried, in units of the mean square of a feature over all windows together."""
LEAST_FREEDOM = 0.2
"""Degrees of freedom left of each window: where fewer are left, the error left says nothing of that of new windows."""


def fit_linear_parts(model: Forecaster, windows: Windows, data: SeriesData) -> None:
    """Fix the linear parts at a ridge regression (Hoerl & Kennard 1970), and set the head, which adds to it, to zero.

    The forecast that it shrinks towards is the seasonal naive one where the windows hold a season, data.season, else
    that of a model whose weights are zero. DataError where no window has all the values to forecast.
    """
    assert model.linear is not None
    products: Floats | float = 0.0
    for group in in_groups(np.arange(len(windows)), WINDOWS_AT_ONCE):
        columns = _columns(model, windows.batch(group))
        products = products + columns.T @ columns
    if not isinstance(products, np.ndarray) or not products[0, 0]:
        raise DataError("model.autoregression_weights: no window of the training part has all the values to forecast")
    prior = _seasonal_naive(model, data, len(products) - 1 - model.linear.out_features)
    coefficients, constants = ridge(products, prior)
    read = model.linear.in_features
    with torch.no_grad():
        model.linear.weight.copy_(torch.from_numpy(coefficients[:read].T))
        model.linear.bias.copy_(torch.from_numpy(constants))
        model.linear.requires_grad_(False)
        if model.ahead is not None:
            model.ahead.weight.copy_(torch.from_numpy(coefficients[read:].T))
            model.ahead.requires_grad_(False)
        for weight in model.head.parameters():
            weight.zero_()


def _columns(model: Forecaster, batch: WindowBatch) -> Floats:
    """(B, 1 + P + steps K): ones, what the linear parts read, and what they add to a forecast that is right."""
    rows, steps = batch.inputs.shape[1], model.steps_at_once
    parts = [torch.ones(len(batch.inputs), 1), batch.inputs.flatten(1)]
    if batch.beside.ahead is not None:
        parts.append(batch.beside.ahead[:, rows - 1 : rows + steps].flatten(1))
    wanted = batch.targets[:, :steps] - (batch.known[:, -1:] if model.residual else 0)
    columns: Floats = torch.cat([*parts, wanted.flatten(1)], dim=1).double().numpy()
    valid = batch.valid_steps()
    return columns if valid is None else columns[valid[:, :steps].flatten(1).all(dim=1).numpy()]


def _seasonal_naive(model: Forecaster, data: SeriesData, features: int) -> Floats:
    """Coefficients (P, steps K) of the seasonal naive forecast of scaled values; zeros where there is none."""
    steps, targets, season = model.steps_at_once, model.targets, data.season
    found = np.zeros((features, steps, targets))
    for place, target in enumerate(data.targets):
        if season is None or season > data.window or target not in data.read:
            continue
        column = data.read.index(target)
        for step in range(steps):
            row = data.window + step - season * (1 + step // season)
            found[row * model.features + column, step, place] += 1.0
            if model.residual:
                found[(data.window - 1) * model.features + column, step, place] -= 1.0
    return found.reshape(features, -1)


def ridge(products: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Sums of products of the columns [1, X, Y] (1 + P + O, 1 + P + O) -> coefficients (P, O), constants (O,).

    Coefficients shrink towards a prior (P, O), those of each Y by the penalty of the least error in generalised
    cross-validation (Golub, Heath & Wahba 1979).
    """
    count, features = products[0, 0], len(prior)
    means = products[0, 1:] / count
    central = products[1:, 1:] - count * np.outer(means, means)
    squares, rest = central[:features, :features], central[:features, features:]
    left = rest - squares @ prior  # products with what the prior does not explain
    errors = np.diag(central)[features:] - (prior * (rest + left)).sum(axis=0)
    sizes, axes = np.linalg.eigh(squares)
    sizes, along = sizes.clip(0), axes.T @ left
    best, kept = np.full(len(errors), np.inf), np.zeros_like(along)
    for penalty in PENALTIES * (float(sizes.mean()) or 1.0):
        shrunk = 1 / (sizes + penalty)
        freedom = count - 1 - float((sizes * shrunk).sum())
        if freedom >= max(1, LEAST_FREEDOM * count):
            criteria = (errors - (2 * shrunk - sizes * shrunk**2) @ along**2).clip(0) / freedom**2
            kept = np.where(criteria < best, (shrunk[:, None] * along), kept)
            best = np.minimum(criteria, best)
    coefficients = prior + axes @ kept
    return coefficients, means[features:] - means[:features] @ coefficients
