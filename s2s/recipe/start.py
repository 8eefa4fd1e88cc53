"""What a recipe has from the run that its training starts from, whose weights and tokenizers fix some of its values."""

from collections.abc import Callable
from typing import Any, TypeAlias

from s2s.errors import S2SError
from s2s.recipe.messages import broken_recipe, shown, toml_value
from s2s.recipe.sections import Section, Tree

Opened: TypeAlias = Callable[[str, str], Tree]
"""Recipe of a finished run, by its folder and the task that it must be of; S2SError for any other."""


def take_over(table: dict[str, Any], opened: Opened, origin: str) -> None:
    """Give a recipe's table, in place, what it leaves out of the values that training.start fixes.

    RecipeError for a run that cannot be started from, and for each fixed value that the table has otherwise.
    """
    training = table.get("training")
    start = training.get("start") if isinstance(training, dict) else None
    if not isinstance(start, str) or not start:
        return
    try:
        run = opened(start, table["task"])
    except S2SError as problem:
        raise broken_recipe(origin, [f"training.start: {problem}"]) from None
    if changes := _filled(table, run, run, ""):
        rule = f"the weights and tokenizers of {start} need the first; leave the key out"
        raise broken_recipe(origin, [f"{change}, but {rule}" for change in changes])


def _filled(table: dict[str, Any], values: Section, run: Tree, parent: str) -> list[str]:
    changes = list[str]()
    for name, value in values:
        key = parent + name
        is_fixed = key.startswith(run.taken_over)
        if isinstance(value, Section) and (is_fixed or any(fixed.startswith(f"{key}.") for fixed in run.taken_over)):
            if isinstance(inner := table.setdefault(name, {}), dict):
                changes += _filled(inner, value, run, f"{key}.")
        elif is_fixed and name not in table:
            table |= {} if value is None else {name: value}
        elif is_fixed and toml_value(table[name]) != toml_value(value) and not key.startswith(run.may_differ):
            changes.append(f"{key}: {shown(value)} -> {shown(table[name])}")
    return changes
