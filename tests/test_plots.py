"""Plots show what they are given, find fonts for its letters or say which are missing, and are whole or absent."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.image import imread

from s2s import plots
from s2s.plots import plot_attention, plot_curves

LOG = [
    {"step": step, "epoch": 0.1, "loss": 5 - step / 100, "learning_rate": 1e-3, "forcing_rate": 1.0}
    for step in (10, 20)
]
VALIDATIONS = [
    {"step": 10, "validation": {"nats_per_token": 4.0, "bleu": 21.0, "chrf": 40.0}},
    {"step": 20, "validation": {"nats_per_token": 3.5, "bleu": 20.0, "chrf": None}},
]


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fonts of this test alone: matplotlib's own, and what it installs."""
    monkeypatch.delenv("MPL_IGNORE_SYSTEM_FONTS")
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved from now on, instead of files."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    return figures


def font_file(path: Path, empty: bool = False) -> Path:
    """A font with one letter, 가: a square, or nothing at all."""
    pen = TTGlyphPen(None)
    if not empty:
        pen.moveTo((0, 0))
        for point in ((0, 800), (800, 800), (800, 0)):
            pen.lineTo(point)
        pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "ga"])
    builder.setupCharacterMap({ord("가"): "ga"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "ga": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (900, 0), "ga": (900, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupOS2()
    builder.setupPost()
    builder.setupNameTable({"familyName": "One Letter", "styleName": "Regular"})
    builder.save(path)
    return path


def test_curves_hold_the_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = drawn(monkeypatch)
    plot_curves([*LOG, *VALIDATIONS], tmp_path / "curves.png")
    losses, scores = figures[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for axes in (losses, scores) for line in axes.lines}
    assert lines == {
        "training": [[10, 4.9], [20, 4.8]],
        "validation": [[10, 4.0], [20, 3.5]],
        "BLEU (best 21.0 at step 10)": [[10, 21], [20, 20]],
        "chrF (best 40.0 at step 10)": [[10, 40]],
    }
    assert losses.get_ylabel() == "nats per target token"
    assert scores.get_xlabel() == "optimizer steps"


@pytest.mark.parametrize("rows", [[], LOG, VALIDATIONS, [{"step": 1, "loss": float("nan")}]])
def test_curves_of_runs_that_lack_something(rows: list[dict[str, object]], tmp_path: Path) -> None:
    plot_curves(rows, tmp_path / "plots" / "curves.png")
    assert imread(tmp_path / "plots" / "curves.png").shape[1] == 910
    assert [file.name for file in (tmp_path / "plots").iterdir()] == ["curves.png"]


def test_attention_rows_are_target_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = drawn(monkeypatch)
    weights = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    plot_attention(weights, ["old", "house", "</s>"], ["▁altes", "</s>"], tmp_path / "a.png", title="why $5?")
    axes = figures[0].axes[0]
    assert (axes.images[0].get_array() == weights).all()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["old", "house", "</s>"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["▁altes", "</s>"]
    assert axes.get_title() == "why $5?"


@pytest.mark.parametrize(
    "token",
    ["$\\frac{$", "\t", "\x00", "", "a" * 3000, "\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}", "العربية"],
)
def test_any_token_can_be_a_label(token: str, tmp_path: Path) -> None:
    plot_attention(np.ones((1, 2)) / 2, [token, "x"], [token], tmp_path / "a.png", title=token)
    height, width, _ = imread(tmp_path / "a.png").shape
    assert max(height, width) < 1000


def test_long_sentences_are_numbered_and_stay_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = drawn(monkeypatch)
    plot_attention(np.zeros((400, 2000)), ["x"] * 2000, ["y"] * 400, tmp_path / "a.png")
    assert max(figures[0].get_size_inches()) <= 12
    assert "x" not in [label.get_text() for label in figures[0].axes[0].get_xticklabels()]


@pytest.mark.parametrize(
    ("token", "script", "package"),
    [
        ("있어요", "Hangul", "fonts-nanum or fonts-noto-cjk"),
        ("いま", "kana", "fonts-noto-cjk"),
        ("古", "Han ", "fonts-noto-cjk"),
        ("ไทย", "Thai", "fonts-thai-tlwg"),
        ("नमस्ते", "Devanagari", "fonts-noto-core"),
    ],
)
def test_letters_without_a_font_are_named_and_drawn_as_boxes(
    token: str, script: str, package: str, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=f"no installed font has the script {script}") as caught:
        plot_attention(np.eye(1), [token], ["x"], tmp_path / "a.png")
    assert [package in str(each.message) for each in caught] == [True]
    assert imread(tmp_path / "a.png").size


@pytest.mark.usefixtures("korean_font")
@pytest.mark.parametrize("token", ["있어요", "いま", "古"])
def test_letters_with_a_font_are_drawn_without_a_word(token: str, tmp_path: Path) -> None:
    plot_attention(np.eye(1), [token], ["x"], tmp_path / "a.png")
    assert imread(tmp_path / "a.png").size


@pytest.mark.usefixtures("fonts")
def test_a_font_installed_later_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    font = font_file(tmp_path / "one.ttf")
    monkeypatch.setattr(plots, "findSystemFonts", lambda: [str(font), str(tmp_path / "gone.ttf")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_attention(np.eye(1), ["가"], ["x"], tmp_path / "with.png")
    monkeypatch.setattr(fontManager, "ttflist", [each for each in fontManager.ttflist if each.name != "One Letter"])
    monkeypatch.setattr(plots, "findSystemFonts", lambda: [])
    with pytest.warns(UserWarning, match="Hangul"):
        plot_attention(np.eye(1), ["가"], ["x"], tmp_path / "without.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


@pytest.mark.usefixtures("fonts")
def test_a_font_with_an_empty_letter_does_not_have_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    font = font_file(tmp_path / "empty.ttf", empty=True)
    monkeypatch.setattr(plots, "findSystemFonts", lambda: [str(font)])
    with pytest.warns(UserWarning, match="Hangul"):
        plot_attention(np.eye(1), ["가"], ["x"], tmp_path / "a.png")


def test_a_picture_is_whole_or_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plot_curves(LOG, tmp_path / "curves.png")
    before = (tmp_path / "curves.png").read_bytes()

    def fails(self: Figure, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", fails)
    with pytest.raises(OSError, match="No space left"):
        plot_curves(VALIDATIONS, tmp_path / "curves.png")
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    assert (tmp_path / "curves.png").read_bytes() == before
