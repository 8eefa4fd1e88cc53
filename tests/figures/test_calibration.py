"""Calibration: probabilities against how often they are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.figures.calibration import calibration


def test_the_error_is_that_of_the_definition() -> None:
    probabilities = np.array([0.95, 0.95, 0.95, 0.95, 0.25, 0.25])
    right = np.array([True, True, True, False, False, False])
    found = calibration(probabilities, right)
    assert [each.tokens for each in found.bins] == [2, 4]
    assert found.error == pytest.approx((4 * 0.2 + 2 * 0.25) / 6)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_every_prediction_is_in_one_bin_and_the_error_is_at_least_that_of_the_means(
    predictions: list[tuple[float, bool]],
) -> None:
    probabilities, right = (np.array(column) for column in zip(*predictions, strict=True))
    found = calibration(probabilities, right)
    assert sum(each.tokens for each in found.bins) == found.tokens == len(predictions)
    assert all(each.low <= each.probability + 1e-9 for each in found.bins)
    assert all(each.probability <= each.high + 1e-9 for each in found.bins)
    assert abs(probabilities.mean() - right.mean()) - 1e-9 <= found.error <= 1.0 + 1e-9
