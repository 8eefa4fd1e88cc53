"""Failures of outputs are counted as they are defined."""

import pytest

from s2s.errors import DataError
from s2s.translation.scores import rates


def test_rates_of_failures() -> None:
    sources = ["ein Haus", "zwei Häuser", "", "drei  alte Häuser", "Berlin", "vier", "fünf sechs", "sieben"]
    outputs = ["a house", " ", "", "Drei alte häuser", "Berlin", "so so so so", "five six", "seven"]
    assert rates(sources, outputs) == {"loops": 1 / 8, "empty": 1 / 8, "copied": 1 / 8}
    assert rates(["x"], ["ははははははは"], split=list)["loops"] == 1
    assert rates(["５０％ ﬁx"], ["50% fix"])["copied"] == 1
    with pytest.raises(DataError, match="2 translations, but 1 sources"):
        rates(["x"], ["x", "y"])
