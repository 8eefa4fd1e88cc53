"""The three tasks: the one place that knows how many there are.

Nothing here imports torch, so that recipe errors answer at once.
"""

from collections.abc import Sequence
from typing import TypeAlias

from s2s.forecast.recipe import ForecastRecipe
from s2s.language.recipe import LanguageRecipe
from s2s.recipe.load import read_recipe
from s2s.run import RunFolder, read_run
from s2s.translation.recipe import TranslationRecipe

Recipe: TypeAlias = TranslationRecipe | LanguageRecipe | ForecastRecipe

TREES: dict[str, type[Recipe]] = {
    "translation": TranslationRecipe,
    "language": LanguageRecipe,
    "forecast": ForecastRecipe,
}
"""The tree of each task's recipes, in the order in which people are told of them."""


def load_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a shipped name, or of a path that ends in .toml, with the overrides "KEY=VALUE".

    Raises RecipeError for a file that is missing or not readable, and with every rule that the recipe breaks.
    """
    return read_recipe(recipe, TREES, overrides)


def recipe_of(run: RunFolder) -> Recipe:
    """The recipe that a run folder was trained with, whatever its task; RunError for one that cannot be read."""
    return read_run(run, TREES)
