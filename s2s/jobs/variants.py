"""Several trainings of one recipe, side by side: the variants that it names."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from s2s.errors import RecipeError
from s2s.files import write_text
from s2s.jobs.table import result_table
from s2s.jobs.train import train
from s2s.language.plots import join_plots
from s2s.language.sweeps import sweep_table
from s2s.process import require_one_process
from s2s.run import RunFolder
from s2s.tasks import Recipe, require_recipe, task_of

log = logging.getLogger("s2s")


def train_variants(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    corpora: Path | None = None,
    device: str = "auto",
    command: Sequence[str] = (),
) -> list[RunFolder]:
    """Train each variant of a recipe into the run folder out/NAME; out/results.md and out/*.png compare them.

    With `resume` variants that are done are left alone, and the one that was stopped goes on. Raises RecipeError for a
    recipe without variants.
    """
    require_recipe(recipe)
    if not recipe.trainings:
        raise RecipeError("variants: the recipe names none, and train_variants runs each; train runs the recipe itself")
    if task_of(recipe).scored_part(recipe) is None:
        raise RecipeError("data.test: missing; variants are compared on a test split")
    require_one_process()
    out, runs = Path(out), []
    variants: Mapping[str, Recipe] = recipe.trainings
    with RunFolder(out).locked(command):
        for number, (name, variant) in enumerate(variants.items(), start=1):
            log.info("variant %d of %d: %s", number, len(variants), name)
            runs.append(train(variant, out / name, resume=resume, corpora=corpora, device=device, command=command))
        swept = all(run.sweep.exists() for run in runs)
        table = sweep_table(runs) if swept else result_table([run.path for run in runs])
        for name in ("sweep.png", "accuracies.png", "predictions.png", "gradients.png"):
            plots = [run.plots / name for run in runs if (run.plots / name).exists()]
            if plots and not _is_newer(out / name, plots):
                join_plots(plots, out / name)
        write_text(out / "results.md", table)
    return runs


def _is_newer(path: Path, sources: Sequence[Path]) -> bool:
    return path.exists() and all(path.stat().st_mtime_ns > source.stat().st_mtime_ns for source in sources)
