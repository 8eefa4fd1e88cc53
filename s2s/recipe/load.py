"""Finding, reading and overriding recipes; what a recipe may say stands in `s2s.recipe.sections`."""

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from s2s.errors import RecipeError
from s2s.forecast.recipe import ForecastRecipe
from s2s.language.recipe import LanguageRecipe, TextFile, WrittenText
from s2s.recipe.messages import broken_recipe, choice_rule, did_you_mean, error_line
from s2s.recipe.toml import recipe_toml, shortened, toml_value
from s2s.shipped import shipped
from s2s.translation.recipe import FileSplit, PairSplit, TableSplit, TranslationRecipe

Table = dict[str, Any]
Recipe: TypeAlias = TranslationRecipe | LanguageRecipe | ForecastRecipe

_TASKS: dict[str, type[TranslationRecipe] | type[LanguageRecipe] | type[ForecastRecipe]] = {
    "translation": TranslationRecipe,
    "language": LanguageRecipe,
    "forecast": ForecastRecipe,
}
_SPLITS = ("train", "validation", "test", "series")
_PATHS = {
    "translation": ("table", (".tsv", ".tsv.gz")),
    "language": ("file", (".txt", ".txt.gz")),
    "forecast": ("file", (".csv", ".csv.gz")),
}
"""What a bare path in place of a split becomes: the key that names it, by its endings."""
_SPLIT_KINDS: tuple[type[BaseModel], ...] = (FileSplit, TableSplit, PairSplit, TextFile, WrittenText)


def recipe_names() -> list[str]:
    """The names of the recipes that ship with s2s, sorted."""
    return sorted(path.stem for path in shipped("recipes").glob("*.toml"))


def recipe_path(recipe: str) -> Path:
    """The file of a recipe: a bare name is a shipped one, anything ending in .toml a path.

    A name never reads the working directory and a path never reads the package; neither finds the other's files.
    Raises RecipeError, with the nearest names, for what is not there.
    """
    if recipe.endswith(".toml"):
        path = Path(recipe)
        if os.path.exists(path):
            return path
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.toml")])
        if path.stem in recipe_names():
            near = f"; did you mean {path.stem}, the recipe that ships with s2s?"
        raise RecipeError(f"{recipe}: there is no such file{near}")
    names = recipe_names()
    if recipe not in names and os.path.exists(recipe) and not os.path.isdir(recipe):
        raise RecipeError(f"{recipe}: is no recipe by its name, which must end in .toml")
    if recipe in names:
        return shipped("recipes") / f"{recipe}.toml"
    files = (f"{recipe}.toml", os.path.join(recipe, "recipe.toml"))
    near = next((f"; did you mean ./{file}?" for file in files if os.path.isfile(file)), did_you_mean(recipe, names))
    known = f"s2s ships {', '.join(names)}" if names else "s2s ships none"
    raise RecipeError(f"{recipe}: there is no recipe of this name{near} ({known}; a path ends in .toml)")


def load_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a shipped name or a path, with each "KEY=VALUE" of `overrides` put in place of its value.

    Raises RecipeError for a file that is missing or not readable, and with every rule that the recipe breaks.
    """
    path = recipe_path(recipe)
    named = recipe + (f" with {' '.join(overrides)}" if overrides else "")
    return parse_recipe(_read(path), origin=named, folder=path.parent, overrides=overrides)


def parse_recipe(text: str, *, origin: str, folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe written in `text`; `origin` names it in errors.

    Relative paths of data become absolute: those of the text start from `folder`, those of overrides from the working
    directory. Raises RecipeError with every rule that the recipe breaks, one a line.
    """
    if not text.strip():
        raise RecipeError(f'{origin}: the file is empty; a recipe begins with task = "translation"')
    table = _parsetoml_value(text, origin)
    task = _task_of(table, overrides)
    _settle_splits(table, folder, task)
    _settle_variants(table, folder, task)
    _override(table, overrides, task)
    if "task" not in table:
        raise broken_recipe(origin, [f"task: missing; must be one of {', '.join(_TASKS)}"])
    tree = _TASKS.get(task) if isinstance(task, str) else None
    if tree is None:
        raise broken_recipe(origin, [f"task: {choice_rule(task, list(_TASKS))}"])
    try:
        recipe = tree.model_validate(table)
        variants_of(recipe)
        return recipe
    except ValidationError as error:
        lines = (error_line(tree, details) for details in error.errors(include_url=False))
        problems = list(dict.fromkeys(line for line in lines if line))
    raise broken_recipe(origin, problems)


def variants_of(recipe: Recipe) -> dict[str, Recipe]:
    """The trainings that a recipe compares, by name: the recipe itself with the overrides of each.

    Those of a sweep over several sizes are named for their sizes. Raises RecipeError for a variant that breaks a rule.
    """
    text = recipe_toml(recipe.model_copy(update={"variants": {}}))
    named = dict(recipe.variants)
    if isinstance(recipe, LanguageRecipe) and recipe.sweep and not named:
        sizes = recipe.sweep.hidden_sizes
        named = {f"hidden-{size}": (f"model.hidden_size={size}", "sweep.hidden_sizes=[]") for size in sizes}
    return {
        name: parse_recipe(text, origin=f"variant {name}", folder=Path.cwd(), overrides=overrides)
        for name, overrides in named.items()
    }


# Reading


def _read(path: Path) -> str:
    if path.is_dir():
        raise RecipeError(f"{path}: is a folder, not a recipe file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise RecipeError(f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None


def _parsetoml_value(text: str, origin: str) -> Table:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
    except (ValueError, RecursionError):  # a number of more than 4,300 digits; brackets nested by the thousand
        raise RecipeError(f"{origin}: cannot be read as TOML: a value is too long or too deeply nested") from None
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if place is None:
        what = message.removesuffix(" (at end of document)")
        raise RecipeError(f"{origin}, at the end of the file: not TOML: {_lower_first(what)}")
    number, column = int(place[1]), int(place[2])
    what = _lower_first(message[: place.start()])
    hint = {"invalid value": " (text needs quotes)", "cannot overwrite a value": " (a key given twice?)"}.get(what, "")
    line = shortened(text.split("\n")[number - 1].strip())
    raise RecipeError(f"{origin}, line {number}, column {column}: not TOML: {what}{hint}: {line}")


def _task_of(table: Table, overrides: Sequence[str]) -> object:
    """The task that chooses the tree, before anything else is read."""
    given = [override.partition("=") for override in overrides]
    return next((_override_value("task", text) for key, _, text in reversed(given) if key == "task"), table.get("task"))


def _settle_variants(table: Table, folder: Path, task: object) -> None:
    """Makes the paths in the overrides of variants absolute: those too start from the folder of the file."""
    variants = table.get("variants")
    if not isinstance(variants, dict):
        return
    for name, overrides in variants.items():
        if isinstance(overrides, list) and all(isinstance(override, str) for override in overrides):
            variants[name] = [_settled(override, folder, task) for override in overrides]


def _settled(override: str, folder: Path, task: object) -> str:
    key, equals, text = (part.strip() for part in override.partition("="))
    if not equals or not re.fullmatch(r"data\.(train|validation|test|series)(\.\w+)?", key):
        return override
    branch = _branch(key, text)
    _settle_splits(branch, folder, task)
    value: Any = branch
    for part in key.split("."):
        value = value[part]
    return override if value is None else f"{key}={toml_value(value)}"


def _settle_splits(table: Table, folder: Path, task: object) -> None:
    """Makes the paths of the splits absolute, and a table of a path to a TSV or text file."""
    data = table.get("data")
    if not isinstance(data, dict):
        return
    for name in _SPLITS:
        split = data.get(name)
        key, endings = _PATHS.get(str(task), _PATHS["translation"])
        if isinstance(split, str) and split.endswith(endings):
            split = data[name] = {key: split}
        if isinstance(split, dict):
            for key in ("source", "target", "table", "file"):
                if isinstance(split.get(key), str) and split[key]:
                    split[key] = _absolute(split[key], folder)


def _absolute(path: str, folder: Path) -> str:
    path = os.path.expanduser(path)
    # The folder is resolved first, or a leading .. would not leave a linked folder the way the system does.
    return path if os.path.isabs(path) else os.path.normpath(folder.resolve() / path)


# Overriding


def _branch(key: str, text: str) -> Table:
    """The value of an override in the tables that its key names."""
    *parents, last = key.split(".")
    branch: Table = {last: _override_value(key, text)}
    for parent in reversed(parents):
        branch = {parent: branch}
    return branch


def _override(table: Table, overrides: Sequence[str], task: object) -> None:
    touched: set[str] = set()
    for override in overrides:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise RecipeError(f"{override!a}: an override has the form KEY=VALUE, for example model.hidden_size=256")
        *parents, last = key.split(".")
        branch = _branch(key, text)
        _settle_splits(branch, Path.cwd(), task)
        if len(parents) == 2 and parents[0] == "data" and parents[1] in _SPLITS and parents[1] not in touched:
            _drop_other_kind(table, parents[1], last)
        if parents[:1] == ["data"]:
            touched.add((*parents, last)[1])
        place = table
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place, branch = place[parent], branch[parent]
        place[last] = branch[last]


def _override_value(key: str, text: str) -> object:
    """The value of an override: TOML, else the text itself; nothing after the = is None, a value not set."""
    if not text:
        return None
    try:
        text.encode()
        parsed = tomllib.loads(f"v = {text}")
    except UnicodeEncodeError:
        raise RecipeError(f"{key}={text!a}: an override must be UTF-8") from None
    except (ValueError, RecursionError):
        parsed = {}
    if parsed.keys() == {"v"}:
        return parsed["v"]
    if text[0] in "{[\"'":
        raise RecipeError(
            f"{key}={text}: the value begins like a table, list or quoted text of TOML but is none;"
            " is something left open, or were quotes lost to the shell?"
        )
    return text


def _drop_other_kind(table: Table, name: str, key: str) -> None:
    """Empties a split that the file gave in another form than the one that `key` belongs to."""
    data = table.get("data")
    old = data.get(name) if isinstance(data, dict) else None
    owner = next((kind for kind in _SPLIT_KINDS if key in kind.model_fields), None)
    if isinstance(old, dict) and owner and not owner.model_fields.keys() & old.keys():
        old.clear()


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
