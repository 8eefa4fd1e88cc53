"""Recipes written as TOML, and the differences of two of them."""

import json
from collections.abc import Iterator, Mapping

import tomli_w
from pydantic import BaseModel

_SHOWN_CHARACTERS = 80


def recipe_toml(recipe: BaseModel) -> str:
    """Recipe as TOML with all values but None, defaults too; `parse_recipe` reads it back to an equal recipe."""
    return tomli_w.dumps(recipe.model_dump(exclude_none=True))


def differences(old: BaseModel, new: BaseModel) -> list[str]:
    """One line "key: old value -> new value" for each value that differs, in the order of the recipe."""
    return list(_walk(old, new, ""))


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


def _walk(old: BaseModel, new: BaseModel, parent: str) -> Iterator[str]:
    before, after = dict(old), dict(new)
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if isinstance(was, BaseModel) and isinstance(now, BaseModel) and type(was) is type(now):
            yield from _walk(was, now, f"{parent}{name}.")
        elif was != now:
            values = [shown(was), shown(now)]
            yield f"{parent}{name}: " + (" -> ".join(values) if values[0] != values[1] else f"{values[0]}, changed")


def shown(value: object) -> str:
    return shortened(toml_value(value))


def shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
