"""Plots of states and batches: whole PNG files, of sizes that fit what they show."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from s2s.language.plots import (
    JOINED_PIXELS,
    Episode,
    join_plots,
    plot_accuracies,
    plot_packing,
    plot_predictions,
    plot_states,
)

pytestmark = pytest.mark.usefixtures("drawn_plots")


def episode(title: str = "seed 1, learned", units: int = 3) -> Episode:
    symbols, vocabulary = list("ab\n $_"), ["a", "b", "\n", " "]
    states = np.linspace(-1, 1, len(symbols) * units, dtype=np.float32).reshape(len(symbols), units)
    probabilities = np.full((len(symbols), len(vocabulary)), 0.25, dtype=np.float32)
    return Episode(title, symbols, vocabulary, states, probabilities)


def test_a_grid_has_a_panel_for_each_training(tmp_path: Path) -> None:
    plot_states([episode(f"seed {number}") for number in range(25)], tmp_path / "many.png", "hidden-3")
    plot_states([episode()], tmp_path / "one.png", "hidden-3")
    many, one = (np.asarray(imread(tmp_path / name)) for name in ("many.png", "one.png"))
    assert many.shape[0] > 4 * one.shape[0] * 0.8
    assert many.shape[1] == pytest.approx(5 * one.shape[1], abs=5)


def test_blue_is_minus_one_and_red_is_one(tmp_path: Path) -> None:
    low, high = (Episode("x", ["a"], ["a"], np.array([[value]], np.float32), np.zeros((1, 1), np.float32))
                 for value in (-1.0, 1.0))  # fmt: skip
    colors = []
    for each in (low, high):
        plot_states([each], tmp_path / "x.png", "x")
        pixels = np.asarray(imread(tmp_path / "x.png"))[..., :3].reshape(-1, 3)
        colors.append({tuple(pixel) for pixel in pixels.round(3).tolist()})
    assert (0.0, 0.0, 1.0) in colors[0]
    assert (1.0, 0.0, 0.0) in colors[1]
    assert (1.0, 0.0, 0.0) not in colors[0]


def test_predictions_stand_side_by_side(tmp_path: Path) -> None:
    plot_predictions([episode()], tmp_path / "one.png")
    plot_predictions([episode("whole"), episode("part")], tmp_path / "two.png")
    one, two = (np.asarray(imread(tmp_path / name)) for name in ("one.png", "two.png"))
    assert two.shape[1] == pytest.approx(2 * one.shape[1], abs=5)


def test_accuracies_and_packing_are_plotted(tmp_path: Path) -> None:
    plot_accuracies([(1.0, 0.8), (0.9, 0.7)], 0.8333, tmp_path / "accuracies.png")
    plot_packing([["<s>", "a", "$x_1$"], ["<s>"], ["<s>", "b"]], tmp_path / "packing.png")
    for name in ("accuracies.png", "packing.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_narrow_plots_join_side_by_side_and_wide_ones_under_one_another(tmp_path: Path) -> None:
    plot_predictions([episode()], tmp_path / "narrow.png")
    narrow = np.asarray(imread(tmp_path / "narrow.png"))
    join_plots([tmp_path / "narrow.png"] * 2, tmp_path / "joined.png")
    joined = np.asarray(imread(tmp_path / "joined.png"))
    assert (joined == np.hstack([narrow[..., :3]] * 2)).all()
    count = JOINED_PIXELS // narrow.shape[1] + 1
    join_plots([tmp_path / "narrow.png"] * count, tmp_path / "joined.png")
    joined = np.asarray(imread(tmp_path / "joined.png"))
    assert (joined == np.vstack([narrow[..., :3]] * count)).all()
