"""Reading, overriding, checking and writing recipes: what a person gets back, word by word."""

import csv
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from s2s.errors import RecipeError
from s2s.recipe import load
from s2s.recipe.load import (
    differences,
    parse_recipe,
    recipe_names,
    recipe_path,
    recipe_toml,
)
from s2s.tasks import TREES, load_recipe
from s2s.translation.data import FileSplit, PairSplit, TableSplit, portions
from s2s.translation.recipe import TranslationRecipe

SMALL = """\
# A recipe of a test.
task = "translation"
[data]
source = "de"
target = "en"
train = "multi30k/train"
validation = "multi30k/validation"
[training]
epochs = 1
"""


def parse(text: str = SMALL, *overrides: str, folder: Path = Path("/somewhere")) -> TranslationRecipe:
    return parse_recipe(text, TREES, origin="recipes/x.toml", folder=folder, overrides=overrides)


def complaints(text: str = SMALL, *overrides: str) -> list[str]:
    """The lines of the error after the first, which must give the file and their number."""
    with pytest.raises(RecipeError) as caught:
        parse(text, *overrides)
    first, *lines = str(caught.value).split("\n")
    assert first == f"recipes/x.toml: {len(lines)} error{'s' if len(lines) > 1 else ''}"
    assert all(line.startswith("  ") for line in lines)
    return [line.removeprefix("  ") for line in lines]


def message(text: str = SMALL, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(text, *overrides)
    return str(caught.value)


# What is wrong, all at once


def test_all_errors_of_a_file_are_said_at_once_each_with_key_rule_and_value() -> None:
    text = """\
task = "translation"
sed = 3
[model]
hiden_size = 256
cell = "gruu"
[model.dropout]
embedding = 1.0
[training]
epochs = 1
learning_rate = -1
"""
    assert complaints(text) == [
        "data: missing",
        'model.cell: must be one of elman, gru, lstm (given "gruu"); did you mean gru?',
        "model.dropout.embedding: must be less than 1 (given 1.0)",
        "model.hiden_size: unknown key; did you mean hidden_size?",
        "training.learning_rate: must be greater than 0 (given -1)",
        "sed: unknown key; did you mean seed?",
    ]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("model.hidden_size=true", "model.hidden_size: must be a whole number (given true)"),
        ('model.hidden_size="256"', 'model.hidden_size: must be a whole number (given "256")'),
        ("model.hidden_size=2.5", "model.hidden_size: must be a whole number (given 2.5)"),
        ("model.hidden_size=0", "model.hidden_size: must be at least 1 (given 0)"),
        ("training.learning_rate=fast", 'training.learning_rate: must be a number (given "fast")'),
        ("training.learning_rate=true", "training.learning_rate: must be a number (given true)"),
        ("training.learning_rate=nan", "training.learning_rate: must be a finite number (given nan)"),
        ("tokenizer.sampling=1.5", "tokenizer.sampling: must be at most 1 (given 1.5)"),
        ("tokenizer.joint=1", "tokenizer.joint: must be true or false (given 1)"),
        ("tokenizer.joint=yes", 'tokenizer.joint: must be true or false (given "yes")'),
        ("title=3", "title: must be text in quotes (given 3)"),
        ("title=2024-01-31", "title: must be text in quotes (given 2024-01-31)"),
        ("model.cell=3", "model.cell: must be one of elman, gru, lstm (given 3)"),
        ("model.cell=LSTM", 'model.cell: must be one of elman, gru, lstm (given "LSTM"); did you mean lstm?'),
        ("model=3", "model: must be a table of keys (given 3)"),
        ("model.hidden_size.units=3", "model.hidden_size: must be a whole number (given {units = 3})"),
        ("seed=", "seed: must be a whole number (given nothing)"),
        ("task=weather", 'task: must be one of translation, language, forecast (given "weather")'),
        (
            "task=translate",
            'task: must be one of translation, language, forecast (given "translate"); did you mean translation?',
        ),
        ("task=3", "task: must be one of translation, language, forecast (given 3)"),
        ("training.epochs=", "training.epochs: give a limit: epochs, steps or minutes"),
        (
            "model.hidden_size=255",
            "model.hidden_size: must be even to be shared by two encoder directions (given 255);"
            " choose an even one or set encoder_hidden_size",
        ),
    ],
)
def test_a_wrong_value_is_said_in_plain_words(override: str, complaint: str) -> None:
    assert complaints(SMALL, override) == [complaint]


def test_a_rule_over_two_sections_names_its_field_once() -> None:
    assert complaints(SMALL, "model.tied_embeddings=all", "tokenizer.joint=false") == [
        "model.tied_embeddings: all shares one embedding, which needs tokenizer.joint = true"
    ]


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("modle.cell", "unknown key; did you mean model?"),
        ("training.learning-rate", "unknown key; did you mean learning_rate?"),
        ("hidden_size", "unknown key; did you mean model.hidden_size?"),
        ("hiden_size", "unknown key; did you mean model.hidden_size?"),
        ("model.beam", "unknown key; did you mean decoding.beam?"),
        ("schedule", "unknown key; did you mean training.schedule or training.teacher_forcing.schedule?"),
        (
            "zzz",
            "unknown key; the keys here are task, title, seed, data, tokenizer, model, training, decoding, evaluation,"
            " variants",
        ),
        ("training.teacher_forcing.zzz", "unknown key; the keys here are schedule, rate, floor, steps, feed"),
    ],
)
def test_an_unknown_key_is_followed_by_the_nearest_known_ones(key: str, rule: str) -> None:
    assert complaints(SMALL, f"{key}=1") == [f"{key.removesuffix('.cell')}: {rule}"]


def test_a_missing_key_is_said_with_what_it_is() -> None:
    assert complaints(SMALL.replace('source = "de"\n', "")) == [
        "data.source: missing (source language: a column or file of the corpus, for example de)"
    ]
    assert complaints(SMALL.replace('task = "translation"\n', "")) == [
        "task: missing; must be one of translation, language, forecast"
    ]


def test_paths_in_variants_start_from_the_folder_of_the_recipe(tmp_path: Path) -> None:
    variants = '\n[variants]\nother = ["data.train=b.tsv", "data.test.table=c.tsv", "seed=3"]\n'
    recipe = parse(SMALL + variants, folder=tmp_path)
    other = recipe.trainings["other"]
    assert isinstance(other.data.train, TableSplit)
    assert other.data.train.table == str(tmp_path / "b.tsv")
    assert isinstance(other.data.test, TableSplit)
    assert other.data.test.table == str(tmp_path / "c.tsv")
    assert other.seed == 3
    given = parse(SMALL, 'variants.own=["data.train=b.tsv"]', folder=tmp_path).trainings["own"]
    assert isinstance(given.data.train, TableSplit)
    assert given.data.train.table == str(Path("b.tsv").resolve())


def test_a_path_of_another_task_keeps_the_rule() -> None:
    assert complaints(SMALL, "data.train=pairs.txt") == [f'data.train: {FORMS} (given "pairs.txt")']


FORMS = (
    'must be "CORPUS/SPLIT", a path ending in .tsv, .tmx, .po, .xlf, .xliff, .jsonl, .parquet or .xlsx (also with'
    " .gz, .xz, .zst), or a table with source and target, with table, or with"
    " pairs"
)
FORMS_OF_A_PART, FORMS = FORMS, f"{FORMS}, or a list of parts {{from = ...}}"


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ('"a.de"', [f'data.train: {FORMS} (given "a.de")']),
        ("3", [f"data.train: {FORMS} (given 3)"]),
        ("{}", [f"data.train: {FORMS} (given {{}})"]),
        (
            "{sorce = 'a', tagret = 'b'}",
            [
                "data.train.sorce: unknown key; did you mean source?",
                "data.train.tagret: unknown key; did you mean target?",
            ],
        ),
        ("{tabel = 'a'}", ["data.train.tabel: unknown key; did you mean table?"]),
        (
            "{source = 'a', table = 'b'}",
            ["data.train.source: does not go together with table; it belongs to a split with source and target"],
        ),
        (
            "{source_column = 'a'}",
            ["data.train.source_column: does not go together with source and target; it belongs to a split with table"],
        ),
        ("{source = 'a'}", ["data.train.target: missing (path of the target file, aligned with the source by line)"]),
        ("{pairs = []}", ["data.train.pairs: must be a list of at least 1 entry (given [])"]),
        ("{pairs = 3}", ["data.train.pairs: must be a list (given 3)"]),
        ("{pairs = ['ab']}", ['data.train.pairs, entry 1: must be a list (given "ab")']),
        ("{pairs = [['a', 'b'], ['c']]}", ['data.train.pairs, entry 2: must be a list of 2 entries (given ["c"])']),
        (
            "{pairs = [['a', 'b', 'c']]}",
            ['data.train.pairs, entry 1: must be a list of 2 entries (given ["a", "b", "c"])'],
        ),
        ("{pairs = [['a', 3]]}", ["data.train.pairs, entry 1, entry 2: must be text in quotes (given 3)"]),
    ],
)
def test_a_wrong_split_is_said_in_the_words_of_its_forms(split: str, expected: list[str]) -> None:
    assert complaints(SMALL, f"data.train={split}") == expected


def test_a_split_may_be_a_list_of_parts_whose_paths_start_from_the_recipe(tmp_path: Path) -> None:
    train = "train = [{from = 'multi30k/train'}, {from = '../mine.tsv', share = 0.3, tag = 'mine'}]"
    recipe = parse(SMALL.replace('train = "multi30k/train"', train), folder=tmp_path)
    first, mine = portions(recipe.data.train)
    assert (first.split, first.share, first.tag) == ("multi30k/train", None, None)
    assert (mine.split, mine.share, mine.tag) == (TableSplit(table=str(tmp_path.parent / "mine.tsv")), 0.3, "mine")
    assert recipe.data.tags == ("mine",)
    assert not recipe.data.always_tagged
    assert parse(recipe_toml(recipe)) == recipe
    given = parse(SMALL, "data.train=[{from='a.tsv'}]")
    assert portions(given.data.train)[0].split == TableSplit(table=str(Path("a.tsv").resolve()))
    assert parse(recipe_toml(recipe), "data.train=multi30k/train").data.train == "multi30k/train"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("[]", ["data.train: must be a list of at least 1 entry (given [])"]),
        ("[3]", ["data.train, entry 1: must be a table of keys (given 3)"]),
        ("['a.tsv']", ['data.train, entry 1: a part is a table; write {from = "a.tsv"}']),
        (
            "{from = 'a.tsv', tag = 'z'}",
            ['data.train: parts stand in a list; write [{from = "a.tsv", tag = "z"}]'],
        ),
        (
            "{table = 'a.tsv', tag = 'z'}",
            ["data.train.tag: unknown key; it belongs to a part, in a list such as [{from = {...}, tag = ...}]"],
        ),
        (
            "[{share = 2}]",
            [
                "data.train, entry 1.share: must be at most 1 (given 2)",
                "data.train, entry 1.from: missing (a split in any other form)",
            ],
        ),
        ("[{from = 'a.de'}]", [f'data.train, entry 1.from: {FORMS_OF_A_PART} (given "a.de")']),
        ("[{from = []}]", [f"data.train, entry 1.from: {FORMS_OF_A_PART} (given [])"]),
        ("[{from = {tabel = 'a'}}]", ["data.train, entry 1.from.tabel: unknown key; did you mean table?"]),
        (
            "[{from = 'a/b', shar = 1}, {from = 'a/b', tag = 'a b'}]",
            [
                "data.train, entry 1.shar: unknown key; did you mean share?",
                'data.train, entry 2.tag: may hold letters of a to z, digits, _ and - only (given "a b")',
            ],
        ),
        (
            "[{from = 'a/b', share = 0.9}, {from = 'a/c', share = 0.2}, {from = 'a/d'}]",
            ["data.train: shares leave nothing to the parts without one (they add up to 1.1)"],
        ),
    ],
)
def test_wrong_parts_of_a_split_are_named(parts: str, expected: list[str]) -> None:
    assert complaints(SMALL, f"data.train={parts}") == expected


def test_parts_of_a_held_out_split_have_known_tags_and_no_share() -> None:
    known = "data.train=[{from = 'a/b', tag = 'x'}, {from = 'a/c', tag = 'y'}, {from = 'a/e'}]"
    wrong = "data.test=[{from = 'a/d', tag = 'z'}]"
    assert complaints(SMALL, known, wrong) == ["data.test, entry 1.tag: z is no tag of data.train (x, y)"]
    shared = "data.validation=[{from = 'a/d', share = 0.5}]"
    known = known.replace(", {from = 'a/e'}", "")
    every = "each part of data.train has a tag, so each here needs one: a list of parts, in the form"
    said = f'{every} [{{from = "...", tag = "x"}}]'
    tagged = "[{from = 'a/d', tag = 'y'}]"
    for key in ("validation", "test", "also_validate.old"):
        held = [f"data.{held}={tagged}" for held in ("validation", "test", "also_validate.old") if held != key]
        for untagged in ("a/d", "[{from = 'a/d', tag = 'x'}, {from = 'a/d'}]"):
            assert complaints(SMALL, known, *held, f"data.{key}={untagged}") == [f"data.{key}: {said}"]
    assert parse(SMALL, known, f"data.validation={tagged}", "data.test=").data.always_tagged
    assert complaints(SMALL, shared) == ["data.validation, entry 1.share: is for data.train only; leave it out"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.protect=yes", 'data.protect: must be true, false, or a list of regular expressions (given "yes")'),
        (
            "data.protect=['a', 3]",
            'data.protect: must be true, false, or a list of regular expressions (given ["a", 3])',
        ),
        (
            "data.also_validate=b.tsv",
            'data.also_validate: must be a table of names, such as {name = ...} (given "b.tsv")',
        ),
        (
            "data.also_validate={'' = 'b.tsv'}",
            'data.also_validate: a name may hold letters, digits, _ and - only (given "")',
        ),
        (
            "data.also_validate={'a.b' = {from = 'a/b'}}",
            'data.also_validate: a name may hold letters, digits, _ and - only (given "a.b")',
        ),
    ],
)
def test_a_wrong_value_is_said_in_the_words_of_its_key(override: str, expected: str) -> None:
    assert expected in complaints(SMALL, override)
    assert len(complaints(SMALL, override)) <= 2


NOT_OUR_WORDS = (
    "Input",
    "should",
    "extra",
    "literal",
    "discriminator",
    "pydantic",
    "Split'",
    "Seq2Seq",
    "corpus.",
    "files.",
)


@given(
    st.sampled_from(["seed", "title", "data", "data.train", "data.train.pairs", "data.test", "model", "model.cell"])
    | st.sampled_from(["training.epochs", "training.teacher_forcing", "tokenizer.joint", "data.train.columns"]),
    st.recursive(
        st.sampled_from(["1", "-1", "1.5", "true", "'x'", "inf", "07:30:00", "2024-01-31"]),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
            | st.dictionaries(st.sampled_from(["source", "table", "pairs", "x"]), inner, max_size=2).map(
                lambda parts: "{" + ", ".join(f"{key} = {value}" for key, value in parts.items()) + "}"
            )
        ),
        max_leaves=5,
    ),
)
@settings(max_examples=150, deadline=None)
def test_whatever_a_value_is_the_recipe_loads_or_says_why_in_our_words(key: str, value: str) -> None:
    error = complaint_or_nothing(f"{key}={value}")
    if error:
        assert key.split(".")[0] in error
        assert not [word for word in NOT_OUR_WORDS if word in error]
        assert "does not fit here" not in error


def complaint_or_nothing(override: str) -> str:
    try:
        parse(SMALL, override)
    except RecipeError as error:
        return str(error)
    return ""


# What is no recipe at all


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\ny = z\n", "recipes/x.toml, line 2, column 5: not TOML: invalid value (text needs quotes): y = z"),
        ("x = 1\nx = 2\n", "recipes/x.toml, line 2, column 6: not TOML: cannot overwrite a value (a key given twice?)"),
        ("x = [1,", "recipes/x.toml, at the end of the file: not TOML: "),
        ("", 'recipes/x.toml: the file is empty; a recipe begins with task = "translation"'),
        (" \n\n", "recipes/x.toml: the file is empty"),
        (f"x = {'9' * 5000}", "recipes/x.toml: cannot be read as TOML: a value is too long"),
        (f"x = {'[' * 20000}", "recipes/x.toml: cannot be read as TOML: a value is too long or too deeply nested"),
    ],
)
def test_what_is_not_toml_is_said_in_one_line_with_its_place(text: str, expected: str) -> None:
    found = message(text)
    assert found.startswith(expected)
    assert "\n" not in found


def test_a_file_that_is_no_text_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'task = "translation"\ntitle = "caf\xe9"\n')
    with pytest.raises(RecipeError, match=r"x\.toml, line 2: byte 0xe9 is not UTF-8; save the file as UTF-8"):
        load_recipe(str(path))


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert load_recipe(str(path)) == parse()


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(RecipeError, match=r"x\.toml: is a folder, not a recipe file"):
        load_recipe(str(tmp_path / "x.toml"))


# Finding


@pytest.fixture
def shipped_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that ships `first` and `second`, and an empty working directory."""
    package, working = tmp_path / "package", tmp_path / "working"
    package.mkdir()
    working.mkdir()
    for name in ("second", "first"):
        (package / f"{name}.toml").write_text(SMALL, encoding="utf-8")
    (package / "README.md").write_text("a table", encoding="utf-8")
    monkeypatch.setattr("s2s.recipe.load.shipped", lambda kind: package)
    monkeypatch.chdir(working)
    return package


def test_names_are_sorted_and_only_of_recipes(shipped_recipes: Path) -> None:
    assert recipe_names() == ["first", "second"]


def test_a_name_never_reads_the_working_directory_nor_a_path_the_package(shipped_recipes: Path) -> None:
    Path("first.toml").write_text("a stranger", encoding="utf-8")
    assert recipe_path("first") == shipped_recipes / "first.toml"
    assert recipe_path("first.toml").resolve() == Path("first.toml").resolve()
    with pytest.raises(RecipeError, match=r"second\.toml: there is no such file; did you mean second, the recipe"):
        recipe_path("second.toml")


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(shipped_recipes: Path) -> None:
    with pytest.raises(RecipeError, match=r"frist: .* did you mean first\? \(s2s ships first, second; a path ends"):
        recipe_path("frist")
    Path("mine.toml").write_text(SMALL, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine: .* did you mean \./mine\.toml\?"):
        recipe_path("mine")


def test_a_name_cannot_climb_out_of_the_package(shipped_recipes: Path) -> None:
    (shipped_recipes.parent / "secret.toml").write_text(SMALL, encoding="utf-8")
    with pytest.raises(RecipeError, match="there is no recipe of this name"):
        recipe_path("../secret")


def test_a_run_folder_and_a_mistyped_path_are_understood(shipped_recipes: Path) -> None:
    Path("run").mkdir()
    Path("run/recipe.toml").write_text(SMALL, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"did you mean \./run/recipe\.toml\?"):
        recipe_path("run")
    with pytest.raises(RecipeError, match=r"run/recpie\.toml: there is no such file; did you mean recipe\.toml\?"):
        recipe_path("run/recpie.toml")


def test_every_shipped_recipe_loads_and_writes_itself() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        assert parse(recipe_toml(recipe)) == recipe


# Overriding


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("model.hidden_size=256", "hidden_size", 256),
        (" model.hidden_size = 256 ", "hidden_size", 256),
        ("model.cell=lstm", "cell", "lstm"),
        ('model.cell="lstm"', "cell", "lstm"),
        ("model.input_feeding=true", "input_feeding", True),
        ("model.encoder_hidden_size=", "encoder_hidden_size", None),
    ],
)
def test_an_override_is_toml_or_else_bare_text(override: str, key: str, value: object) -> None:
    assert getattr(parse(SMALL, override).model, key) == value


def test_an_override_leaves_everything_else_as_it_was() -> None:
    text = SMALL + "learning_rate = 0.01\n[model.dropout]\nembedding = 0.5\n"
    recipe = parse(text, "training.teacher_forcing.rate=0.5", "model.dropout.layers=0.25")
    assert differences(parse(text), recipe) == [
        "model.dropout.layers: 0.0 -> 0.25",
        "training.teacher_forcing.rate: 1.0 -> 0.5",
    ]


def test_text_with_an_equals_sign_or_a_number_sign_keeps_it() -> None:
    assert parse(SMALL, "title=a = b").title == "a = b"
    assert parse(SMALL, "title=tea #1").title == "tea #1"


def test_an_override_cannot_smuggle_in_a_second_one() -> None:
    assert parse(SMALL, "title=1\nseed = 7").title == "1\nseed = 7"


def test_the_last_of_two_overrides_of_one_key_holds() -> None:
    assert parse(SMALL, "seed=2", "seed=3").seed == 3


@pytest.mark.parametrize("override", ["model.hidden_size", "=3", "model..cell=gru", ".seed=1", "seed.=1", "a b=1", ""])
def test_an_override_without_its_form_is_told_the_form(override: str) -> None:
    assert message(SMALL, override) == f"{override!r}: an override has the form KEY=VALUE, for example " + (
        "model.hidden_size=256"
    )


@pytest.mark.parametrize("value", ["{source = a}", '["a", b]', '"open', "'open", "[1"])
def test_half_a_toml_value_is_not_taken_for_text(value: str) -> None:
    assert message(SMALL, f"title={value}").startswith(f"title={value}: the value begins like a table, list or quoted")


def test_bytes_of_the_command_line_that_are_no_text_are_refused() -> None:
    assert message(SMALL, "title=\udcff") == r"title='\udcff': an override must be UTF-8"


# The data of other people


def test_paths_start_from_the_recipe_in_a_file_and_from_the_working_directory_in_an_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "working").mkdir()
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    text = SMALL.replace('"multi30k/train"', '{source = "a.de", target = "../b.en"}')
    recipe = parse(
        text, "data.validation=c.tsv", "data.test.source=d", "data.test.target=/e", folder=Path("../recipes")
    )
    real = tmp_path.resolve()
    assert recipe.data.train == FileSplit(source=str(real / "recipes/a.de"), target=str(real / "b.en"))
    assert recipe.data.validation == TableSplit(table=str(real / "working/c.tsv"))
    assert recipe.data.test == FileSplit(source=str(real / "working/d"), target="/e")


def test_a_leading_dot_dot_leaves_a_linked_folder_as_the_system_does(tmp_path: Path) -> None:
    (tmp_path / "real/recipes").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real/recipes")
    text = SMALL.replace('"multi30k/train"', '"../a.tsv"')
    train = parse(text, folder=tmp_path / "link").data.train
    assert train == TableSplit(table=str(tmp_path.resolve() / "real/a.tsv"))


def test_a_home_folder_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse(SMALL, "data.train=~/a.tsv").data.train == TableSplit(table="/home/someone/a.tsv")


@pytest.mark.parametrize("path", ["/a.tsv", "/b/a.tsv.gz", "/A.TMX", "/a.po.zst", "/a.xlsx"])
def test_a_path_to_tsv_is_short_for_a_table_and_takes_further_keys(path: str) -> None:
    expected = TableSplit(table=path, columns=("de", "en"))
    assert parse(SMALL, f"data.train={path}", 'data.train.columns=["de", "en"]').data.train == expected
    assert parse(SMALL.replace("multi30k/train", path), 'data.train.columns=["de", "en"]').data.train == expected


OLD_SPLITS = ['"multi30k/train"', '{pairs = [["a", "b"]]}', '{table = "/t.tsv", source_column = "x"}', '"/t.tsv"']


@pytest.mark.parametrize("old", OLD_SPLITS)
def test_files_replace_a_split_of_another_form(old: str) -> None:
    text = SMALL.replace('"multi30k/train"', old)
    recipe = parse(text, "data.train.source=/a.de", "data.train.target=/a.en")
    assert recipe.data.train == FileSplit(source="/a.de", target="/a.en")


def test_a_key_of_the_same_form_changes_only_itself() -> None:
    text = SMALL.replace('"multi30k/train"', '{table = "/t.tsv", source_column = "x"}')
    recipe = parse(text, "data.train.target_column=y")
    assert recipe.data.train == TableSplit(table="/t.tsv", source_column="x", target_column="y")


def test_overrides_that_contradict_each_other_are_not_settled_in_silence() -> None:
    assert complaints(SMALL, "data.train.source=/a", "data.train.target=/b", "data.train.table=/t.tsv") == [
        f"data.train.{key}: does not go together with table; it belongs to a split with source and target"
        for key in ("source", "target")
    ]


def test_an_optional_split_can_be_taken_out() -> None:
    text = SMALL.replace("[training]", 'test = "multi30k/test2016"\n[training]')
    assert parse(text).data.test == "multi30k/test2016"
    assert parse(text, "data.test=").data.test is None


# Writing

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PATH = TEXT.map(lambda text: f"/{text}")
SPLIT: st.SearchStrategy[object] = st.one_of(
    st.just("multi30k/train"),
    st.builds(FileSplit, source=PATH, target=PATH),
    st.builds(
        TableSplit, table=PATH, columns=st.lists(TEXT).map(tuple), source_column=st.none() | TEXT, target_column=TEXT
    ),
    st.builds(PairSplit, pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3).map(tuple)),
)


def leaves(section: type[BaseModel], parent: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The dotted key and the field of every value outside of the data."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if name != "data":
                yield from leaves(kind, f"{parent}{name}.")
        elif name not in ("task", "variants", "start"):  # a path, tried in tests/jobs/test_start.py
            yield parent + name, field


def values(annotation: Any, rules: list[Any]) -> st.SearchStrategy[Any]:
    """Values that a field accepts by its type and bounds."""
    if get_origin(annotation) is Annotated:
        return values(get_args(annotation)[0], rules)
    if get_origin(annotation) in (Union, UnionType):
        return st.one_of(*(values(part, rules) for part in get_args(annotation)))
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if annotation in (type(None), bool, str):
        return {type(None): st.none(), bool: st.booleans(), str: TEXT}[annotation]
    least = next((rule.ge if isinstance(rule, Ge) else rule.gt for rule in rules if isinstance(rule, (Ge, Gt))), None)
    most = next((rule.le if isinstance(rule, Le) else rule.lt for rule in rules if isinstance(rule, (Le, Lt))), None)
    if annotation is int:
        return st.integers(least, most)
    return st.floats(
        least,
        most,
        exclude_min=any(isinstance(rule, Gt) for rule in rules),
        exclude_max=any(isinstance(rule, Lt) for rule in rules),
        allow_nan=False,
        allow_infinity=False,
    )


LEAVES = dict(leaves(TranslationRecipe))


def test_the_values_tried_below_are_those_of_the_whole_tree() -> None:
    assert {"title", "model.dropout.embedding", "training.teacher_forcing.rate", "decoding.beam"} <= LEAVES.keys()
    assert len(LEAVES) > 55


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A few values of the tree by their dotted keys."""
    keys = draw(st.lists(st.sampled_from(sorted(LEAVES)), unique=True, max_size=8))
    return {key: draw(values(LEAVES[key].annotation, LEAVES[key].metadata)) for key in keys}


def with_values(changed: dict[str, Any], **data: object) -> TranslationRecipe:
    """A recipe with these values; the example is dropped when they contradict each other."""
    tree: dict[str, Any] = {"task": "translation", "training": {"steps": 1}}
    tree["data"] = {"source": "de", "target": "en", "train": "a/b", "validation": "a/c", **data}
    for key, value in changed.items():
        *parents, last = key.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    try:
        return TranslationRecipe.model_validate(tree)
    except ValidationError as error:
        contradiction = all(details["type"] == "value_error" for details in error.errors())
        assume(not contradiction)
        raise


@given(changes(), SPLIT, SPLIT, st.none() | SPLIT)
@settings(max_examples=150, deadline=None)
def test_a_written_recipe_reads_back_equal(changed: dict[str, Any], train: Any, validation: Any, test: Any) -> None:
    recipe = with_values(changed, train=train, validation=validation, test=test)
    assert parse(recipe_toml(recipe), folder=Path("/elsewhere")) == recipe


@given(changes())
@settings(max_examples=80, deadline=None)
def test_overrides_and_a_file_say_the_same(changed: dict[str, Any]) -> None:
    written = {key: "" if value is None else toml_value(value) for key, value in changed.items()}
    overrides = [f"{key}={value}" for key, value in written.items()]
    base = SMALL.replace("epochs = 1", "steps = 1").replace("multi30k/train", "a/b")
    base = base.replace("multi30k/validation", "a/c")
    expected = with_values(changed)
    assert parse(base, *overrides) == expected


def toml_value(value: bool | float | str) -> str:
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return str(value).lower()


def test_every_value_is_written_defaults_too_in_named_tables() -> None:
    text = recipe_toml(parse(SMALL, 'data.train={pairs = [["ein \\"Haus\\"", "a house"], ["집", "집"]]}'))
    assert text.startswith('task = "translation"\ntitle = ""\nseed = 1\n\n[data]\nsource = "de"\n')
    assert "\n\n[data.train]\npairs = [\n" in text
    assert r'"ein \"Haus\"",' + "\n" in text
    assert '"집",\n' in text
    assert "\n\n[tokenizer]\n" in text
    assert "\n\n[training.teacher_forcing]\nschedule = " in text
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    unset = {"encoder_hidden_size", "attention_size", "steps", "minutes", "validate_every", "patience_validations"}
    unset |= {"symbols", "target_kind"}
    for key in LEAVES:
        name = key.rpartition(".")[2]
        assert (f"\n{name} = " in text) or name in unset


def test_variants_are_written_as_a_table_of_their_own() -> None:
    recipe = parse(SMALL + '[variants]\ndot = ["model.attention=dot"]\nsmall = ["model.hidden_size=8", "seed=2"]\n')
    text = recipe_toml(recipe)
    table = tomllib.loads(text[text.index("\n[variants]\n") :])["variants"]
    assert table == {"dot": ["model.attention=dot"], "small": ["model.hidden_size=8", "seed=2"]}
    assert parse(text) == recipe
    assert {name: each.model.hidden_size for name, each in recipe.trainings.items()} == {"dot": 384, "small": 8}


def test_a_recipe_and_each_of_its_variants_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    files, trees = [], []
    monkeypatch.setattr(load, "parse_table", lambda text, origin: files.append(origin) or tomllib.loads(text))
    validate = TranslationRecipe.model_validate
    monkeypatch.setattr(TranslationRecipe, "model_validate", lambda table: trees.append(table) or validate(table))
    recipe = load_recipe("attention-and-forcing", ["seed=2"])
    assert files == ["attention-and-forcing with seed=2"]
    assert len(trees) == 1 + len(recipe.variants) == 13
    assert recipe.trainings["dot"].model.attention == "dot"
    assert recipe.trainings["dot"].seed == 2
    assert len(trees) == 13


def test_differences_name_key_old_and_new() -> None:
    old, new = parse(), parse(SMALL, "training.learning_rate=0.001", "training.steps=9", "data.train=/a.tsv")
    assert differences(old, new) == [
        'data.train: "multi30k/train" -> {table = "/a.tsv", columns = []}',
        "training.steps: nothing -> 9",
        "training.learning_rate: 0.002 -> 0.001",
    ]
    assert differences(old, old) == []
    given, longer = parse(SMALL, "decoding.max_length_ratio=2"), parse(SMALL, "decoding.max_length_ratio=3")
    assert differences(given, old) == []  # left to the training data
    assert differences(given, longer) == ["decoding.max_length_ratio: 2.0 -> 3.0"]


def test_long_values_are_shortened_and_a_change_out_of_sight_is_still_said() -> None:
    old, new = (parse(SMALL, f"title={'x' * 100}{ending}") for ending in "ab")
    (line,) = differences(old, new)
    assert line == 'title: "' + "x" * 76 + "..., changed"


# Speed


def test_loading_needs_no_torch_and_the_tree_of_its_task_alone() -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom s2s.recipe.load import parse_recipe, recipe_toml\n"
        "from s2s.tasks import TREES\n"
        f"recipe_toml(parse_recipe({SMALL!r}, TREES, origin='x', folder=Path()))\n"
        "names = 'torch', 'numpy', 'sentencepiece', 'matplotlib', 's2s.language.recipe', 's2s.forecast.recipe'\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_loading_takes_less_than_a_fifth_of_a_second() -> None:
    started = time.process_time()
    parse(SMALL, "model.cell=lstm", "data.train.source=/a", "data.train.target=/b")
    assert time.process_time() - started < 0.2


def test_overrides_are_a_list_and_a_path_may_be_one() -> None:
    for wrong, said in (
        ("seed=2", r"overrides: a list of texts is wanted \(given 'seed=2'\); put a single text in a list"),
        ([1], r"overrides\[0\]: a text is wanted \(given 1\)"),
        (None, r"overrides: a list of texts is wanted \(given None\)"),
    ):
        with pytest.raises(TypeError, match=said):
            load_recipe("tiny-en-ko", wrong)  # type: ignore[arg-type]
    assert load_recipe(recipe_path("tiny-en-ko")) == load_recipe("tiny-en-ko")


def test_a_part_of_a_name_is_enough_to_be_meant() -> None:
    with pytest.raises(RecipeError, match=r"tiny: there is no recipe of this name; did you mean tiny-en-ko\?"):
        recipe_path("tiny")


@pytest.mark.parametrize(
    ("recipe", "key", "path"),
    [
        ("tiny-en-ko", "data.train", "x.csv"),
        ("sines", "data.series", "x.tsv"),
    ],
)
def test_a_table_of_another_form_is_named_with_what_converts_it(
    recipe: str, key: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="convert it: python3 -c ") as caught:
        load_recipe(recipe, [f"{key}={path}"])
    monkeypatch.chdir(tmp_path)
    rows = [["a", "b"], ["one, two", "3"]]
    between = "," if path == "x.csv" else "\t"
    with (tmp_path / path).open("w", newline="") as file:
        csv.writer(file, delimiter=between).writerows(rows)
    given = str(caught.value).partition("convert it: ")[2].replace("python3", sys.executable, 1)
    subprocess.run(given, shell=True, check=True)
    made = tmp_path / ("table.tsv" if path == "x.csv" else "table.csv")
    with made.open(newline="") as file:
        assert list(csv.reader(file, delimiter="\t" if path == "x.csv" else ",")) == rows
