"""One training, from a recipe to a scored run folder."""

import logging
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from s2s import __version__
from s2s.corpus.find import checksums
from s2s.device import Compute, choose_compute, settle_process
from s2s.errors import RecipeError, RunError, S2SError, TrainingError
from s2s.files import write_text
from s2s.forecast.scores import SUSPICION
from s2s.jobs.evaluate import evaluate, without_text
from s2s.plots import plot_curves
from s2s.recipe.load import differences, recipe_toml
from s2s.run import Metrics, RunFolder, recorded, write_json
from s2s.tasks import Recipe, Sources, recipe_of, task_of
from s2s.training.trainer import Trainer

log = logging.getLogger("s2s")
FIXED = (
    "task", "seed", "tokenizer.", "model.", "sweep",
    "data.source", "data.target", "data.series", "data.time", "data.longest_step", "data.missing", "data.newest_first",
    "data.inputs", "data.horizon", "data.test_share", "data.scaling", "data.train", "data.validation", "data.max_",
    "data.cut", "data.window",
    "data.rows", "training.batch_", "training.optimizer", "training.moving_average", "training.metric",
    "evaluation.bleu_tokenizer",
)  # fmt: skip
"""What a resumed training cannot change: its weights, its best score or its place in the data would no longer fit."""


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    corpora: Path | None = None,
    device: str = "auto",
    command: Sequence[str] = (),
) -> RunFolder:
    """Train a recipe into the run folder `out`, and score its best weights on the test split.

    With `resume` a run that was stopped, or killed, goes on exactly where its last checkpoint was; one that was not
    begun is begun. Raises RunError for a folder in use, Interrupted when asked to stop.
    """
    if recipe.trainings:
        raise RecipeError("variants: the recipe names trainings to compare; train_variants runs them all")
    run = RunFolder(Path(out))
    settle_process()
    compute = choose_compute(device, recipe.training.precision)
    goes_on = resume and run.exists()
    if resume and not goes_on:
        log.info("%s: nothing to resume, a new training begins", run)
    begun = goes_on and (run.last / "checkpoint.json").exists()
    if begun:
        _check_changes(recipe_of(run), recipe)
    sources = task_of(recipe).find(recipe, corpora)
    if begun:
        _check_data(run, sources)
    if goes_on:
        run.require_recipe()
        run.remove_unfinished()
    else:
        run.create()
    try:
        with _enough_memory("build the model", "make the model smaller"):
            write_text(run.recipe, recipe_toml(recipe))
            write_json(run.environment, _environment(recipe, compute, sources, corpora, command))
            task = task_of(recipe).prepare(recipe, run, compute, sources)
            trainer = Trainer(task, task.recipe.training, run, compute)
    except (S2SError, OSError):
        if not goes_on:
            run.discard()
        raise
    weights = sum(weight.numel() for weight in task.model.parameters())
    log.info("%s weights on %s; %s", f"{weights:,}", compute, task.path())
    with compute.entered(), _enough_memory("train a batch", "make batches smaller and go on with --resume"):
        progress = trainer.train()
    log.info("training ended: %s; best weights are those of step %s", progress.finished, f"{progress.best_step:,}")
    scored = task_of(recipe).scored_part(recipe) is None or recorded(run.scores, "step") == progress.best_step
    if not (trainer.was_complete and scored and (run.plots / "curves.png").exists()):
        _score(run, recipe, progress.best_step, corpora, device)
        run.plots.mkdir(exist_ok=True)
        task_of(recipe).draw(run, task, sources, device)
        plot_curves(Metrics(run.metrics).read(), run.plots / "curves.png")
    return run


def _score(run: RunFolder, recipe: Recipe, best_step: int, corpora: Path | None, device: str) -> None:
    """Write scores.json, where the recipe names something to score the run on."""
    if task_of(recipe).scored_part(recipe) is None:
        return
    result = evaluate([run.path], corpora=corpora, device=device)[0]
    write_json(run.scores, {**without_text(result), "step": best_step})
    for name, found in result.get("targets", {}).items():
        if found["meaning"].startswith(SUSPICION):
            log.warning("%s: %s is %s", run, name, found["meaning"])


@contextmanager
def _enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Context in which a failed allocation is a TrainingError that names a remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        said = str(problem)
        if isinstance(problem, MemoryError) or "allocate memory" in said or "out of memory" in said:
            raise TrainingError(f"there is not enough memory to {what}; {remedy}") from None
        raise


def _check_changes(old: Recipe, new: Recipe) -> None:
    """Log what changed in the recipe since, and refuse what a resumed training cannot change."""
    changes = differences(old, new)
    for change in changes:
        log.info("changed since: %s", change)
    if fixed := [change for change in changes if change.startswith(FIXED)]:
        raise RunError(
            "a resumed training cannot change " + "; ".join(fixed) + "; give every KEY=VALUE that the run began with,"
            " or start a new run with --out"
        )


def _check_data(run: RunFolder, sources: Sources) -> None:
    """Refuse training data that are no longer those that the run began with, where it has a record of them."""
    for name, found in sources.items():
        before = recorded(run.environment, "data", name)
        if name != "test" and before not in (None, found.identity):
            raise RunError(
                f"{run}: the text of data.{name} ({found.description}) has changed since the run began, so"
                " it cannot go on; put the old one back, or start a new run with --out"
            )


def _environment(
    recipe: Recipe, compute: Compute, sources: Sources, corpora: Path | None, command: Sequence[str]
) -> dict[str, Any]:
    named = [getattr(recipe.data, name, None) for name in ("train", "validation", "test", "series")]
    names = sorted({split.split("/")[0] for split in named if isinstance(split, str)})
    packages = ("torch", "sentencepiece", "sacrebleu", "numpy")
    return {
        "command": list(command),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {"s2s": __version__, **{name: version(name) for name in packages}},
        "device": str(compute.device),
        "precision": str(compute),
        "threads": torch.get_num_threads(),
        "corpora": {name: checksums(name, corpora) for name in names},
        "data": {name: found.identity for name, found in sources.items()},
    }
