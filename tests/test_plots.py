"""Plots show what they are given, find fonts for its letters or say which are missing, and are whole or absent."""

import warnings
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.image import imread

import s2s.forecast.report
from s2s import plots
from s2s.plots import plot_curves, save

pytestmark = pytest.mark.usefixtures("drawn_plots")

LOG = [
    {"step": step, "epoch": 0.1, "loss": 5 - step / 100, "learning_rate": 1e-3, "forcing_rate": 1.0}
    for step in (10, 20)
]
VALIDATIONS = [
    {"step": 10, "validation": {"nats_per_token": 4.0, "bleu": 21.0, "chrf": 40.0}, "best": True},
    {"step": 20, "validation": {"nats_per_token": 3.5, "bleu": 20.0, "chrf": None}, "best": False},
]


CURVES = ("nats_per_token", "nats per target token"), {"bleu": "BLEU", "chrf": "chrF"}


def save_text(text: str, path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, text)
    save(figure, path)


def font_file(path: Path, family: str) -> Path:
    """A font with one letter, 가: a square."""
    pen = TTGlyphPen(None)
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
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.save(path)
    return path


def test_curves_hold_the_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    plot_curves([*LOG, *VALIDATIONS], tmp_path / "curves.png", *CURVES)
    losses, scores = figures[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for axes in (losses, scores) for line in axes.lines}
    assert lines == {
        "training": [[10, 4.9], [20, 4.8]],
        "validation": [[10, 4.0], [20, 3.5]],
        "BLEU (best 21 at step 10)": [[10, 21], [20, 20]],
        "chrF (best 40 at step 10)": [[10, 40]],
    }
    assert losses.get_ylabel() == "nats per target token"
    assert (scores.get_xlabel(), scores.get_ylabel()) == ("optimizer steps", "BLEU and chrF")


def test_curves_of_a_forecaster_have_its_loss_and_its_scores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    rows = [*LOG, {"step": 20, "validation": {"loss": 0.25, "mase": 0.5}, "best": True}]
    plot_curves(rows, tmp_path / "curves.png", *s2s.forecast.report.CURVES)
    assert [axes.get_ylabel() for axes in figures[0].axes] == ["loss of a scaled value", "MASE"]
    (mase,) = figures[0].axes[1].lines
    assert (mase.get_label(), mase.get_xydata().tolist()) == ("MASE (best 0.5 at step 20)", [[20, 0.5]])


def test_curves_of_other_sets_stand_beside_those_that_choose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    scores = [{"nats_per_token": 2.0, "bleu": 7}, {"nats_per_token": 2.5, "bleu": 6}]
    rows = [
        {"step": step, "validation": {"nats_per_token": 4.0, "bleu": 1, "also": {"old": each}}}
        for step, each in enumerate(scores)
    ]
    plot_curves(rows, tmp_path / "curves.png", *CURVES)
    lines = {line.get_label(): line.get_xydata().tolist() for axes in figures[0].axes for line in axes.lines}
    assert lines["old"] == [[0, 2.0], [1, 2.5]]
    assert lines["BLEU of old"] == [[0, 7], [1, 6]]


@pytest.mark.parametrize("rows", [[], LOG, VALIDATIONS, [{"step": 1, "loss": float("nan")}]])
def test_curves_of_runs_that_lack_something(rows: list[dict[str, object]], tmp_path: Path) -> None:
    plot_curves(rows, tmp_path / "plots" / "curves.png", *CURVES)
    assert imread(tmp_path / "plots" / "curves.png").shape[1] == 910
    assert [file.name for file in (tmp_path / "plots").iterdir()] == ["curves.png"]


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
        save_text(token, tmp_path / "a.png")
    assert [package in str(each.message) for each in caught] == [True]
    assert imread(tmp_path / "a.png").size


@pytest.mark.usefixtures("korean_font")
@pytest.mark.parametrize("letters", ["있어요", "いま", "古"])
def test_letters_of_an_installed_font_are_drawn_without_a_warning(letters: str, tmp_path: Path) -> None:
    save_text(letters, tmp_path / "a.png")
    assert not (imread(tmp_path / "a.png") == 1).all()


def test_a_font_installed_since_matplotlib_listed_them_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="Hangul"):
        save_text("가", tmp_path / "without.png")
    monkeypatch.delenv("MPL_IGNORE_SYSTEM_FONTS")
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    font = font_file(tmp_path / "one.ttf", "NanumGothic")
    monkeypatch.setattr(plots, "findSystemFonts", lambda: [str(font), str(tmp_path / "gone.ttf")])
    save_text("가", tmp_path / "with.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


def test_what_else_matplotlib_warns_of_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.touch() or warnings.warn("tight", stacklevel=1))
    with pytest.warns(UserWarning, match="tight"):
        save_text("a", tmp_path / "a.png")


def test_a_plot_is_whole_or_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plot_curves(LOG, tmp_path / "curves.png", *CURVES)
    before = (tmp_path / "curves.png").read_bytes()

    def fails(self: Figure, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", fails)
    with pytest.raises(OSError, match="No space left"):
        plot_curves(VALIDATIONS, tmp_path / "curves.png", *CURVES)
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    assert (tmp_path / "curves.png").read_bytes() == before
