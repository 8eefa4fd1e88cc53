"""Calibration: probabilities against how often they are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.figures.calibration import bins_of, calibration_error, calibration_text


def test_the_error_is_that_of_the_definition() -> None:
    probabilities = np.array([0.95, 0.95, 0.95, 0.95, 0.25, 0.25])
    right = np.array([True, True, True, False, False, False])
    bins = bins_of(probabilities, right)
    assert [each.tokens for each in bins] == [2, 4]
    assert calibration_error(bins) == pytest.approx((4 * 0.2 + 2 * 0.25) / 6)
    assert "surer than it is right" in calibration_text(bins, "tokens")


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_every_prediction_is_in_one_bin_and_the_error_is_at_least_that_of_the_means(
    predictions: list[tuple[float, bool]],
) -> None:
    probabilities, right = (np.array(column) for column in zip(*predictions, strict=True))
    bins = bins_of(probabilities, right)
    assert sum(each.tokens for each in bins) == len(predictions)
    assert all(each.low <= each.probability + 1e-9 for each in bins)
    assert all(each.probability <= each.high + 1e-9 for each in bins)
    assert abs(probabilities.mean() - right.mean()) - 1e-9 <= calibration_error(bins) <= 1.0 + 1e-9
