"""A text, token by token, as the report of a language model shows it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from s2s.jobs.train import train
from s2s.language.recipe import LanguageRecipe
from s2s.language.report import Examined, compared, examine, shown
from s2s.recipe.load import parse_recipe
from s2s.run import RunFolder, read_run
from s2s.tasks import TREES

RUN = Path(__file__).parents[1] / "runs" / "words-one-to-five"


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examined:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    run = RunFolder(Path(shutil.copytree(RUN, tmp_path / "run")))
    return examine(run, read_run(run, {"language": LanguageRecipe}), None, "cpu")


def test_what_is_read_is_the_scored_text_with_its_score(found: Examined) -> None:
    (reading,) = found.readings
    assert len(reading.tokens) == found.scores["examples"]
    assert reading.nats.mean() == pytest.approx(found.scores["scores"]["nats_per_token"]["value"], rel=1e-4)
    right = reading.likeliest == reading.tokens
    assert right.mean() == pytest.approx(found.scores["scores"]["accuracy"]["value"])
    assert np.exp(-reading.nats[right]) == pytest.approx(reading.highest[right], rel=1e-4)


def test_the_text_is_shown_as_it_is(found: Examined) -> None:
    text = "".join(token for _, token in shown(found)["shaded"])
    assert "three , four , five , one" in text


@pytest.mark.parametrize("kind", ["words", "subword", "lines"])
def test_units_and_gradients_of_every_kind_of_text(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    kinds = {"words": ("tokenizer.kind=words",), "lines": ("data.cut=lines", "data.window=40", "model.cell=gru")}
    subword = ("tokenizer.kind=subword", "tokenizer.vocabulary_size=40", "tokenizer.byte_fallback=false")
    recipe = parse_recipe(RECIPE, TREES, origin="test", folder=Path("/"), overrides=kinds.get(kind, subword))
    assert isinstance(recipe, LanguageRecipe)
    run = train(recipe, tmp_path / "run", device="cpu")
    found = examine(run, recipe, None, "cpu")
    assert {"inside quotation marks", "inside a word with a capital"} <= {unit.trait for unit in found.units}
    assert all(unit.name.startswith("unit" if kind == "lines" else "cell") for unit in found.units)
    written = "".join(text for _, text in found.units[0].drawn)
    assert 'The "big cat" sat' in written
    assert len(found.gradients) > 5
    page = run.report.read_text(encoding="utf-8")
    assert "Gradient by distance" in page
    assert "inside quotation marks" in page


RECIPE = """
task = "language"

[data]
train = {text = "The \\"big cat\\" sat on the mat.\\nthe dog lay on a log\\n", repeat = 40}
rows = 4
window = 9

[model]
hidden_size = 12
embedding_size = 6
output = "adaptive"

[training]
steps = 2
warmup_steps = 0
"""


def test_several_runs_share_a_chart_of_their_gradients(found: Examined) -> None:
    said, chart = compared({"one": found, "two": found._replace(gradients=[1.0, 0.5])})
    assert isinstance(said, str)
    assert [line.label for line in chart.lines] == ["one", "two"]
