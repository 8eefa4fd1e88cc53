"""A text, token by token, as the report of a language model shows it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from s2s.language.recipe import LanguageRecipe
from s2s.language.report import Examined, examine, shown
from s2s.run import RunFolder, read_run

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
