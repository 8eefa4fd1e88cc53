"""Messages about wrong recipes, made from the tree and never taken from pydantic; values as people write them."""

import difflib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from s2s.errors import RecipeError
from s2s.recipe.arguments import shortened
from s2s.recipe.sections import LIST, Section, Tree

_PART = 3  # characters of a name that tell it from others


class _Place(NamedTuple):
    """Place of an error of pydantic."""

    keys: tuple[str | int, ...]
    section: type[Section] | None  # the section that the last key lies in
    forms: tuple[type[Section], ...] = ()  # the forms that this section could have had
    is_split: bool = False  # the value as a whole has one of several forms

    def __str__(self) -> str:
        return dotted(self.keys)


def dotted(keys: Sequence[str | int]) -> str:
    """Dotted key; entries of a list are counted from one."""
    return "".join(f", entry {key + 1}" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def sections_of(annotation: Any) -> Iterator[type[Section]]:
    """Sections that a value may be."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from sections_of(part)


def _place(tree: type[Tree], location: tuple[str | int, ...]) -> _Place:
    depth = 3 if location[:2] == ("data", "also_validate") else 2  # of the name of a split
    is_split = location[:1] == ("data",) and len(location) >= depth and location[1] in (*tree.splits, "also_validate")
    if is_split and location[depth : depth + 1] == (LIST,):
        location = location[:depth] + location[depth + 1 :]
        is_split = location[depth + 1 : depth + 2] == ("from",)
        if not is_split or len(location) == depth + 2:
            return _Place(location, tree.portion if len(location) > depth + 1 else None, is_split=is_split)
        depth += 2
    if is_split and len(location) > depth:  # pydantic puts the tag of a form after the name of a split
        form = next((form for form in tree.forms if form.__name__ == location[depth]), None)
        return _Place(location[:depth] + location[depth + 1 :], form, tree.forms, is_split=len(location) == depth + 1)
    section: type[Section] | None = tree
    for key in location[:-1]:
        section = next(sections_of(section.model_fields[str(key)].annotation), None) if section else None
    return _Place(location, section, is_split=is_split)


def error_line(tree: type[Tree], details: ErrorDetails) -> str | None:
    """Line "key: rule (given value)" for an error of pydantic, or None where another error already says it."""
    location, kind, value = details["loc"], details["type"], details["input"]
    if location[-1:] == ("[key]",):
        return f"{dotted(location[:-2])}: a name may hold letters, digits, _ and - only (given {shown(value)})"
    if location[:2] == ("data", "protect") and location[2:]:  # both of its forms are wrong
        wanted = "must be true, false, or a list of regular expressions"
        return f"data.protect: {wanted} (given {shown(value)})" if location[2] == "bool" else None
    place = _place(tree, location)
    if kind == "value_error":  # a rule of a section, which names its field itself
        return dotted([*place.keys, str(details["ctx"]["error"])])
    if kind == "extra_forbidden":
        return f"{place}: {_unknown_key(tree, place)}"
    if kind == "too_short" and len(value) >= details["ctx"]["min_length"]:
        return None  # counted after its bad entries were left out
    if kind == "missing" and isinstance(place.keys[-1], int):
        return f"{dotted(place.keys[:-1])}: {_list_rule(place.keys[-1] + 1)} (given {shown(value)})"
    if kind == "missing" and place.section and isinstance(value, dict):
        if place.forms and not place.section.model_fields.keys() & value.keys():
            return None if value else f"{dotted(place.keys[:-1])}: {_split_rule(tree, place.keys)} (given {{}})"
        description = place.section.model_fields[str(place.keys[-1])].description
        return f"{place}: missing ({description})" if description else f"{place}: missing"
    if LIST in location and kind == "tuple_type" and isinstance(value, dict) and "from" in value:
        return f"{place}: parts stand in a list; write [{shown(value)}]"
    if LIST in location and kind == "model_type" and isinstance(value, str) and not place.is_split:
        return f"{place}: a part is a table; write {{from = {shown(value)}}}"
    if not place.is_split:
        return f"{place}: {_rule(details)}"
    return f"{place}: {_split_rule(tree, place.keys)} (given {shown(value)}){_conversion(tree, value)}"


def _split_rule(tree: type[Tree], keys: Sequence[str | int]) -> str:
    *others, last = ["with " + " and ".join(form.required()) for form in tree.forms]
    tables = ", ".join([*others, f"or {last}" if others else last])
    parts = ", or a list of parts {from = ...}" if tree.portion and "from" not in keys else ""
    packed = ", ".join(tree.packed)
    path = f"a path ending in {tree.endings()} (also with {packed})"
    return f'must be "CORPUS/SPLIT", {path}, or a table {tables}{parts}'


def _conversion(tree: type[Tree], value: object) -> str:
    if not isinstance(value, str):
        return ""
    found = (command for ending, command in tree.conversions.items() if value.endswith(ending))
    return next((f"; convert it: {command.replace('FILE', shlex.quote(value))}" for command in found), "")


BOUNDS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
_RULES = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text in quotes",
    "tuple": "must be a list",
    "dict": "must be a table of names, such as {name = ...}",
    "model": "must be a table of keys",
    "finite": "must be a finite number",
}


def _rule(details: ErrorDetails) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    given = f" (given {shown(value)})"
    if kind == "literal_error":  # expected is "'elman', 'gru' or 'lstm'"
        return choice_rule(value, re.findall(r"'([^']+)'", context["expected"]))
    bound = next((name for name in BOUNDS if name in context), None)
    if bound:
        limit = context[bound]
        return f"must be {BOUNDS[bound]} {limit if isinstance(limit, int) else f'{limit:g}'}{given}"
    if kind in ("too_short", "too_long"):
        at_least = "at least " if kind == "too_short" else ""
        return _list_rule(context["min_length" if at_least else "max_length"], at_least) + given
    if kind == "string_too_short":
        return f"must not be empty{given}"
    if kind == "string_pattern_mismatch":
        return f"may hold letters of a to z, digits, _ and - only{given}"
    return _RULES.get(kind.split("_")[0], "does not fit here") + given


def _list_rule(entries: int, at_least: str = "") -> str:
    return f"must be a list of {at_least}{entries} {'entry' if entries == 1 else 'entries'}"


def choice_rule(value: object, choices: list[str]) -> str:
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"must be one of {', '.join(choices)} (given {shown(value)}){near}"


def _unknown_key(tree: type[Tree], place: _Place) -> str:
    name = str(place.keys[-1])
    assert place.section is not None, "only a section can have an unknown key"
    owner = next((other for other in place.forms if name in other.model_fields), None)
    if owner:
        here, there = (" and ".join(form.required()) for form in (place.section, owner))
        return f"does not go together with {here}; it belongs to a split with {there}"
    if tree.portion and place.forms and name in tree.portion.model_fields:
        more = "" if name == "from" else f", {name} = ..."
        return f"unknown key; it belongs to a part, in a list such as [{{from = {{...}}{more}}}]"
    fields = list(dict.fromkeys(field for kind in (place.section, *place.forms) for field in kind.model_fields))
    near = did_you_mean(name, fields)
    if not near:
        leaves = {key: key.rpartition(".")[2] for key in _all_keys(tree, "")}
        like = difflib.get_close_matches(name, leaves.values(), n=1, cutoff=0.8)  # the name itself, if it is there
        elsewhere = [key for key, leaf in leaves.items() if leaf in like]
        near = f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else ""
    return f"unknown key{near}" if near else f"unknown key; the keys here are {', '.join(fields)}"


def _all_keys(section: type[Section], parent: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield parent + name
        for inner in sections_of(field.annotation):
            yield from _all_keys(inner, f"{parent}{name}.")


def did_you_mean(name: str, names: Sequence[str]) -> str:
    folded = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    if not near and len(name) >= _PART:
        near = [known for known in folded if name.casefold() in known]
    return f"; did you mean {folded[near[0]]}?" if near else ""


def broken_recipe(origin: str, problems: list[str]) -> RecipeError:
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    return RecipeError("\n  ".join([f"{origin}: {count}", *problems]))


# Values


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
