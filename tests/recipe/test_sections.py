"""The recipe trees: strict, closed, described, and refusing values that contradict each other."""

import ast
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

import s2s.forecast.recipe
import s2s.language.recipe
import s2s.recipe.sections
import s2s.translation.recipe
from s2s.forecast.data import SeriesData
from s2s.forecast.recipe import ForecastRecipe
from s2s.language.recipe import LanguageData, LanguageRecipe, Sweep
from s2s.recipe.sections import Optimization
from s2s.translation.recipe import (
    FileSplit,
    PairSplit,
    Portion,
    Seq2SeqModel,
    TableSplit,
    TeacherForcing,
    Tokenizer,
    Training,
    TranslationData,
    TranslationRecipe,
)


def sections() -> list[type[BaseModel]]:
    """Every section class that the trees are made of."""
    modules = (s2s.recipe.sections, s2s.translation.recipe, s2s.language.recipe, s2s.forecast.recipe)
    kinds = dict.fromkeys(kind for module in modules for kind in vars(module).values() if isinstance(kind, type))
    return [kind for kind in kinds if issubclass(kind, BaseModel) and kind is not BaseModel]


def fields() -> Iterator[tuple[type[BaseModel], str, FieldInfo]]:
    """Every field of every section."""
    for section in sections():
        for name, field in section.model_fields.items():
            yield section, name, field


def describes_itself(annotation: Any) -> bool:
    """Whether the annotation is a section, whose docstring then says what it is for."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def test_every_section_of_the_translation_tree_is_seen_by_these_tests() -> None:
    assert {TranslationRecipe, TranslationData, Training, TeacherForcing, Tokenizer, TableSplit} <= set(sections())


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_section_and_field_says_what_it_is(section: type[BaseModel]) -> None:
    assert section.__doc__
    assert section.__doc__ != BaseModel.__doc__
    for name, field in section.model_fields.items():
        assert field.description or describes_itself(field.annotation), f"{section.__name__}.{name} has no description"


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_section_is_frozen_strict_and_closed(section: type[BaseModel]) -> None:
    assert section.model_config.get("frozen")
    assert section.model_config.get("strict")
    assert section.model_config.get("extra") == "forbid"


def test_no_description_repeats_the_value_of_a_default() -> None:
    for section, name, field in fields():
        default = field.default
        if isinstance(default, (int, float, str)) and not isinstance(default, bool) and default != "":
            assert f"default: {default}" not in (field.description or ""), f"{section.__name__}.{name}"


def test_no_function_gives_a_tuned_number_of_the_recipe_a_default_of_its_own() -> None:
    # 0 and 1 are neutral (off, once), every other number was chosen, and is chosen in one place.
    tuned = {
        name
        for _, name, field in fields()
        if isinstance(field.default, (int, float)) and field.default not in (0, 1, True, False)
    }
    assert {"learning_rate", "hidden_size", "beam"} <= tuned
    repeated = [
        f"{path.name}: {function.name}({argument} = {ast.unparse(default)})"
        for path in Path(s2s.recipe.sections.__file__).parent.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for argument, default in defaults(function)
        if argument in tuned and isinstance(default, ast.Constant) and default.value is not None
    ]
    assert repeated == []


def defaults(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    """The (parameter, default) of every parameter that has one."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    pairs = [*zip(with_default, arguments.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
    for argument, default in pairs:
        yield argument.arg, default


def test_defaults_are_valid_by_their_own_rules() -> None:
    for section, name, field in fields():
        if not field.is_required():
            limits = {"epochs": 1, "steps": 1} if issubclass(section, Optimization) else {}
            section.model_validate({**limits, **required(section), name: field.default})


def required(section: type[BaseModel]) -> dict[str, Any]:
    """Values for the fields of a section that have no default."""
    if section is TranslationRecipe:
        return {"task": "translation", "data": required(TranslationData), "training": {"epochs": 1}}
    if section is LanguageRecipe:
        return {"task": "language", "data": {"train": "a/b"}, "training": {"epochs": 1}}
    if section is PairSplit:
        return {"pairs": [["a", "b"]]}
    if section is ForecastRecipe:
        return {"task": "forecast", "data": required(SeriesData), "training": {"epochs": 1}}
    if section is SeriesData:
        return {"series": "a/b", "targets": ["x"]}
    if section is LanguageData:
        return {"train": "a/b"}
    if section is Portion:
        return {"from": "a/b"}
    if section is Sweep:
        return {"seeds": 3}
    split = {"train": "a/b", "validation": "a/c"} if section is TranslationData else {}
    return {n: "x" for n, field in section.model_fields.items() if field.is_required() and n not in split} | split


@pytest.mark.parametrize("field", ["epochs", "learning_rate", "minutes"])
def test_a_boolean_is_no_number(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Training.model_validate({"epochs": 1, field: True})


def test_a_whole_number_serves_as_a_number_and_becomes_one() -> None:
    epochs = Training.model_validate({"epochs": 3}).epochs
    assert isinstance(epochs, float)
    assert epochs == 3


@pytest.mark.parametrize("schedule", ["constant", "inverse_square_root", "plateau"])
def test_minutes_alone_limit_every_schedule_that_needs_no_end(schedule: str) -> None:
    assert Training.model_validate({"minutes": 1.5, "schedule": schedule}).minutes == 1.5


def test_a_training_needs_a_limit_and_cosine_one_that_it_can_count() -> None:
    with pytest.raises(ValidationError, match="epochs: give a limit: epochs, steps or minutes"):
        Training()
    with pytest.raises(ValidationError, match=r"schedule: cosine .* needs a limit in epochs or steps"):
        Training(minutes=5, schedule="cosine")


def test_the_encoder_shares_the_hidden_size_between_its_directions() -> None:
    model = Seq2SeqModel(hidden_size=96)
    assert (model.directions, model.encoder_units, model.memory_size) == (2, 48, 96)
    model = Seq2SeqModel(hidden_size=96, bidirectional=False)
    assert (model.directions, model.encoder_units, model.memory_size) == (1, 96, 96)
    model = Seq2SeqModel(hidden_size=95, encoder_hidden_size=7)
    assert (model.encoder_units, model.memory_size) == (7, 14)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 7}, r"hidden_size: must be even .*given 7.*encoder_hidden_size"),
        ({"attention": "dot", "encoder_hidden_size": 5}, r"attention: dot .* 10 units \(2 x 5\) .* has 384"),
        ({"attention": "scaled_dot", "encoder_hidden_size": 5}, r"attention: scaled_dot .* 10 units"),
        ({"bridge": "last", "encoder_hidden_size": 5}, r"bridge: last .* 10 units \(2 x 5\) and the decoder 384"),
        ({"wiring": "gnmt"}, r"wiring: gnmt .* at least 2 \(given 1\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_the_sizes(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Seq2SeqModel.model_validate(values)


@pytest.mark.parametrize("attention", ["general", "concat", "location", "none"])
def test_unequal_sizes_suit_every_attention_that_projects(attention: str) -> None:
    model = Seq2SeqModel.model_validate({"attention": attention, "encoder_hidden_size": 5})
    assert model.memory_size == 10


def test_one_embedding_for_all_needs_one_vocabulary() -> None:
    values = required(TranslationRecipe) | {"model": {"tied_embeddings": "all"}}
    assert TranslationRecipe.model_validate(values).tokenizer.joint
    with pytest.raises(ValidationError, match=r"model\.tied_embeddings: all .* tokenizer\.joint = true"):
        TranslationRecipe.model_validate(values | {"tokenizer": {"joint": False}})


@pytest.mark.parametrize(
    ("split", "kind"),
    [
        ("multi30k/train", str),
        ({"source": "a.de", "target": "a.en"}, FileSplit),
        ({"table": "a.tsv", "columns": ["de", "en"]}, TableSplit),
        ({"pairs": [["ein Haus", "a house"]]}, PairSplit),
    ],
)
def test_a_split_is_known_by_its_keys(split: object, kind: type) -> None:
    data = required(TranslationData)
    data["train"] = split
    train = TranslationData.model_validate(data).train
    assert type(train) is kind


@pytest.mark.parametrize("name", ["multi30k", "multi30k/", "/train", "a/b/c", "a b/c", ""])
def test_a_corpus_split_is_written_corpus_slash_split(name: str) -> None:
    data = required(TranslationData)
    data["train"] = name
    with pytest.raises(ValidationError, match="train"):
        TranslationData.model_validate(data)


def test_not_a_number_is_no_learning_rate() -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        Training(epochs=1, learning_rate=math.nan)
