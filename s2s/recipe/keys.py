"""The keys of a recipe as a table in Markdown, made from its tree with the defaults and descriptions there."""

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from s2s.recipe.messages import BOUNDS, sections_of, toml_value
from s2s.recipe.sections import Section, Tree

_KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def keys_table(tree: type[Tree]) -> str:
    """Table with a row for each key of a tree: the type or choices of its value, its default, its description."""
    rows = [("key", "value", "default", "what it is"), ("---",) * 4, *_rows(tree, tree, "")]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(tree: type[Tree], section: type[Section], parent: str) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        key, inner = parent + name, next(sections_of(field.annotation), None)
        if inner in tree.forms and get_origin(field.annotation) is dict:
            inner, value = None, "table of splits by name"
        elif inner in tree.forms:
            portion = None if section is tree.portion else tree.portion
            parts = f"table, or list of parts {{{', '.join(sorted(portion.model_fields))}}}" if portion else "or table"
            inner, value = None, f'"CORPUS/SPLIT", path ending in {tree.endings()}, {parts}'
        else:
            value = "table" if inner else ", ".join([_kind(field.annotation), *_bounds(field)])
        default = "" if inner or field.default is None else f"`{toml_value(field.default)}`"
        about = field.description or (inner.__doc__ if inner else None) or ""
        yield f"`{key}`", value, "required" if field.is_required() else default, about.split("\n")[0].rstrip(".")
        if inner:
            yield from _rows(tree, inner, f"{key}.")
    if section is next(sections_of(tree.model_fields["data"].annotation)):
        split = "SPLIT" if tree.splits[1:] else tree.splits[0]
        for form in (*tree.forms, *([tree.portion] if tree.portion else [])):
            yield from _rows(tree, form, f"{parent}{split}.")


def _kind(annotation: Any) -> str:
    """Type or choices of a value, in words."""
    inner = [part for part in get_args(annotation) if part not in (NoneType, Ellipsis)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if get_origin(annotation) is dict:
        return "table of lists"
    if get_origin(annotation) is tuple:
        return f"list of {_kind(inner[0])}s" if len(inner) == 1 else "pair"
    return _kind(inner[0]) if inner else _KINDS[annotation]  # inner is what may be None, or is annotated


def _bounds(field: FieldInfo) -> Iterator[str]:
    for rule in field.metadata:
        yield from (f"{words} {getattr(rule, name)}" for name, words in BOUNDS.items() if hasattr(rule, name))
