"""Scores of a translator on a split, whose translations a stand-in gives."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from s2s.corpus.find import split_of
from s2s.errors import DataError, RunError
from s2s.jobs.evaluate import evaluate, without_text
from s2s.recipe.load import parse_recipe, recipe_toml
from s2s.tasks import TREES
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.scores import compare, comparison_text, score_text
from s2s.translation.task import score_pairs

REFERENCES = ["a cat sat on the mat", "the dog ran in the park", "two birds sang a song"]
SOURCES = ["1 2 3 4 5 6", "2 3 4", "3"]


def translator(outputs: list[str]) -> Any:
    """Gives these translations, whatever it is asked."""
    asked: list[int] = []

    def translate(lines: Any, *, beam: int) -> list[Any]:
        asked.append(beam)
        return [SimpleNamespace(text=text) for text in outputs]

    source = SimpleNamespace(encode=lambda line: line.split())
    return SimpleNamespace(
        translate=translate, source=source, decoding=SimpleNamespace(beam=5), asked=asked
    )  # fmt: skip


def scored(outputs: list[str], *, language: str = "en", run: str = "r", beam: int | None = None) -> dict[str, Any]:
    pairs = list(zip(SOURCES, REFERENCES, strict=True))
    return score_pairs(translator(outputs), pairs, run=run, split="a/test", language=language, beam=beam)


def recipe(test: str) -> TranslationRecipe:
    text = f'''
        task = "translation"
        data = {{source = "x", target = "y", train = "a/train", validation = "a/validation"{test}}}
        training.steps = 1
    '''
    return parse_recipe(text, TREES, origin="test", folder=Path("/"))


def test_perfect_translations_score_100() -> None:
    result = scored(REFERENCES)
    assert result["scores"]["bleu"]["value"] == pytest.approx(100)
    assert result["scores"]["chrf"]["value"] == pytest.approx(100)
    assert (result["examples"], result["beam"], result["split"]) == (3, 5, "a/test")
    assert result["rates"] == {"loops": 0.0, "empty": 0.0, "copied": 0.0}


def test_lengths_are_counted_in_the_tokens_of_the_translator() -> None:
    rows = scored(REFERENCES)["by_length"]
    assert [(row["source_tokens"], row["examples"]) for row in rows] == [("1-5", 2), ("6-10", 1)]


def test_the_beam_is_the_recipes_unless_given() -> None:
    assert scored(REFERENCES)["beam"] == 5
    assert scored(REFERENCES, beam=1)["beam"] == 1


def test_a_language_without_spaces_is_scored_and_searched_for_loops_by_characters() -> None:
    japanese = scored(["ははは", "", "い"], language="ja")
    assert "tok:char" in japanese["scores"]["bleu"]["signature"]
    assert japanese["rates"]["loops"] == pytest.approx(1 / 3)
    assert scored(["ははは", "", "い"])["rates"]["loops"] == 0


def test_comparison_prefers_the_better_run_and_needs_equal_references() -> None:
    good, bad = scored(REFERENCES, run="good"), scored(["a", "b c d", "the the"], run="bad")
    (comparison,) = compare([good, bad])
    assert (comparison["run"], comparison["against"], comparison["metric"]) == ("bad", "good", "bleu")
    assert comparison["difference"] < 0
    assert 0 < comparison["p_value"] <= 1
    assert compare([good]) == []


def test_unequal_references_are_refused_before_anything_is_translated(tmp_path: Path) -> None:
    for name, references in (("good", "a\nb\n"), ("bad", "x\ny\n")):
        (tmp_path / f"{name}.y").write_text(references)
        (tmp_path / f"{name}.x").write_text("1\n2\n")
        test = f', test = {{source = "{tmp_path}/{name}.x", target = "{tmp_path}/{name}.y"}}'
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text(recipe_toml(recipe(test)))
    runs = [tmp_path / "good", tmp_path / "bad"]
    with pytest.raises(DataError, match=r"bad and .*good: scored on different references, so they do not compare"):
        evaluate(runs, compared=True)
    for one in (runs[0], str(runs[0])):
        with pytest.raises(RunError, match="tokenizer"):
            evaluate(one)
    with pytest.raises(RunError, match="tokenizer"):  # these two runs hold nothing but a recipe
        evaluate(runs)


def test_the_sentences_stay_out_of_what_is_printed() -> None:
    keys = {"task", "run", "split", "examples", "beam", "scores", "by_length", "rates"}
    assert without_text(scored(REFERENCES)).keys() == keys


def test_splits_are_named_by_their_part_or_by_their_corpus() -> None:
    assert split_of(recipe(', test = "a/test"').data, "test", "--source and --reference") == "a/test"
    assert split_of(recipe("").data, "validation", "--source and --reference") == "a/validation"
    assert split_of(recipe("").data, "other/split", "--source and --reference") == "other/split"
    with pytest.raises(DataError, match=r"--on test: the recipe has no data\.test; give CORPUS/SPLIT"):
        split_of(recipe("").data, "test", "--source and --reference")
    with pytest.raises(DataError, match="--on model: give train, validation, test"):
        split_of(recipe("").data, "model", "--source and --reference")


def test_no_runs_are_no_scores() -> None:
    assert evaluate([]) == []


RESULT: dict[str, Any] = {
    "task": "translation",
    "run": "runs/small",
    "split": "a/test",
    "examples": 1000,
    "beam": 5,
    "scores": {
        "bleu": {"value": 38.24, "low": 37.16, "high": 39.0, "signature": "tok:13a|version:2"},
        "chrf": {"value": 60.05, "low": 59.0, "high": 61.0, "signature": "nc:6|version:2"},
    },
    "by_length": [{"source_tokens": "1-5", "examples": 1000, "bleu": 38.24, "length_ratio": 0.98}],
    "rates": {"loops": 0.001, "empty": 0.0, "copied": 0.0},
}


def test_scores_and_comparisons_read_well() -> None:
    assert score_text(RESULT) == (
        "runs/small on a/test, 1,000 examples, beam 5\n"
        "  bleu   38.24 [37.16, 39.00]  tok:13a|version:2\n"
        "  chrf   60.05 [59.00, 61.00]  nc:6|version:2\n"
        "  source tokens   examples    BLEU   length ratio\n"
        "            1-5      1,000   38.24          0.980\n"
        "  loops 0.10%, empty 0.00%, copied 0.00%\n"
    )
    comparison = {"run": "b", "against": "a", "difference": 0.5, "low": -0.1, "high": 1.1, "p_value": 0.04}
    assert comparison_text(comparison) == "b against a: +0.50 BLEU [-0.10, +1.10], p = 0.0400 (paired bootstrap)\n"
