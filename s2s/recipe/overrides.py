"""Values in place of a recipe's own, and the folders that its paths start from."""

import os
import re
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from s2s.errors import RecipeError
from s2s.recipe.messages import toml_value
from s2s.recipe.sections import Tree

Table = dict[str, Any]


def settle_paths(table: Table, folder: Path, tree: type[Tree]) -> None:
    """Makes paths absolute, in place: in the splits of data, of training.start, and in the overrides of variants."""
    data, training, variants = table.get("data"), table.get("training"), table.get("variants")
    if isinstance(data, dict):
        data.update({name: _settled_split(data[name], folder, tree) for name in tree.splits if name in data})
        if isinstance(also := data.get("also_validate"), dict):
            data["also_validate"] = {name: _settled_split(split, folder, tree) for name, split in also.items()}
    if isinstance(training, dict) and "start" in training:
        training["start"] = _absolute(training["start"], folder)
    if isinstance(variants, dict):
        for name, overrides in variants.items():
            if isinstance(overrides, list):
                variants[name] = [_settled_override(override, folder, tree) for override in overrides]


def _settled_split(split: Any, folder: Path, tree: type[Tree]) -> Any:
    """A split, or list of parts, with absolute paths; a bare path becomes a table with it."""
    if isinstance(split, list) and tree.portion:
        own = (part if isinstance(part, dict) and "from" in part else {} for part in split)
        settled = [{"from": _settled_split(part["from"], folder, tree)} if part else {} for part in own]
        return [{**part, **more} if more else part for part, more in zip(split, settled, strict=True)]
    if isinstance(split, str) and tree.is_path(split):
        split = {tree.paths[0]: split}
    if not isinstance(split, dict):
        return split
    return {key: _absolute(value, folder) if key in tree.paths else value for key, value in split.items()}


def _settled_override(override: Any, folder: Path, tree: type[Tree]) -> Any:
    """An override with an absolute path; a malformed one is left for the variant's own errors."""
    try:
        keys, value = _assignment(override, folder, tree)
    except (AttributeError, RecipeError):
        return override
    has_paths = _split_of(keys, tree) or keys[:2] in (["data", "also_validate"], ["training", "start"])
    return f"{'.'.join(keys)}={toml_value(value)}" if has_paths and value is not None else override


def _absolute(path: Any, folder: Path) -> Any:
    if not isinstance(path, str) or not path:
        return path
    path = os.path.expanduser(path)
    # The folder is resolved first, or a leading .. would not leave a linked folder the way the system does.
    return path if os.path.isabs(path) else os.path.normpath(folder.resolve() / path)


def overridden(table: Table, overrides: Sequence[str], tree: type[Tree]) -> Table:
    """A copy of a table with each "KEY=VALUE" in place of its value; paths start from the working directory."""
    table = deepcopy(table)
    given: set[str | None] = set()
    for override in overrides:
        (*parents, last), value = _assignment(override, Path.cwd(), tree)
        split = _split_of([*parents, last], tree)
        place = table
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        if split and len(parents) == 2 and split not in given:
            form = next((form for form in tree.forms if last in form.model_fields), None)
            if form and not form.model_fields.keys() & place.keys():
                place.clear()  # all keys there are of another form
        given.add(split)
        place[last] = value
    return table


def _assignment(override: str, folder: Path, tree: type[Tree]) -> tuple[list[str], Any]:
    """Keys and value of a "KEY=VALUE", with absolute paths."""
    key, equals, text = (part.strip() for part in override.partition("="))
    if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
        raise RecipeError(f"{override!a}: an override has the form KEY=VALUE, for example model.hidden_size=256")
    keys = key.split(".")
    value: Any = override_value(key, text)
    for name in reversed(keys):
        value = {name: value}
    settle_paths(value, folder, tree)
    return keys, reduce(getitem, keys, value)


def _split_of(keys: Sequence[str], tree: type[Tree]) -> str | None:
    """Split that a dotted key names, or lies in."""
    return keys[1] if keys[0] == "data" and keys[1:] and keys[1] in tree.splits else None


def override_value(key: str, text: str) -> object:
    """Value of an override: TOML, else the text itself; nothing after the = is None, a value not set."""
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
