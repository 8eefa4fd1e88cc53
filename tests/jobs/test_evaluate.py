"""Scores of a translator on a split, whose translations a stand-in gives."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from s2s.corpus.sources import split_of
from s2s.errors import DataError, RunError, S2SError
from s2s.jobs.evaluate import evaluate, without_text
from s2s.language.generator import Generator
from s2s.recipe.load import parse_recipe
from s2s.tasks import TREES
from s2s.translation.comparison import compare
from s2s.translation.data import FileSplit
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.scores import score_pairs, score_text
from tests.small_language_runs import small_language_run
from tests.small_runs import small_run

REFERENCES = ["a cat sat on the mat", "the dog ran in the park", "two birds sang a song"]
SOURCES = ["1 2 3 4 5 6", "2 3 4", "3"]


def translator(outputs: list[str], truncated: int = 0) -> Any:
    """Gives these translations, whatever it is asked, the first few of them truncated."""

    def translate(lines: Any, *, beam: int, tag: Any) -> list[Any]:
        flags = [("truncated",)] * truncated + [()] * (len(outputs) - truncated)
        return [SimpleNamespace(text=text, score=-0.5, flags=flag) for text, flag in zip(outputs, flags, strict=True)]

    source = SimpleNamespace(encode=lambda line: line.split())
    return SimpleNamespace(translate=translate, source=source, decoding=SimpleNamespace(beam=5))


def scored(
    outputs: list[str],
    references: list[str] = REFERENCES,
    *more: str,
    sources: list[str] = SOURCES,
    run: str = "r",
    beam: int | None = None,
    truncated: int = 0,
) -> dict[str, Any]:
    pairs = list(zip(sources, references, strict=True))
    return score_pairs(translator(outputs, truncated), pairs, recipe("", *more), run=run, split="a/test", beam=beam)


def recipe(test: str, *overrides: str) -> TranslationRecipe:
    text = f'''
        task = "translation"
        data = {{source = "x", target = "y", train = "a/train", validation = "a/validation"{test}}}
        training.steps = 1
    '''
    return parse_recipe(text, TREES, origin="test", folder=Path("/"), overrides=overrides)


def test_perfect_translations_score_100() -> None:
    result = scored(REFERENCES)
    assert result["scores"]["bleu"]["value"] == pytest.approx(100)
    assert result["scores"]["chrf"]["value"] == pytest.approx(100)
    assert result["scores"]["exact_match"] == {"value": 1}
    assert (result["examples"], result["beam"], result["split"]) == (3, 5, "a/test")
    assert result["rates"] == {"loops": 0.0, "empty": 0.0, "copied": 0.0, "truncated": 0.0}
    assert result["data"] == {"short_references": 0, "several_answers": 0}


def test_truncated_outputs_are_among_the_rates() -> None:
    assert scored(REFERENCES, truncated=2)["rates"]["truncated"] == pytest.approx(2 / 3)


def test_lengths_are_counted_in_the_tokens_of_the_translator() -> None:
    rows = scored(REFERENCES)["by_length"]
    assert [(row["source_tokens"], row["examples"]) for row in rows] == [("1-5", 2), ("6-10", 1)]


def test_the_beam_is_the_recipes_unless_given() -> None:
    assert scored(REFERENCES)["beam"] == 5
    assert scored(REFERENCES, beam=1)["beam"] == 1


def test_a_language_without_spaces_is_scored_and_searched_for_loops_by_characters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    right = ["ははは", "古い家が川の近くにある", "コーヒーを一杯ください"]
    for name in ("ja", "jpn", "japanese", "jpn_Jpan"):
        result = scored(right, right, f"data.target={name}")
        assert "tok:char" in result["scores"]["bleu"]["signature"]
        assert result["scores"]["bleu"]["value"] == pytest.approx(100)
        assert result["rates"]["loops"] == pytest.approx(1 / 3)
    assert not caplog.text
    unnamed = scored(right, right, "data.target=target")
    assert "tok:char" in unnamed["scores"]["bleu"]["signature"]
    assert "r: data.target is 'target', but 100% of the references' letters are" in caplog.text
    assert "tok:13a" in scored(right, right, "evaluation.bleu_tokenizer=13a")["scores"]["bleu"]["signature"]
    assert scored(["ははは", "", "い"])["rates"]["loops"] == 0


def test_one_word_targets_have_no_bleu_but_exact_match() -> None:
    words = ["개", "고양이", "집"]
    result = scored(words, words)
    assert result["scores"]["bleu"]["value"] is None
    assert result["scores"]["exact_match"] == {"value": 1}
    assert result["data"]["short_references"] == 1
    text = score_text(result)
    assert "\n  bleu       -  nrefs:1|" in text
    assert "\n  100% of the references are shorter than 4 tokens, too short for BLEU\n" in text
    assert " 0.00 " not in text


def test_symbol_strings_have_error_rates_with_several_right_answers() -> None:
    sources, right = ["r e a d", "r e a d", "c a t"], ["R IY D", "R EH D", "K AE T"]
    result = scored(["R EH D", "R EH D", "K AE D"], right, sources=sources)
    assert result["scores"]["word_error_rate"] == result["scores"]["exact_match"] == {"value": 0.5}
    assert result["scores"]["phone_error_rate"]["value"] == pytest.approx(1 / 6)
    assert result["data"]["several_answers"] == 1
    assert "\n  phone error rate  16.67%\n  100% of the" in score_text(result)
    assert (
        "\n  sources with several right answers: 1; BLEU and chrF compare with the line's own reference only\n"
        in score_text(result)
    )
    plain = scored(right, right, "evaluation.symbols=false", sources=sources)
    assert plain["scores"].keys() == {"bleu", "chrf", "exact_match"}
    assert "word_error_rate" in scored(REFERENCES, REFERENCES, "evaluation.symbols=true")["scores"]


def test_scores_by_tag_and_their_mean_stand_beside_those_of_all() -> None:
    """A word of two languages is two sources; one with several right answers is right with any of them."""
    sources = ["r e a d", "r e a d", "c a t", "r e a d", "s o"]
    right, tags = ["R IY D", "R EH D", "K AE T", "R E A", "S O"], ["eng", "eng", "eng", "ita", None]
    outputs = ["R IY D", "R IY D", "K AE D", "R E A", "S U"]
    pairs = list(zip(sources, right, strict=True))
    found = score_pairs(translator(outputs), pairs, recipe(""), run="r", split="a/test", beam=None, tags=tags)
    assert found["scores"]["word_error_rate"] == {"value": 0.5}
    assert {tag: scores["word_error_rate"] for tag, scores in found["by_tag"].items()} == {
        "eng": 0.5, "ita": 0.0, "(no tag)": 1.0, "(mean)": 0.5,
    }  # fmt: skip
    assert [scores["examples"] for scores in found["by_tag"].values()] == [3, 1, 1, 5]
    rates = [scores["phone_error_rate"] for scores in found["by_tag"].values()]
    assert rates == pytest.approx([1 / 6, 0.0, 1 / 2, 2 / 9])
    said = "  ita: 1 examples, BLEU -, chrF 100.00, exact match 100.00%, word error rate 0.00%, phone error rate 0.00%"
    assert said in score_text(found).split("\n")
    assert [row.get("tag") for row in found["outputs"]] == tags
    assert "by_tag" not in scored(outputs, right, sources=sources)


def test_a_split_of_a_corpus_may_be_given_a_tag(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", tags=("one", None))
    ways: dict[str, Any] = {"device": "cpu", "beam": 1}
    files = FileSplit(source=str(tmp_path / "a"), target=str(tmp_path / "b"))
    for path in (files.source, files.target):
        Path(path).write_text("where is it\nyes\n", encoding="utf-8")
    tagged, plain = evaluate(run, files=files, tag="one", **ways)[0], evaluate(run, files=files, **ways)[0]
    assert tagged["by_tag"].keys() == {"one"}
    assert tagged["split"] == plain["split"] == "files"
    assert tagged["hypotheses"] != plain["hypotheses"]
    with pytest.raises(DataError, match="tag: two is none of the training's tags"):
        evaluate(run, files=files, tag="two", **ways)
    with pytest.raises(DataError, match="--tag one: the recipe's own splits name their tags"):
        evaluate(run, on="validation", tag="one", **ways)


def test_runs_on_other_pairs_are_scored_and_not_compared(caplog: pytest.LogCaptureFixture) -> None:
    others = [f"{line} today" for line in REFERENCES]
    results = [scored(REFERENCES, run="one"), scored(others, others, run="other")]
    assert [result["scores"]["bleu"]["value"] for result in results] == pytest.approx([100, 100])
    assert compare(results) == []
    assert "other and one: scored on different pairs, so they are not compared" in caplog.text


def test_a_single_path_is_a_run(tmp_path: Path) -> None:
    for one in (tmp_path / "none", str(tmp_path / "none")):
        with pytest.raises(RunError, match="none: no such run folder"):
            evaluate(one)


def test_only_a_translator_is_scored_in_int8(tmp_path: Path) -> None:
    run = small_language_run(tmp_path / "run", "characters")
    with pytest.raises(DataError, match="holds no translator, which precision int8 is for; leave it out"):
        evaluate(run, precision="int8")
    with pytest.raises(S2SError, match="precision int8: a language model has none, only a translation"):
        Generator.load(run, device="cpu", precision="int8")


def test_the_sentences_stay_out_of_what_is_printed() -> None:
    keys = {"task", "run", "split", "examples", "beam", "scores", "by_length", "rates", "data"}
    assert without_text(scored(REFERENCES)).keys() == keys


def test_splits_are_named_by_their_part_or_by_their_corpus() -> None:
    assert split_of(recipe(', test = "a/test"').data, "test", "--source and --reference") == "a/test"
    assert split_of(recipe("").data, "validation", "--source and --reference") == "a/validation"
    assert split_of(recipe("").data, "other/split", "--source and --reference") == "other/split"
    with pytest.raises(DataError, match=r"--on test: the recipe has no data\.test; give CORPUS/SPLIT"):
        split_of(recipe("").data, "test", "--source and --reference")
    with pytest.raises(DataError, match="--on model: give train, validation, test"):
        split_of(recipe("").data, "model", "--source and --reference")


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="evaluate: there are 0 runs, and at least one is scored"):
        evaluate([])


RESULT: dict[str, Any] = {
    "task": "translation",
    "run": "runs/small",
    "split": "a/test",
    "examples": 1000,
    "beam": 5,
    "scores": {
        "bleu": {"value": 38.24, "low": 37.16, "high": 39.0, "signature": "tok:13a|version:2"},
        "chrf": {"value": 60.05, "low": 59.0, "high": 61.0, "signature": "nc:6|version:2"},
        "exact_match": {"value": 0.125},
    },
    "by_length": [{"source_tokens": "1-5", "examples": 1000, "bleu": 38.24, "length_ratio": 0.98}],
    "rates": {"loops": 0.001, "empty": 0.0, "copied": 0.0, "truncated": 0.002},
    "data": {"blank": 3, "short_references": 0.1, "several_answers": 0, "in_training": 0.0214},
}


def test_scores_read_well() -> None:
    assert score_text(RESULT) == (
        "runs/small on a/test, 1,000 examples, beam 5\n"
        "  bleu   38.24 [37.16, 39.00]  tok:13a|version:2\n"
        "  chrf   60.05 [59.00, 61.00]  nc:6|version:2\n"
        "  exact match       12.50%\n"
        "  pairs left out since a side is blank: 3\n"
        "  2.1% of the sources are sources of data.train too\n"
        "  source tokens   examples    BLEU   length ratio\n"
        "            1-5      1,000   38.24          0.980\n"
        "  loops 0.10%, empty 0.00%, copied 0.00%, truncated 0.20%\n"
    )
