"""Plots of alignments show what they are given, whatever the tokens and however many."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from s2s.translation import plots
from s2s.translation.plots import plot_attention

pytestmark = pytest.mark.usefixtures("drawn_plots")


def test_attention_rows_are_target_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    weights = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    plot_attention(weights, ["old", "house", "</s>"], ["▁altes", "</s>"], tmp_path / "a.png")
    axes = figures[0].axes[0]
    assert (axes.images[0].get_array() == weights).all()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["old", "house", "</s>"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["▁altes", "</s>"]


@pytest.mark.parametrize(
    "token",
    ["$\\frac{$", "\t", "\x00", "", "a" * 3000, "\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}", "العربية"],
)
def test_any_token_can_be_a_label(token: str, tmp_path: Path) -> None:
    plot_attention(np.ones((1, 2)) / 2, [token, "x"], [token], tmp_path / "a.png")
    height, width, _ = imread(tmp_path / "a.png").shape
    assert max(height, width) < 1000


def test_long_sentences_are_numbered_and_stay_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    plot_attention(np.zeros((400, 2000)), ["x"] * 2000, ["y"] * 400, tmp_path / "a.png")
    assert max(figures[0].get_size_inches()) <= 12
    assert "x" not in [label.get_text() for label in figures[0].axes[0].get_xticklabels()]
