"""Pictures of a run: its curves, and the alignment of a sentence with fonts that have its letters.

Figures are drawn by Agg without pyplot, so nothing global is touched and no screen is needed.
"""

import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from s2s.files import writing

BUNDLED_FONT = "DejaVu Sans"
"""Comes with matplotlib: Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic."""
LABELLED_TOKENS = 120
"""An axis with more tokens is numbered instead of labelled."""
LABEL_CHARACTERS = 24
"""Longer labels are cut."""


class Script(NamedTuple):
    """Where the letters of a script come from."""

    name: str
    package: str


SCRIPTS = {
    "HANGUL": Script("Hangul (Korean)", "fonts-nanum or fonts-noto-cjk"),
    "HIRAGANA": Script("kana (Japanese)", "fonts-noto-cjk"),
    "KATAKANA": Script("kana (Japanese)", "fonts-noto-cjk"),
    "KATAKANA-HIRAGANA": Script("kana (Japanese)", "fonts-noto-cjk"),
    "CJK": Script("Han (Chinese, Japanese)", "fonts-noto-cjk"),
    "IDEOGRAPHIC": Script("Han (Chinese, Japanese)", "fonts-noto-cjk"),
    "FULLWIDTH": Script("full-width forms", "fonts-noto-cjk"),
    "HALFWIDTH": Script("half-width forms", "fonts-noto-cjk"),
    "THAI": Script("Thai", "fonts-thai-tlwg or fonts-noto-core"),
}
"""By the first word of a character's Unicode name."""


def plot_curves(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the loss, and below it BLEU and chrF, over the optimizer steps, from the rows of metrics.jsonl.

    Log rows have step and loss (nats per target token); validation rows have step and validation with nats_per_token,
    bleu and chrf, any of them. What no row has is left out.
    """
    training = _points(metrics, "loss")
    validations = [{"step": row["step"], **row["validation"]} for row in metrics if row.get("validation")]
    curves = {name: _points(validations, name) for name in ("nats_per_token", "bleu", "chrf")}
    scored = len(curves["bleu"]) + len(curves["chrf"]) > 0
    figure = Figure(figsize=(7, 7 if scored else 4), dpi=130, layout="constrained")
    losses = figure.add_subplot(2 if scored else 1, 1, 1)
    _curve(losses, training, "training", "C0")
    _curve(losses, curves["nats_per_token"], "validation", "C1", marked=True)
    _finish(losses, "Loss", "nats per target token")
    if scored:
        scores = figure.add_subplot(2, 1, 2, sharex=losses)
        _curve(scores, curves["bleu"], "BLEU", "C2", marked=True, best=True)
        _curve(scores, curves["chrf"], "chrF", "C4", marked=True, best=True)
        _finish(scores, "Validation translations", "score (0 to 100)")
    figure.axes[-1].set_xlabel("optimizer steps")
    save(figure, path)


def plot_attention(
    attention: NDArray[np.floating],
    source: Sequence[str],
    target: Sequence[str],
    path: Path,
    title: str | None = None,
) -> None:
    """Draw attention weights (T, S) as a heat map: a row for each target token, a column for each source token.

    Where no installed font has the letters of the tokens, a warning names their script and a package that brings one.
    """
    assert attention.shape == (len(target), len(source)), (attention.shape, len(target), len(source))
    font = font_for([*source, *target, title or ""])
    width, height = (_inches(len(tokens)) for tokens in (source, target))
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(attention, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=axes, label="attention weight", fraction=0.3 / width, aspect=height / 0.3, pad=0.02)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    for axis, tokens in ((axes.xaxis, source), (axes.yaxis, target)):
        if len(tokens) <= LABELLED_TOKENS:
            axis.set_ticks(range(len(tokens)), [label_of(token) for token in tokens])
            for label in axis.get_ticklabels():
                label.set(fontproperties=font, parse_math=False)
    axes.tick_params(axis="x", labelrotation=60 if len(source) <= LABELLED_TOKENS else 0)
    for label in axes.get_xticklabels():
        label.set(ha="left", va="bottom", rotation_mode="anchor")
    if title:
        lines = textwrap.fill(
            label_of(title, 200), int(width * 9)
        )  # matplotlib's own wrapping would read $ as mathematics
        axes.set_title(lines, fontproperties=font, parse_math=False)
    save(figure, path)


def _inches(tokens: int) -> float:
    """Side of a heat map: room for each label, or a fixed size where there are none."""
    return max(0.32 * tokens + 2.2, 4.5) if tokens <= LABELLED_TOKENS else 12.0


def _points(rows: Iterable[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """Steps and values (n, 2) of the rows that have the value."""
    return np.array([(row["step"], row[name]) for row in rows if row.get(name) is not None], float).reshape(-1, 2)


def _curve(
    axes: Axes, points: NDArray[np.float64], name: str, color: str, marked: bool = False, best: bool = False
) -> None:
    if not len(points):
        return
    label = name
    if best:
        step, value = points[np.nanargmax(points[:, 1])] if np.isfinite(points[:, 1]).any() else points[-1]
        label = f"{name} (best {value:.1f} at step {step:,.0f})"
    axes.plot(points[:, 0], points[:, 1], color=color, label=label, marker="o" if marked else None, markersize=3.5)


def _finish(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if axes.lines:
        axes.legend(frameon=False)


def label_of(token: str, characters: int = LABEL_CHARACTERS) -> str:
    """The token as one short printable line."""
    shown = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in token)
    return shown if len(shown) <= characters else shown[: characters - 1] + "…"


@lru_cache(maxsize=1024)
def _charmap(path: str) -> frozenset[int]:
    """Code points that a font file claims; none if it cannot be read or scaled, as bitmap emoji cannot."""
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (RuntimeError, OSError):
        return frozenset()


def _drawn(path: str, letters: set[int]) -> set[int]:
    """Those of the letters that a font file draws: some map thousands of Han letters to one empty glyph."""
    claimed = letters & _charmap(path)
    if not claimed:
        return set()
    font = FT2Font(path)
    return {letter for letter in claimed if chr(letter).isspace() or font.load_char(letter).width}


def _add_new_fonts() -> None:
    """Make known the fonts installed since matplotlib wrote its list of them."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (RuntimeError, OSError, ValueError):
            continue


def font_for(texts: Iterable[str]) -> FontProperties:
    """A list of installed fonts that together have every letter of the texts; warns where there is none."""
    missing = {ord(letter) for text in texts for letter in label_of(text, 10_000)}
    families = [BUNDLED_FONT]
    missing -= _charmap(_path_of(BUNDLED_FONT))
    if missing:
        _add_new_fonts()
    while missing:
        # Plain, upright and of normal weight first; then by name, so that one machine draws one picture.
        best = max(
            (entry for entry in fontManager.ttflist if "Last Resort" not in entry.name),
            key=lambda entry: (
                len(_drawn(entry.fname, missing)),
                entry.style == "normal",
                entry.weight in (400, "normal", "regular"),
                "Serif" not in entry.name and "Mono" not in entry.name,
                entry.name,
            ),
        )
        found = _drawn(best.fname, missing)
        if not found:
            _warn_of(missing)
            break
        families.append(best.name)
        missing -= found
    return FontProperties(family=families)


def _path_of(family: str) -> str:
    return next(
        entry.fname
        for entry in fontManager.ttflist
        if entry.name == family and entry.style == "normal" and entry.weight == 400
    )


def _warn_of(missing: set[int]) -> None:
    by_script = dict[Script, str]()
    for letter in map(chr, sorted(missing)):
        word = unicodedata.name(letter, "UNKNOWN").split()[0]
        script = SCRIPTS.get(word, Script(word.capitalize(), "fonts-noto-core, for emoji fonts-symbola"))
        by_script[script] = by_script.get(script, "") + letter
    for script, letters in by_script.items():
        warnings.warn(
            f"no installed font has the script {script.name}, so {len(letters)} of the letters are drawn as boxes"
            f" ({letters[:8]}); install one (Debian and Ubuntu: apt-get install {script.package}), or put a .ttf or"
            " .otf file that has it into ~/.local/share/fonts",
            stacklevel=4,
        )


def save(figure: Figure, path: Path) -> None:
    with writing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of missing glyphs, which _warn_of has told in better words
        figure.savefig(temporary, format="png")
