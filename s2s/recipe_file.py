"""Reading, overriding, checking and writing recipes; what a recipe may say stands in `s2s.recipe`.

The words for what is wrong with a value are made here from the annotations of the tree, never taken from pydantic.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from s2s.errors import RecipeError
from s2s.recipe import FileSplit, PairSplit, TableSplit, TranslationRecipe
from s2s.shipped import shipped

Table = dict[str, Any]

_TASKS = {"translation": TranslationRecipe}
_SPLITS = ("train", "validation", "test")
_SPLIT_KINDS: tuple[type[BaseModel], ...] = (FileSplit, TableSplit, PairSplit)
_SPLIT_RULE = (
    'must be "CORPUS/SPLIT", a path ending in .tsv or .tsv.gz, or a table with source and target, with table, or with'
    " pairs"
)
_SHOWN_CHARACTERS = 80


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
        near = _did_you_mean(path.name, [file.name for file in path.parent.glob("*.toml")])
        if path.stem in recipe_names():
            near = f"; did you mean {path.stem}, the recipe that ships with s2s?"
        raise RecipeError(f"{recipe}: there is no such file{near}")
    names = recipe_names()
    if recipe in names:
        return shipped("recipes") / f"{recipe}.toml"
    files = (f"{recipe}.toml", os.path.join(recipe, "recipe.toml"))
    near = next((f"; did you mean ./{file}?" for file in files if os.path.isfile(file)), _did_you_mean(recipe, names))
    known = f"s2s ships {', '.join(names)}" if names else "s2s ships none"
    raise RecipeError(f"{recipe}: there is no recipe of this name{near} ({known}; a path ends in .toml)")


def load_recipe(recipe: str, overrides: Sequence[str] = ()) -> TranslationRecipe:
    """The recipe of a shipped name or a path, with each "KEY=VALUE" of `overrides` put in place of its value.

    Raises RecipeError for a file that is missing or not readable, and with every rule that the recipe breaks.
    """
    path = recipe_path(recipe)
    return parse_recipe(_read(path), origin=str(path), folder=path.parent, overrides=overrides)


def parse_recipe(text: str, *, origin: str, folder: Path, overrides: Sequence[str] = ()) -> TranslationRecipe:
    """The recipe written in `text`; `origin` names it in errors.

    Relative paths of data become absolute: those of the text start from `folder`, those of overrides from the working
    directory. Raises RecipeError with every rule that the recipe breaks, one a line.
    """
    if not text.strip():
        raise RecipeError(f'{origin}: the file is empty; a recipe begins with task = "translation"')
    table = _parse_toml(text, origin)
    _settle_splits(table, folder)
    _override(table, overrides)
    if "task" not in table:
        raise _broken(origin, [f"task: missing; must be one of {', '.join(_TASKS)}"])
    task = table["task"]
    tree = _TASKS.get(task) if isinstance(task, str) else None
    if tree is None:
        raise _broken(origin, [f"task: {_choice_rule(task, list(_TASKS))}"])
    try:
        return tree.model_validate(table)
    except ValidationError as error:
        lines = (_error_line(tree, details) for details in error.errors(include_url=False))
        problems = list(dict.fromkeys(line for line in lines if line))
    raise _broken(origin, problems)


def recipe_toml(recipe: BaseModel) -> str:
    """The recipe as TOML with every value written out, defaults too; what is not set (None) is left out.

    `parse_recipe` reads it back to an equal recipe.
    """
    return "\n".join(_toml_tables(recipe, ""))


def recipe_header(text: str) -> str:
    """The comment at the top of a recipe file, without its number signs."""
    lines = []
    for line in text.removeprefix("\ufeff").lstrip().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return "\n".join(lines).strip("\n")


def differences(old: BaseModel, new: BaseModel) -> list[str]:
    """One line "key: old value -> new value" for each value that differs, in the order of the recipe."""
    return list(_differences(old, new, ""))


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


def _parse_toml(text: str, origin: str) -> Table:
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
    line = _shortened(text.split("\n")[number - 1].strip())
    raise RecipeError(f"{origin}, line {number}, column {column}: not TOML: {what}{hint}: {line}")


def _settle_splits(table: Table, folder: Path) -> None:
    """Makes the paths of the splits absolute, and a table of a path to a TSV file."""
    data = table.get("data")
    if not isinstance(data, dict):
        return
    for name in _SPLITS:
        split = data.get(name)
        if isinstance(split, str) and split.endswith((".tsv", ".tsv.gz")):
            split = data[name] = {"table": split}
        if isinstance(split, dict):
            for key in ("source", "target", "table"):
                if isinstance(split.get(key), str) and split[key]:
                    split[key] = _absolute(split[key], folder)


def _absolute(path: str, folder: Path) -> str:
    path = os.path.expanduser(path)
    # The folder is resolved first, or a leading .. would not leave a linked folder the way the system does.
    return path if os.path.isabs(path) else os.path.normpath(folder.resolve() / path)


# Overriding


def _override(table: Table, overrides: Sequence[str]) -> None:
    touched: set[str] = set()
    for override in overrides:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise RecipeError(f"{override!a}: an override has the form KEY=VALUE, for example model.hidden_size=256")
        *parents, last = key.split(".")
        branch: Table = {last: _override_value(key, text)}
        for parent in reversed(parents):
            branch = {parent: branch}
        _settle_splits(branch, Path.cwd())
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


# Saying what is wrong


class _Place(NamedTuple):
    """Where an error of pydantic lies: its dotted key, and what the tree says about it."""

    parent: str
    name: str | int
    section: type[BaseModel] | None  # the section that the key lies in
    alternatives: tuple[type[BaseModel], ...]  # the other forms that this section could have had
    types: tuple[Any, ...]  # what the value may be
    is_split: bool  # the value as a whole has one of several forms

    @property
    def key(self) -> str:
        """The dotted key, as a person would write it; entries of a list are counted from one."""
        if isinstance(self.name, int):
            return f"{self.parent}, entry {self.name + 1}"
        return f"{self.parent}.{self.name}" if self.parent else self.name


def _choices(annotation: Any) -> list[tuple[str | None, Any]]:
    """The (tag, type) of every type that an annotation allows, through optionals, unions and tags."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        tag = next((extra.tag for extra in extras if isinstance(extra, Tag)), None)
        return [(inner_tag or tag, kind) for inner_tag, kind in _choices(inner)]
    if get_origin(annotation) in (Union, UnionType):
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return [(None, annotation)]


def _models(choices: Iterable[tuple[str | None, Any]]) -> tuple[type[BaseModel], ...]:
    return tuple(kind for _, kind in choices if isinstance(kind, type) and issubclass(kind, BaseModel))


def _find(tree: type[BaseModel], location: tuple[str | int, ...]) -> _Place:
    """Follows a location of pydantic down the tree, leaving out the tags that it puts between the keys."""
    choices: list[tuple[str | None, Any]] = [(None, tree)]
    place = _Place("", "", None, (), (tree,), False)
    alternatives: tuple[type[BaseModel], ...] = ()
    for part in location:
        if any(tag == part for tag, _ in choices if tag):
            alternatives = _models(choices)
            choices = [(None, kind) for tag, kind in choices if tag == part]
            place = place._replace(is_split=True, types=tuple(kind for _, kind in choices))
            continue
        section = next(iter(_models(choices)), None)
        if section and part in section.model_fields:
            choices = _choices(section.model_fields[str(part)].annotation)
        else:
            entries = [entry for _, kind in choices for entry in get_args(kind) if entry is not Ellipsis]
            choices = _choices(entries[0]) if isinstance(part, int) and entries else []
        types = tuple(kind for _, kind in choices)
        place = _Place(place.key, part, section, alternatives, types, any(tag for tag, _ in choices))
        alternatives = ()
    return place


def _error_line(tree: type[BaseModel], details: ErrorDetails) -> str | None:
    """One "key: rule (given value)" for an error of pydantic, or None where another error already says it."""
    place = _find(tree, details["loc"])
    kind, value = details["type"], details["input"]
    if kind == "value_error":  # a rule of a section, which names its field itself
        section = ".".join(str(part) for part in details["loc"])
        return f"{section}.{details['ctx']['error']}" if section else str(details["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"{place.key}: {_unknown_key(tree, place)}"
    if (
        kind == "too_short" and len(value) >= details["ctx"]["min_length"]
    ):  # counted after its bad entries were left out
        return None
    if kind == "missing" and isinstance(place.name, int):
        return f"{place.parent}: {_list_rule(place.name + 1)} (given {_shown(value)})"
    if kind == "missing" and place.section and isinstance(value, dict):
        if place.alternatives and not place.section.model_fields.keys() & value.keys():
            return None if value else f"{place.parent}: {_SPLIT_RULE} (given {{}})"
        description = place.section.model_fields[str(place.name)].description
        return f"{place.key}: missing ({description})" if description else f"{place.key}: missing"
    if place.is_split:
        return f"{place.key}: {_SPLIT_RULE} (given {_shown(value)})"
    return f"{place.key}: {_rule(details, place)}"


_BOUNDS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
_RULES = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text in quotes",
    "tuple": "must be a list",
    "model": "must be a table of keys",
    "finite": "must be a finite number",
}


def _rule(details: ErrorDetails, place: _Place) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    given = f" (given {_shown(value)})"
    literals = [choice for kept in place.types if get_origin(kept) is Literal for choice in get_args(kept)]
    if literals:
        return _choice_rule(value, literals)
    bound = next((name for name in _BOUNDS if name in context), None)
    if bound:
        return f"must be {_BOUNDS[bound]} {context[bound]:g}{given}"
    if kind in ("too_short", "too_long"):
        at_least = "at least " if kind == "too_short" else ""
        return _list_rule(context["min_length" if at_least else "max_length"], at_least) + given
    return _RULES.get(kind.split("_")[0], "does not fit here") + given


def _list_rule(entries: int, at_least: str = "") -> str:
    return f"must be a list of {at_least}{entries} {'entry' if entries == 1 else 'entries'}"


def _choice_rule(value: object, choices: list[str]) -> str:
    near = _did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"must be one of {', '.join(choices)} (given {_shown(value)}){near}"


def _unknown_key(tree: type[BaseModel], place: _Place) -> str:
    name = str(place.name)
    assert place.section is not None, "only a section can have an unknown key"
    owner = next((other for other in place.alternatives if name in other.model_fields), None)
    if owner:
        return f"does not go together with {_required(place.section)}; it belongs to a split with {_required(owner)}"
    fields = list(dict.fromkeys(field for kind in (place.section, *place.alternatives) for field in kind.model_fields))
    near = _did_you_mean(name, fields)
    if not near:
        keys = list(_all_keys(tree, ""))
        leaves = [key.rpartition(".")[2] for key in keys]
        like = [name] if name in leaves else difflib.get_close_matches(name, leaves, n=1, cutoff=0.8)
        elsewhere = [key for key, leaf in zip(keys, leaves, strict=True) if like and leaf == like[0]]
        near = f"; did you mean {' or '.join(dict.fromkeys(elsewhere))}?" if elsewhere else ""
    return f"unknown key{near}" if near else f"unknown key; the keys here are {', '.join(fields)}"


def _required(section: type[BaseModel]) -> str:
    return " and ".join(name for name, field in section.model_fields.items() if field.is_required())


def _all_keys(section: type[BaseModel], parent: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield parent + name
        for inner in _models(_choices(field.annotation)):
            yield from _all_keys(inner, f"{parent}{name}.")


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    folded = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def _broken(origin: str, problems: list[str]) -> RecipeError:
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    return RecipeError("\n  ".join([f"{origin}: {count}", *problems]))


# Writing


def _toml_tables(section: BaseModel, name: str) -> Iterator[str]:
    """The lines of a section: its own values, then its tables."""
    if name:
        yield f"\n[{name}]"
    values = [(key, value) for key, value in section if value is not None]
    for key, value in values:
        if isinstance(value, tuple) and any(isinstance(entry, tuple) for entry in value):
            yield f"{key} = ["
            yield from (f"    {_toml(entry)}," for entry in value)
            yield "]"
        elif not isinstance(value, BaseModel):
            yield f"{key} = {_toml(value)}"
    for key, value in values:
        if isinstance(value, BaseModel):
            yield from _toml_tables(value, f"{name}.{key}" if name else key)
    if not name:
        yield ""


def _toml(value: object) -> str:
    """A value in one line of TOML; "nothing" for None, which TOML lacks."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(_toml(entry) for entry in value)}]"
        case BaseModel():
            return _toml({key: entry for key, entry in value if entry is not None})
        case Mapping():
            return f"{{{', '.join(f'{key} = {_toml(entry)}' for key, entry in value.items())}}}"
        case _:
            return str(value)


def _differences(old: BaseModel, new: BaseModel, parent: str) -> Iterator[str]:
    before, after = dict(old), dict(new)
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if isinstance(was, BaseModel) and isinstance(now, BaseModel) and type(was) is type(now):
            yield from _differences(was, now, f"{parent}{name}.")
        elif was != now:
            shown = [_shown(was), _shown(now)]
            yield f"{parent}{name}: " + (" -> ".join(shown) if shown[0] != shown[1] else f"{shown[0]}, changed")


def _shown(value: object) -> str:
    return _shortened(_toml(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
