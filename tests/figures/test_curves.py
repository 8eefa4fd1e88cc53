"""Curves of a training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.figures.curves import MOST_POINTS, best_step, thinned, training_section
from s2s.figures.page import join

ROWS = [
    {"step": 50, "loss": 4.0, "learning_rate": 0.1, "elapsed_seconds": 60.0},
    {"step": 100, "loss": 3.0, "learning_rate": 0.05, "elapsed_seconds": 120.0},
    {"step": 100, "validation": {"nats_per_token": 3.5, "bleu": None, "chrf": 20.0}, "best": True},
    {"step": 150, "validation": {"nats_per_token": 3.6, "bleu": 1.0, "chrf": 19.0}, "best": False},
]


def test_a_training_is_shown_with_its_best_step_and_its_validations_in_numbers() -> None:
    section = training_section(ROWS, ("nats_per_token", "nats"), {"bleu": "BLEU", "chrf": "chrF"})
    made = join(section.blocks)
    assert best_step(ROWS) == 100
    for said in ("150 optimizer steps", "2.0 minutes</span>", "best, 100", "BLEU and chrF on validation data", "3.6"):
        assert said in made
    assert made.count('<svg viewBox="0 0 460') == 3
    assert made.count("<tr>") == 3


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS[2:3]])
def test_a_training_with_next_to_no_log_is_shown(rows: list[dict[str, object]]) -> None:
    assert training_section(rows, ("nats_per_token", "nats"), {"bleu": "BLEU"}).blocks


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
    section = training_section(also, ("nats_per_token", "nats"), {"bleu": "BLEU", "chrf": "chrF"})
    made = join(section.blocks)
    assert "BLEU and chrF and BLEU (old) on validation data" in made
    assert made.count('<td class="number">7.5') == 2
