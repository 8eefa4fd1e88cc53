"""Scaling and windows: fitted on the training part alone, undone exactly, and each forecast after its window."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from s2s.errors import DataError
from s2s.forecast.data import SeriesData
from s2s.forecast.scaling import Kind, Scaler, fit_scaler, require_scalable
from s2s.forecast.series import divide
from s2s.forecast.windows import Windows, origins_between

KINDS: tuple[Kind, ...] = ("minmax", "standard", "square_root", "log_return", "none")


def data(**values: Any) -> SeriesData:
    return SeriesData(series="x/all", targets=("a",), **values)


def fitted(kind: Kind, known: NDArray[np.float64], names: list[str]) -> Scaler:
    """A scaler fitted to a series without a hole."""
    return fit_scaler(kind, known, np.arange(len(known)), names)


def values(rows: int = 40, columns: int = 2, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(1, 9, (rows, columns))


@pytest.mark.parametrize("kind", KINDS)
def test_restoring_undoes_scaling(kind: Kind) -> None:
    known = values()
    scaler = fitted(kind, known[:30], ["a", "b"])
    scaled = scaler.scale(known)
    steps = scaled[10:16]
    np.testing.assert_allclose(scaler.restore(steps, known[9]), known[10:16])


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_later_changes_no_scaled_training_value(kind: Kind) -> None:
    first, second = values(), values()
    second[30:] = values(seed=2)[30:] * 50
    scaled = [fitted(kind, each[:30], ["a", "b"]).scale(each)[:30] for each in (first, second)]
    assert np.array_equal(*scaled)


def test_the_training_part_is_scaled_as_said() -> None:
    known = values()
    minmax = fitted("minmax", known, ["a", "b"]).scale(known)
    assert minmax.min(axis=0).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert minmax.max(axis=0).tolist() == pytest.approx([1, 1])
    standard = fitted("standard", known, ["a", "b"]).scale(known)
    assert standard.mean(axis=0).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert standard.std(axis=0).tolist() == pytest.approx([1, 1])


def test_a_column_that_cannot_be_scaled_is_named() -> None:
    with pytest.raises(DataError, match="column b: is 3 in all of the training part"):
        fitted("standard", np.array([[1.0, 3.0], [2.0, 3.0]]), ["a", "b"])
    steady = 1.001 ** np.arange(30.0)[:, None]
    with pytest.raises(DataError, match=r"column a: deviates by .* once it is scaled by log_return, but that must be"):
        fitted("log_return", steady, ["a"])
    for kind in KINDS[:2]:
        with pytest.raises(DataError, match=r"column a: deviates by (inf|nan) .* must be finite"):
            fitted(kind, np.array([[-1.5e308], [1.5e308]]), ["a"])


@pytest.mark.parametrize(
    ("kind", "least", "rule"),
    [
        ("log_return", 0, "a log return needs values above zero"),
        ("square_root", -1, "a square root needs values of at"),
    ],
)
def test_a_value_that_a_scaling_is_not_defined_for_is_said_with_its_row(kind: Kind, least: float, rule: str) -> None:
    known = values()
    require_scalable(kind, known, ["a", "b"], str)
    known[33, 1] = least
    with pytest.raises(DataError, match=f"x 33: column b has {least}, and {rule}"):
        require_scalable(kind, known, ["a", "b"], lambda row: f"x {row}")
    require_scalable("standard", known, ["a", "b"], str)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(30, 60))
def test_a_window_ends_before_what_it_forecasts_and_parts_do_not_overlap(window: int, horizon: int, rows: int) -> None:
    series = torch.arange(float(rows))[:, None]
    form = data(validation_share=0.2, test_share=0.2, window=window, horizon=horizon)
    parts = divide(rows, form)
    seen: list[int] = []
    for first, end in ((0, parts.validation), (parts.validation, parts.test), (parts.test, parts.end)):
        windows = Windows(
            series, series, origins_between(np.arange(rows), form, first, end), window=window, horizon=horizon
        )
        batch = windows.batch(np.arange(len(windows)))
        assert (batch.inputs[:, -1, 0] + 1 == batch.targets[:, 0, 0]).all()
        assert (batch.known == batch.inputs).all()
        assert int(batch.targets.min()) >= max(first, window)
        assert int(batch.targets.max()) == end - 1
        assert len(windows) == end - max(first, window) - horizon + 1
        seen += batch.targets[:, 0, 0].int().tolist()
    assert len(seen) == len(set(seen))


def test_what_comes_after_each_row_of_a_window_is_what_the_series_says() -> None:
    series = torch.stack([torch.arange(30.0), 100 + torch.arange(30.0)], dim=1)
    batch = Windows(series, series, np.arange(5, 28), window=5, horizon=3).batch(np.arange(4))
    for steps in (1, 3):
        after = batch.after_each_row(steps)
        assert after.shape == (4, 4, steps, 2)
        for row in range(4):
            expected = batch.inputs[:, row, None, :] + torch.arange(1, steps + 1)[:, None]
            assert torch.equal(after[:, row], expected)


def test_parts_that_are_too_short_are_said() -> None:
    with pytest.raises(DataError, match="the training part has 7 of 10 rows, but 7 to read and 1 to forecast need"):
        divide(10, data(validation_share=0.1, test_share=0.2, window=7, horizon=1))
    with pytest.raises(DataError, match="leave 1 to validate and 2 to test on, but 3 are forecast at once"):
        divide(20, data(validation_share=0.05, test_share=0.1, window=2, horizon=3))
