"""Recipes written as TOML, and the differences of two of them."""

import json
from collections.abc import Mapping

import tomli_w
from pydantic import BaseModel

_SHOWN_CHARACTERS = 80


def recipe_toml(recipe: BaseModel) -> str:
    """Recipe as TOML with all values but None, defaults too; `parse_recipe` reads it back to an equal recipe."""
    return tomli_w.dumps(recipe.model_dump(exclude_none=True))


def differences(old: BaseModel, new: BaseModel, parent: str = "") -> list[str]:
    """Line "key: old value -> new value" for each value that differs, in the order of the recipe."""
    before, after = dict(old), dict(new)
    lines = []
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if isinstance(was, BaseModel) and isinstance(now, BaseModel) and type(was) is type(now):
            lines += differences(was, now, f"{parent}{name}.")
        elif was != now:
            old_value, new_value = shown(was), shown(now)
            change = f"{old_value} -> {new_value}" if old_value != new_value else f"{old_value}, changed"
            lines.append(f"{parent}{name}: {change}")
    return lines


def toml_value(value: object) -> str:
    """Value in one line of TOML; "nothing" for None, which TOML lacks."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(toml_value(entry) for entry in value)}]"
        case BaseModel():
            return toml_value({key: entry for key, entry in value if entry is not None})
        case Mapping():
            return f"{{{', '.join(f'{key} = {toml_value(entry)}' for key, entry in value.items())}}}"
        case _:
            return str(value)


def shown(value: object) -> str:
    return shortened(toml_value(value))


def shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
