"""Recipes found, read, checked, written and compared; the caller gives the trees of the tasks that may be read."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

from s2s.errors import RecipeError
from s2s.files import shipped
from s2s.recipe.arguments import list_of_texts, shortened
from s2s.recipe.messages import broken_recipe, choice_rule, did_you_mean, error_line, shown
from s2s.recipe.overrides import Table, overridden, override_value, settle_paths
from s2s.recipe.sections import LIST, Section, Tree
from s2s.recipe.start import Opened, take_over

AnyTree = TypeVar("AnyTree", bound=Tree)


def recipe_names() -> list[str]:
    """Names of the recipes that ship with s2s, sorted."""
    return sorted(path.stem for path in shipped("recipes").glob("*.toml"))


def recipe_path(recipe: str) -> Path:
    """Path of a recipe: a bare name is a shipped one, anything ending in .toml a path.

    A name never reads the working directory and a path never reads the package. RecipeError, with the nearest names,
    for a recipe that is missing.
    """
    path = Path(recipe)
    if recipe.endswith(".toml"):
        if os.path.exists(path):
            return path
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.toml")])
        if path.stem in recipe_names():
            near = f"; did you mean {path.stem}, the recipe that ships with s2s?"
        raise RecipeError(f"{recipe}: there is no such file{near}")
    names = recipe_names()
    if recipe in names:
        return shipped("recipes") / f"{recipe}.toml"
    if os.path.exists(path) and not os.path.isdir(path):
        raise RecipeError(f"{recipe}: is no recipe by its name, which must end in .toml")
    files = (f"{recipe}.toml", os.path.join(recipe, "recipe.toml"))
    near = next((f"; did you mean ./{file}?" for file in files if os.path.isfile(file)), did_you_mean(recipe, names))
    known = f"s2s ships {', '.join(names)}" if names else "s2s ships none"
    raise RecipeError(f"{recipe}: there is no recipe of this name{near} ({known}; a path ends in .toml)")


def read_recipe(
    recipe: str | Path, trees: Mapping[str, type[AnyTree]], overrides: Sequence[str] = (), opened: Opened | None = None
) -> AnyTree:
    """Recipe of a shipped name or a path, with each "KEY=VALUE" of `overrides` in place of its value.

    Of a training that starts from a run, which `opened` finds, it has that run's values where it gives none.
    RecipeError for a file that is missing or not readable, and with every rule that the recipe breaks; TypeError for
    overrides that are no list of texts.
    """
    recipe, overrides = os.fspath(recipe), list_of_texts("overrides", overrides)
    path = recipe_path(recipe)
    named = recipe + (f" with {' '.join(map(shortened, overrides))}" if overrides else "")
    table = parse_table(_read(path), named)
    tree = _tree_of(table, trees, named, overrides)
    settle_paths(table, path.parent, tree)
    return _checked(overridden(table, overrides, tree), tree, named, opened)


def parse_recipe(
    text: str, trees: Mapping[str, type[AnyTree]], *, origin: str, folder: Path, overrides: Sequence[str] = ()
) -> AnyTree:
    """Recipe in a TOML text, named `origin` in the RecipeError for no TOML or with every rule that it breaks."""
    return check_table(parse_table(text, origin), trees, origin=origin, folder=folder, overrides=overrides)


def check_table(
    table: Table, trees: Mapping[str, type[AnyTree]], *, origin: str, folder: Path, overrides: Sequence[str] = ()
) -> AnyTree:
    """Recipe made of the tables and values of a file; RecipeError with every rule that it breaks, one a line.

    Relative paths of data become absolute: those of the file start from `folder`, those of overrides from the working
    directory.
    """
    tree = _tree_of(table, trees, origin, overrides)
    settle_paths(table, folder, tree)
    return _checked(overridden(table, overrides, tree), tree, origin)


def usable_table(table: Table, trees: Mapping[str, type[AnyTree]], *, folder: Path) -> tuple[Table, list[str]]:
    """A copy of a run's table without what breaks a rule in parts that using the run does not need, and those keys."""
    task, table, left_out = table.get("task"), deepcopy(table), list[str]()
    if not isinstance(task, str) or task not in trees:
        return table, left_out
    tree = trees[task]
    settle_paths(table, folder, tree)
    try:
        tree.model_validate(table)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            keys = [
                key for key in details["loc"] if key not in {LIST, "[key]", *(form.__name__ for form in tree.forms)}
            ]
            if keys and not tree.uses(keys) and _removed(table, keys):
                left_out.append(".".join(map(str, keys)))
    return table, left_out


def _removed(table: Any, keys: Sequence[str | int]) -> bool:
    """Whether nested keys were there to be removed, in place."""
    for key in keys[:-1]:
        table = table.get(key) if isinstance(table, dict) else None
    return isinstance(table, dict) and table.pop(keys[-1], None) is not None


def _checked(table: Table, tree: type[AnyTree], origin: str, opened: Opened | None = None) -> AnyTree:
    """Recipe of a table with absolute paths, with the trainings that it compares."""
    whole = deepcopy(table)
    if opened:
        take_over(whole, opened, origin)
    try:
        recipe = tree.model_validate(whole)
    except ValidationError as error:
        lines = (error_line(tree, details) for details in error.errors(include_url=False))
        raise broken_recipe(origin, list(dict.fromkeys(line for line in lines if line))) from None
    alone = {**table, "variants": {}}
    for name, overrides in recipe.compared().items():
        recipe._trainings[name] = _checked(overridden(alone, overrides, tree), tree, f"variant {name}", opened)
    return recipe


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


def parse_table(text: str, origin: str) -> Table:
    """Tables and values of a TOML text; RecipeError with the place of an error."""
    if not text.strip():
        raise RecipeError(f'{origin}: the file is empty; a recipe begins with task = "translation"')
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)[:1].lower() + str(error)[1:]
    except (ValueError, RecursionError):  # a number of more than 4,300 digits; brackets nested by the thousand
        raise RecipeError(f"{origin}: cannot be read as TOML: a value is too long or too deeply nested") from None
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if place is None:
        what = message.removesuffix(" (at end of document)")
        raise RecipeError(f"{origin}, at the end of the file: not TOML: {what}")
    number, column = int(place[1]), int(place[2])
    what = message[: place.start()]
    hint = {"invalid value": " (text needs quotes)", "cannot overwrite a value": " (a key given twice?)"}.get(what, "")
    line = shortened(text.split("\n")[number - 1].strip())
    raise RecipeError(f"{origin}, line {number}, column {column}: not TOML: {what}{hint}: {line}")


def _tree_of(table: Table, trees: Mapping[str, type[AnyTree]], origin: str, overrides: Sequence[str]) -> type[AnyTree]:
    """Tree of the task, which is known before anything else is read."""
    given = [override.partition("=") for override in overrides]
    tasks = [table["task"]] if "task" in table else []
    tasks += [override_value("task", text) for key, _, text in given if key == "task"]
    if not tasks:
        raise broken_recipe(origin, [f"task: missing; must be one of {', '.join(trees)}"])
    task = tasks[-1]
    if not isinstance(task, str) or task not in trees:
        raise broken_recipe(origin, [f"task: {choice_rule(task, list(trees))}"])
    return trees[task]


# Writing and comparing


def recipe_toml(recipe: BaseModel) -> str:
    """Recipe as TOML with all values but None, defaults too; `parse_recipe` reads it back to an equal recipe."""
    return tomli_w.dumps(recipe.model_dump(exclude_none=True))


def going_on(old: AnyTree, new: AnyTree) -> AnyTree:
    """The new recipe, with the old one's values of the tokenizer that it leaves open."""
    before, after = (getattr(recipe, "tokenizer", None) for recipe in (old, new))
    if before is None or after is None:
        return new
    kept = {name: getattr(before, name) for name in after.left_to_data if _not_given(after, name)}
    return new.model_copy(update={"tokenizer": after.model_copy(update=kept)})


def _not_given(section: Section, name: str) -> bool:
    return getattr(section, name) is None or name not in section.model_fields_set


def differences(old: BaseModel, new: BaseModel, parent: str = "") -> list[str]:
    """Line "key: old value -> new value" for each value that differs, in the order of the recipe.

    A value that the new recipe leaves to the training data or the run does not differ.
    """
    before, after = dict(old), dict(new)
    lines = []
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if isinstance(was, BaseModel) and isinstance(now, BaseModel) and type(was) is type(now):
            lines += differences(was, now, f"{parent}{name}.")
        elif was != now and not (isinstance(new, Section) and name in new.left_to_data and _not_given(new, name)):
            old_value, new_value = shown(was), shown(now)
            change = f"{old_value} -> {new_value}" if old_value != new_value else f"{old_value}, changed"
            lines.append(f"{parent}{name}: {change}")
    return lines
