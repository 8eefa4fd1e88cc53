"""What is wrong with a recipe, in words for people.

They are made here from the annotations of the tree, never taken from pydantic.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic_core import ErrorDetails

from s2s.errors import RecipeError
from s2s.recipe.toml import shown

_PAIR_RULE = (
    'must be "CORPUS/SPLIT", a path ending in .tsv or .tsv.gz, or a table with source and target, with table, or with'
    " pairs"
)
_SERIES_RULE = 'must be "CORPUS/SPLIT", a path ending in .csv or .csv.gz, or a table with file'
_TEXT_RULE = 'must be "CORPUS/SPLIT", a path ending in .txt or .txt.gz, or a table with file, or with text'


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


def error_line(tree: type[BaseModel], details: ErrorDetails) -> str | None:
    """One "key: rule (given value)" for an error of pydantic, or None where another error already says it."""
    place = _find(tree, details["loc"])
    rules = {"decoding": _PAIR_RULE, "tokenizer": _TEXT_RULE}
    split_rule = next((rule for name, rule in rules.items() if name in tree.model_fields), _SERIES_RULE)
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
        return f"{place.parent}: {_list_rule(place.name + 1)} (given {shown(value)})"
    if kind == "missing" and place.section and isinstance(value, dict):
        if place.alternatives and not place.section.model_fields.keys() & value.keys():
            return None if value else f"{place.parent}: {split_rule} (given {{}})"
        description = place.section.model_fields[str(place.name)].description
        return f"{place.key}: missing ({description})" if description else f"{place.key}: missing"
    if place.is_split:
        return f"{place.key}: {split_rule} (given {shown(value)})"
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
    given = f" (given {shown(value)})"
    literals = [choice for kept in place.types if get_origin(kept) is Literal for choice in get_args(kept)]
    if literals:
        return choice_rule(value, literals)
    bound = next((name for name in _BOUNDS if name in context), None)
    if bound:
        limit = context[bound]
        return f"must be {_BOUNDS[bound]} {limit if isinstance(limit, int) else f'{limit:g}'}{given}"
    if kind in ("too_short", "too_long"):
        at_least = "at least " if kind == "too_short" else ""
        return _list_rule(context["min_length" if at_least else "max_length"], at_least) + given
    if kind == "string_too_short":
        return f"must not be empty{given}"
    if kind == "string_pattern_mismatch" and not place.is_split:
        return f"may hold letters of a to z, digits, _ and - only{given}"
    return _RULES.get(kind.split("_")[0], "does not fit here") + given


def _list_rule(entries: int, at_least: str = "") -> str:
    return f"must be a list of {at_least}{entries} {'entry' if entries == 1 else 'entries'}"


def choice_rule(value: object, choices: list[str]) -> str:
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"must be one of {', '.join(choices)} (given {shown(value)}){near}"


def _unknown_key(tree: type[BaseModel], place: _Place) -> str:
    name = str(place.name)
    assert place.section is not None, "only a section can have an unknown key"
    owner = next((other for other in place.alternatives if name in other.model_fields), None)
    if owner:
        return f"does not go together with {_required(place.section)}; it belongs to a split with {_required(owner)}"
    fields = list(dict.fromkeys(field for kind in (place.section, *place.alternatives) for field in kind.model_fields))
    near = did_you_mean(name, fields)
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


def did_you_mean(name: str, names: Sequence[str]) -> str:
    folded = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def broken_recipe(origin: str, problems: list[str]) -> RecipeError:
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    return RecipeError("\n  ".join([f"{origin}: {count}", *problems]))
