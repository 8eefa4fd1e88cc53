"""Several trainings of one recipe, side by side: the variants that it names."""

import logging
from collections.abc import Sequence
from pathlib import Path

from s2s.atomic import write_text
from s2s.errors import RecipeError
from s2s.recipe import TranslationRecipe
from s2s.recipe_file import variants_of
from s2s.result_table import result_table
from s2s.run import RunFolder
from s2s.tasks.train import train

log = logging.getLogger("s2s")


def train_variants(
    recipe: TranslationRecipe,
    out: Path,
    *,
    resume: bool = False,
    corpora: Path | None = None,
    device: str = "auto",
    command: Sequence[str] = (),
) -> list[RunFolder]:
    """Train each variant of a recipe into the run folder out/NAME, and write their scores to out/results.md.

    With `resume` variants that are done are left alone, and the one that was stopped goes on.
    """
    if recipe.data.test is None:
        raise RecipeError("data.test: missing; variants are compared on a test split")
    runs = []
    for number, (name, variant) in enumerate(variants_of(recipe).items(), start=1):
        log.info("variant %d of %d: %s (%s)", number, len(recipe.variants), name, ", ".join(recipe.variants[name]))
        runs.append(train(variant, out / name, resume=resume, corpora=corpora, device=device, command=command))
    write_text(out / "results.md", result_table([run.path for run in runs]))
    return runs
