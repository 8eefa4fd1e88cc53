"""Letters of every script in plots, saving, and the curves of a run.

Figures are drawn by Agg without pyplot, so nothing global is touched and no screen is needed.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findSystemFonts, fontManager
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from s2s.files import writing

LABEL_CHARACTERS = 24
FAMILIES = (
    "DejaVu Sans",
    *("Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK SC", "Noto Sans KR", "Noto Sans JP", "Noto Sans SC"),
    *("NanumGothic", "UnDotum", "IPAexGothic", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback"),
    *("Malgun Gothic", "Yu Gothic", "Microsoft YaHei", "Nirmala UI", "Tahoma"),  # Windows
    *("Apple SD Gothic Neo", "AppleGothic", "Hiragino Sans", "PingFang SC", "Arial Unicode MS"),  # macOS
    *("Garuda", "Loma", "Lohit Devanagari", "Noto Sans Symbols", "Noto Sans Symbols2", "Symbola"),
)
"""Families of fonts: a letter is drawn with the first that is installed and has it, else with the Noto of its script.

The first comes with matplotlib and has Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew and Arabic.
"""
SCRIPTS = {
    "HANGUL": ("Hangul (Korean)", "fonts-nanum or fonts-noto-cjk"),
    "HIRAGANA": ("kana (Japanese)", "fonts-noto-cjk"),
    "KATAKANA": ("kana (Japanese)", "fonts-noto-cjk"),
    "KATAKANA-HIRAGANA": ("kana (Japanese)", "fonts-noto-cjk"),
    "CJK": ("Han (Chinese, Japanese)", "fonts-noto-cjk"),
    "IDEOGRAPHIC": ("Han (Chinese, Japanese)", "fonts-noto-cjk"),
    "FULLWIDTH": ("full-width forms", "fonts-noto-cjk"),
    "HALFWIDTH": ("half-width forms", "fonts-noto-cjk"),
    "THAI": ("Thai", "fonts-thai-tlwg or fonts-noto-core"),
}
"""Name of a script and the Debian packages that bring it, by the first word of its letters' Unicode names."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, its texts as they are: never as mathematics, each letter from a font that has it.

    Where no installed font has a letter, a warning names its script and a package that brings one.
    """
    with writing(path) as temporary:
        missing = _render(figure, temporary, FAMILIES)
        if missing:
            _add_new_fonts()
            noto = [f"Noto {style} {_script(each).capitalize()}" for style in ("Sans", "Serif") for each in missing]
            missing = _render(figure, temporary, [*FAMILIES, *sorted(set(noto))])
    _warn_of(missing)


def _render(figure: Figure, path: Path, families: Iterable[str]) -> set[str]:
    """Draw into a file with the installed ones of the families; returns the letters that none of them has."""
    installed = set(fontManager.get_font_names())
    for text in figure.findobj(Text):
        text.set(fontfamily=[family for family in families if family in installed], parse_math=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(path, format="png")
    missing = set()
    for each in caught:
        if found := re.match(r"Glyph (\d+) .* missing from", str(each.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return missing


def _add_new_fonts() -> None:
    """Add the fonts installed since matplotlib listed them."""
    for path in sorted(set(findSystemFonts()) - {entry.fname for entry in fontManager.ttflist}):
        with suppress(RuntimeError, OSError, ValueError):
            fontManager.addfont(path)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split()[0]


def _warn_of(missing: Iterable[str]) -> None:
    by_script = dict[tuple[str, str], str]()
    for letter in sorted(missing):
        word = _script(letter)
        script = SCRIPTS.get(word, (word.capitalize(), "fonts-noto-core, for emoji fonts-symbola"))
        by_script[script] = by_script.get(script, "") + letter
    for (name, packages), letters in by_script.items():
        warnings.warn(
            f"no installed font has the script {name}, so {len(letters)} of the letters are drawn as boxes"
            f" ({letters[:8]}); install one (Debian and Ubuntu: apt-get install {packages})",
            stacklevel=4,
        )


def label_of(token: str) -> str:
    """The token as one printable line, cut after LABEL_CHARACTERS."""
    shown = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in token)
    return shown if len(shown) <= LABEL_CHARACTERS else shown[: LABEL_CHARACTERS - 1] + "…"


def plot_curves(
    metrics: Sequence[Mapping[str, Any]], path: Path, loss: tuple[str, str], scores: Mapping[str, str]
) -> None:
    """Plot the loss, and below it scores of validations, over the optimizer steps, from the rows of metrics.jsonl.

    `loss` is its key in a validation and its unit, `scores` are titles of further scores by key. Curves without points
    are left out.
    """
    validations = [{"step": row["step"], **row["validation"]} for row in metrics if row.get("validation")]
    best = max((row["step"] for row in metrics if row.get("best")), default=None)
    names = dict.fromkeys(name for row in validations for name in row.get("also", {}))
    also = {name: [{"step": row["step"], **row.get("also", {}).get(name, {})} for row in validations] for name in names}
    curves = {title: points for key, title in scores.items() if len(points := _points(validations, key))}
    figure = Figure(figsize=(7, 7 if curves else 4), dpi=130, layout="constrained")
    upper = figure.add_subplot(2 if curves else 1, 1, 1)
    _curve(upper, _points(metrics, "loss"), "training", "C0", marker=None)
    _curve(upper, _points(validations, loss[0]), "validation", "C1", marker="o")
    for number, (name, rows) in enumerate(also.items(), start=5):
        _curve(upper, _points(rows, loss[0]), name, f"C{number}", marker="o")
    _finish(upper, "Loss", loss[1])
    if curves:
        lower = figure.add_subplot(2, 1, 2, sharex=upper)
        for (name, points), color in zip(curves.items(), ("C2", "C4"), strict=False):
            kept = "".join(f" (best {value:.4g} at step {step:,.0f})" for step, value in points if step == best)
            _curve(lower, points, name + kept, color, marker="o")
        first, title = next(iter(scores.items()))
        for number, (name, rows) in enumerate(also.items(), start=5):
            _curve(lower, _points(rows, first), f"{title} of {name}", f"C{number}", marker="o")
        _finish(lower, "Validation", " and ".join(curves))
    figure.axes[-1].set_xlabel("optimizer steps")
    save(figure, path)


def _points(rows: Iterable[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """Steps and values (n, 2) of the rows that have the value."""
    return np.array([(row["step"], row[name]) for row in rows if row.get(name) is not None], float).reshape(-1, 2)


def _curve(axes: Axes, points: NDArray[np.float64], label: str, color: str, marker: str | None) -> None:
    if len(points):
        axes.plot(points[:, 0], points[:, 1], color=color, label=label, marker=marker, markersize=3.5)


def _finish(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if axes.lines:
        axes.legend(frameon=False)
