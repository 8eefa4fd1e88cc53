"""Scores of a translator on a split, whose translations a stand-in gives."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from s2s.errors import DataError
from s2s.jobs.evaluate import compare, evaluate, score, split_of, without_text
from s2s.recipe.load import parse_recipe
from s2s.tasks import TREES
from s2s.translation.recipe import TranslationRecipe

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
    return score(translator(outputs), pairs, run=run, split="a/test", language=language, beam=beam)


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
    with pytest.raises(DataError, match="bad and good: scored on different references"):
        compare([good, {**bad, "references": ["x", "y", "z"]}])


def test_the_sentences_stay_out_of_what_is_printed() -> None:
    keys = {"task", "run", "split", "examples", "beam", "scores", "by_length", "rates"}
    assert without_text(scored(REFERENCES)).keys() == keys


def test_splits_are_named_by_their_part_or_by_their_corpus() -> None:
    assert split_of(recipe(', test = "a/test"'), "test") == "a/test"
    assert split_of(recipe(""), "validation") == "a/validation"
    assert split_of(recipe(""), "other/split") == "other/split"
    with pytest.raises(DataError, match=r"--on test: the recipe has no data\.test; give CORPUS/SPLIT"):
        split_of(recipe(""), "test")
    with pytest.raises(DataError, match="--on model: give train, validation, test"):
        split_of(recipe(""), "model")


def test_no_runs_are_no_scores() -> None:
    assert evaluate([]) == []
