"""Dynamic evaluation: the weights follow the text, each token scored before it is learned from, and come back."""

from pathlib import Path
from typing import Any

import pytest
import torch

from s2s import Generator, load_recipe
from s2s.errors import DataError
from s2s.jobs.evaluate import evaluate
from s2s.language.dynamic import Dynamic
from s2s.language.evaluation import encoded, predict_text
from s2s.language.recipe import LanguageRecipe, TextFile
from s2s.language.scores import score_text
from s2s.language.text import open_text
from tests.small_language_runs import small_language_run
from tests.small_runs import small_run

TEXT = "the cat sat\na dog ran and ran\n" * 6


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))


def result_of(run: Path, dynamic: Dynamic | None, text: str = TEXT) -> dict[str, Any]:
    (run.parent / "text.txt").write_text(text)
    (result,) = evaluate(run, files=TextFile(file=str(run.parent / "text.txt")), device="cpu", dynamic=dynamic)
    return result


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("kind", ["characters", "words", "closed stream"])
def test_rate_zero_is_plain_evaluation_and_a_rate_learns_what_repeats(kind: str, cell: str, tmp_path: Path) -> None:
    run = small_language_run(tmp_path / "run", kind, cell)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    text = "a b c a b c\n" * 20 if kind == "closed stream" else TEXT
    plain, still, follows = (result_of(run, each, text) for each in (None, Dynamic(rate=0.0), Dynamic(0.02, 5)))
    assert still["nats"] == pytest.approx(plain["nats"], rel=1e-5)
    assert follows["nats"] < 0.9 * plain["nats"]
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert "dynamic" not in plain
    assert follows["dynamic"] == {"rate": 0.02, "window": 5, "decay": Dynamic().decay}
    assert "dynamic evaluation: the weights followed the text" in score_text(follows)
    assert "dynamic" not in score_text(plain)
    assert follows == result_of(run, Dynamic(0.02, 5), text)


@pytest.mark.parametrize("window", [1, 7])
def test_a_window_is_scored_before_it_is_learned_from(window: int, tmp_path: Path) -> None:
    """So that what comes after a window changes nothing in it, and the first is scored by the trained weights."""
    run = small_language_run(tmp_path / "run", "characters")
    begin = TEXT[: window + 1]
    first = result_of(run, None, begin)["nats"]
    assert result_of(run, Dynamic(0.1, window), begin)["nats"] == pytest.approx(first, rel=1e-5)
    one, other = (result_of(run, Dynamic(0.1, window), begin + more) for more in ("a", "t"))
    plain = [result_of(run, None, begin + more)["nats"] - first for more in ("a", "t")]
    assert [one["nats"] - first, other["nats"] - first] != pytest.approx(plain, rel=1e-3)


def test_full_decay_gives_the_trained_weights_back(tmp_path: Path) -> None:
    run = small_language_run(tmp_path / "run", "words")
    assert result_of(run, Dynamic(0.1, 5, decay=1.0))["nats"] == pytest.approx(result_of(run, None)["nats"], rel=1e-5)


def test_the_weights_of_a_model_in_hand_come_back(tmp_path: Path) -> None:
    run = small_language_run(tmp_path / "run", "words")
    generator = Generator.load(run, device="cpu")
    (tmp_path / "text.txt").write_text(TEXT)
    recipe = load_recipe(run / "recipe.toml")
    assert isinstance(recipe, LanguageRecipe)
    source = open_text(TextFile(file=str(tmp_path / "text.txt")), None, exact=False)
    text = encoded(source, generator.tokenizer, recipe.data)
    before = [weight.clone() for weight in generator.model.parameters()]
    predict_text(generator.model, text, recipe, generator.compute, Dynamic(0.1))
    assert all(map(torch.equal, before, generator.model.parameters()))
    assert not any(weight.requires_grad for weight in generator.model.parameters())
    assert not any(part.training for part in generator.model.modules())


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        (Dynamic(rate=-1), r"rate: must be from 0 to 1000 \(given -1\)"),
        (Dynamic(rate=float("nan")), "rate: must be"),
        (Dynamic(window=0), r"window: must be a whole number of at least 1 \(given 0\)"),
        (Dynamic(decay=2), "decay: must be from 0 to 1"),
    ],
)
def test_numbers_out_of_their_range_are_said(dynamic: Dynamic, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        result_of(small_language_run(tmp_path / "run", "words"), dynamic)


def test_lines_that_stand_for_themselves_and_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"trained line by line .* in no order that weights could follow"):
        result_of(small_language_run(tmp_path / "lines", "lines"), Dynamic())
    with pytest.raises(DataError, match="holds no language model, which --dynamic is for; leave it out"):
        evaluate(small_run(tmp_path / "pairs", tokenizer={"kind": "words"}), on="validation", dynamic=Dynamic())
