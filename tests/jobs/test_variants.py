"""Variants are trained side by side, each with its overrides, and compared in one table."""

from pathlib import Path

import pytest

from s2s.errors import RecipeError
from s2s.jobs.variants import train_variants
from s2s.recipe.load import parse_recipe
from s2s.run import RunFolder
from s2s.tasks import TREES, recipe_of
from s2s.translation.recipe import TranslationRecipe

PAIRS = '{ pairs = [["one two", "eins zwei"], ["two one", "zwei eins"], ["one", "eins"], ["two", "zwei"]] }'


def recipe(variants: str, *, test: bool = True) -> TranslationRecipe:
    text = f"""
        task = "translation"
        [data]
        source = "en"
        target = "de"
        train = {PAIRS}
        validation = {PAIRS}
        {f"test = {PAIRS}" if test else ""}
        [tokenizer]
        kind = "words"
        [model]
        embedding_size = 8
        hidden_size = 8
        [training]
        steps = 2
        precision = "float32"
        [variants]
        {variants}
        """
    return parse_recipe(text, TREES, origin="test", folder=Path("/"))


def test_each_variant_is_a_run_with_its_overrides_and_a_row_of_the_table(tmp_path: Path) -> None:
    compared = recipe('dot = ["model.attention=dot"]\nforced = ["training.teacher_forcing.rate=0.5"]')
    runs = train_variants(compared, tmp_path / "out")
    assert [run.path.name for run in runs] == ["dot", "forced"]
    assert recipe_of(runs[0]).model.attention == "dot"
    assert recipe_of(RunFolder(tmp_path / "out" / "forced")).training.teacher_forcing.rate == 0.5
    rows = (tmp_path / "out" / "results.md").read_text(encoding="utf-8").split("\n")
    assert [row.split("|")[1].strip() for row in rows[2:4]] == ["dot", "forced"]
    weights = runs[0].best.read_bytes()
    train_variants(compared, str(tmp_path / "out"), resume=True)
    assert runs[0].best.read_bytes() == weights


def test_a_variant_that_breaks_a_rule_is_refused_when_the_recipe_is_read() -> None:
    with pytest.raises(RecipeError, match=r"variant bad: 1 error\n.*model.attention: must be one of"):
        recipe('bad = ["model.attention=dots"]')


def test_a_recipe_without_variants_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"variants: the recipe names none, .* train runs the recipe itself"):
        train_variants(recipe(""), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_variants_need_a_test_split(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data.test: missing; variants are compared on a test split"):
        train_variants(recipe('dot = ["model.attention=dot"]', test=False), tmp_path / "out")
