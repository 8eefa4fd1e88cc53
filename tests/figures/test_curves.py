"""Curves of a training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.figures.curves import MOST_POINTS, thinned, training

ROWS = [
    {"step": 50, "loss": 4.0, "learning_rate": 0.1, "elapsed_seconds": 60.0},
    {"step": 100, "loss": 3.0, "learning_rate": 0.05, "elapsed_seconds": 120.0},
    {"step": 100, "validation": {"nats_per_token": 3.5, "bleu": None, "chrf": 20.0}, "best": True},
    {"step": 150, "validation": {"nats_per_token": 3.6, "bleu": 1.0, "chrf": 19.0}, "best": False},
]


def test_a_training_has_its_best_step_its_time_and_its_curves() -> None:
    found = training(ROWS, ("nats_per_token", "nats"), {"bleu": "BLEU", "chrf": "chrF"})
    assert (found.steps, found.seconds, found.best) == (150, 120.0, 100)
    assert [chart.title for chart in found.charts] == ["Loss", "BLEU and chrF on validation data", "Learning rate"]
    assert [line.points for line in found.charts[1].lines] == [[(150, 1.0)], [(100, 20.0), (150, 19.0)]]
    assert found.charts[0].rule == (100, "best, 100")


@pytest.mark.parametrize(("rows", "titles"), [((), []), (ROWS[:1], ["Loss", "Learning rate"]), (ROWS[2:3], ["Loss"])])
def test_a_training_with_next_to_no_log_has_the_curves_that_it_can_have(
    rows: list[dict[str, object]], titles: list[str]
) -> None:
    assert [chart.title for chart in training(rows, ("nats_per_token", "nats"), {"bleu": "BLEU"}).charts] == titles


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=1000))
def test_a_thinned_curve_keeps_its_mean_and_its_order(values: list[float]) -> None:
    points = list(enumerate(values))
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    size = -(-len(points) // MOST_POINTS)
    weights = [min(size, len(points) - size * place) for place in range(len(kept))]
    mean = sum(weight * y for weight, (_, y) in zip(weights, kept, strict=True) if y is not None) / len(values)
    assert mean == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_other_sets_have_lines_of_their_own() -> None:
    also = [{**row, "validation": {**row["validation"], "also": {"old": {"bleu": 7.5}}}} for row in ROWS[2:]]  # type: ignore[dict-item]
    found = training(also, ("nats_per_token", "nats"), {"bleu": "BLEU", "chrf": "chrF"})
    assert "BLEU and chrF and BLEU (old) on validation data" in [chart.title for chart in found.charts]
    assert [row["bleu (old)"] for row in found.validations] == [7.5, 7.5]
    assert found.columns["bleu (old)"] == "BLEU (old)"
