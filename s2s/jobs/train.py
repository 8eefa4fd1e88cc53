"""One training, from a recipe to a scored run folder."""

import logging
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from s2s import __version__
from s2s.corpus.fetch import sha256_of
from s2s.corpus.find import checksums
from s2s.device import Compute, choose_compute, settle_process
from s2s.errors import RecipeError, RunError, S2SError, TrainingError
from s2s.files import recorded, rows_text, write_json, write_text
from s2s.forecast.scores import SUSPICION
from s2s.jobs.evaluate import without_text
from s2s.nn.weights import load_tensors, put_weights
from s2s.plots import plot_curves
from s2s.recipe.load import differences, going_on, recipe_toml
from s2s.report.report import write_report
from s2s.run import FORMAT, Metrics, RunFolder
from s2s.tasks import Recipe, Sources, recipe_of, report_of, require_recipe, task_of
from s2s.training.checkpoint import require_unbegun
from s2s.training.ranks import RESTARTS, Ranks, alone, joined, launcher, present
from s2s.training.task import Task
from s2s.training.trainer import Trainer

log = logging.getLogger("s2s")
FIXED = (
    "task", "seed", "training.start", "tokenizer.", "model.", "sweep",
    "data.source", "data.target", "data.time", "data.longest_step", "data.missing", "data.newest_first", "data.inputs",
    "data.series_id", "data.known", "data.calendar", "data.horizon", "data.test_share", "data.scaling", "data.floor",
    "data.validation_share", "data.max_", "data.cut", "data.window", "data.rows",
    "training.batch_", "training.optimizer", "training.moving_average", "training.metric",
    "evaluation.bleu_tokenizer",
)  # fmt: skip
"""What a resumed training cannot change: its weights, its best score or its place in the data would no longer fit.

What `data.train`, `data.validation` and `data.series` name is compared by its content.
"""


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
    begun is begun. Raises RunError for a folder in use, Interrupted when asked to stop, TypeError for a recipe's name.

    Processes that torchrun started train together; the first writes, and the others see what it has written. One that
    torchrun started anew goes on without `resume`.
    """
    require_recipe(recipe)
    if recipe.trainings:
        raise RecipeError("variants: the recipe names trainings to compare; train_variants runs them all")
    run = RunFolder(Path(out))
    settle_process()
    with joined(device) as device, run.locked(command) if present().first else nullcontext():
        with present().in_turn():
            anew = os.environ.get(RESTARTS, "0") != "0"
            resume |= anew and recorded(run.environment, "launcher") == launcher()
            recipe, sources, trainer = _ready(recipe, run, resume, corpora, device, command)
        with trainer.compute.entered(), _enough_memory("train a batch", "make batches smaller and go on with --resume"):
            progress = trainer.train()
        log.info("training ended: %s; best weights are those of step %s", progress.finished, f"{progress.best_step:,}")
        if not present().told(trainer.was_complete and _has_results(run, recipe, progress.best_step)):
            _score(run, recipe, trainer.task, progress.best_step, corpora, device)
            if present().first:
                with alone():
                    run.plots.mkdir(exist_ok=True)
                    task_of(recipe).draw(run, trainer.task, sources, device)
                    curves = report_of(recipe.task).CURVES
                    plot_curves(Metrics(run.metrics).read(), run.plots / "curves.png", *curves)
                    write_report([run.path], run.report, corpora=corpora, device=device)
    return run


def _ready(
    recipe: Recipe, run: RunFolder, resume: bool, corpora: Path | None, device: str, command: Sequence[str]
) -> tuple[Recipe, Sources, Trainer[Any]]:
    """The recipe and the data of a training, and its trainer, at the checkpoint of the run."""
    ranks, compute = present(), choose_compute(device, recipe.training.precision)
    if not (ranks.first or run.checkpoint.exists()):
        raise RunError(
            f"{run}: process {ranks.rank} does not see what the first one has written; give --out a folder that all"
            " machines share"
        )
    recipe, sources = _begun(recipe, run, resume or not ranks.first, corpora)
    environment = _environment(recipe, compute, sources, corpora, command) | _processes(run, ranks)
    environment["start"] = _start_of(recipe, run, sources, corpora)
    trainer = _prepared(recipe, run, compute, sources, environment)
    if ranks.first and not trainer.was_complete:
        run.remove_unfinished()
        _describe(recipe, run, environment)
    if ranks.first and ranks.store:
        trainer.begin()
    return recipe, sources, trainer


def _processes(run: RunFolder, ranks: Ranks) -> dict[str, Any]:
    """The record of the processes of a training, after a remark where they are fewer or more than before."""
    before = recorded(run.environment, "processes") or 1
    if run.checkpoint.exists() and before != ranks.count:
        log.info(
            "resumed by %d process%s, %d before: weights are from here on equal to those of the old number but for"
            " rounding", ranks.count, "es" * (ranks.count > 1), before,
        )  # fmt: skip
    return {"processes": ranks.count, "launcher": launcher() if ranks.store else None}


def _begun(recipe: Recipe, run: RunFolder, resume: bool, corpora: Path | None) -> tuple[Recipe, Sources]:
    """The recipe and the data of a training, once it may begin or go on in a run folder."""
    goes_on = resume and run.exists()
    if resume and not goes_on:
        log.info("%s: nothing to resume, a new training begins", run)
    if not goes_on:
        sources = task_of(recipe).find(recipe, corpora)
        run.create()
        return recipe, sources
    if not run.checkpoint.exists():
        run.require_recipe()
        require_unbegun(run)
        return recipe, task_of(recipe).find(recipe, corpora)
    began_with = recipe_of(run, whole=True)
    _check_changes(began_with, recipe)
    sources = task_of(recipe).find(recipe, corpora)
    _check_data(run, sources)
    return going_on(began_with, recipe), sources


def _prepared(
    recipe: Recipe, run: RunFolder, compute: Compute, sources: Sources, environment: dict[str, Any]
) -> Trainer[Any]:
    """The trainer at the checkpoint of a run; a run without one is described first, and one of this call taken back."""
    is_new = not run.recipe.exists()
    try:
        with _enough_memory("build the model", "make the model smaller"):
            if not run.checkpoint.exists():
                _describe(recipe, run, environment)
            task = task_of(recipe).prepare(recipe, run, compute, sources)
            if recipe.training.start and not run.checkpoint.exists():
                best = RunFolder(Path(recipe.training.start)).best
                put_weights(task.model, load_tensors(best), origin=str(best))
            trainer = Trainer(task, task.recipe.training, run, compute)
    except (S2SError, OSError):
        if is_new:
            run.discard()
        raise
    weights = sum(weight.numel() for weight in task.model.parameters())
    log.info("%s weights on %s; %s", f"{weights:,}", compute, task.path())
    return trainer


def _describe(recipe: Recipe, run: RunFolder, environment: dict[str, Any]) -> None:
    write_text(run.recipe, recipe_toml(recipe))
    write_json(run.environment, environment)
    write_text(run.format, f"{FORMAT}\n")


def _has_results(run: RunFolder, recipe: Recipe, best_step: int) -> bool:
    """Whether scores, and all that is written after them, are those of the best weights."""
    scored = task_of(recipe).scored_part(recipe) is None or recorded(run.scores, "step") == best_step
    return scored and all((run.path / name).exists() for name in recipe.results())


def _score(run: RunFolder, recipe: Recipe, task: Task[Any], best_step: int, corpora: Path | None, device: str) -> None:
    """Write scores.json and outputs.jsonl, where the recipe names something to score the run on."""
    own = task_of(recipe)
    if own.scored_part(recipe) is None:
        return
    part = own.part_of(run, recipe, on=None, files=None, beam=None, corpora=corpora)._replace(task=task)
    result = own.score(run, recipe, part, device=device, precision="float32", beam=None)
    if not present().first:
        return
    if "outputs" in result:
        write_text(run.outputs, rows_text(result["outputs"]))
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
    """Refuse training data that are no longer those that the run began with; warn where it has no record of them."""
    for name, found in sources.items():
        if name == "test" or name.startswith("also_validate."):
            continue
        before = recorded(run.environment, "data", name)
        if before is None:
            log.warning(
                "%s: missing, damaged, or without data.%s: whether %s is what the run began with cannot be checked",
                run.environment, name, found.description,
            )  # fmt: skip
        if before not in (None, found.identity):
            raise RunError(
                f"{run}: the text of data.{name} ({found.description}) has changed since the run began, so"
                " it cannot go on; put the old one back, or start a new run with --out"
            )


def _start_of(recipe: Recipe, run: RunFolder, sources: Sources, corpora: Path | None) -> Any:
    """Record of the run that a training starts from, after a warning of what it lacks; None for new weights."""
    if recipe.training.start is None or run.checkpoint.exists():
        return recorded(run.environment, "start")
    start, own = RunFolder(Path(recipe.training.start)), dict[str, Any]()
    with suppress(S2SError):  # its data may be gone
        own |= task_of(recipe).find(recipe_of(start), corpora)
    for remark in task_of(recipe).unlike_start(recipe, sources, start, own):
        log.warning("%s", remark)
    return {"run": str(start), "sha256": sha256_of(start.require_best())}


def _environment(
    recipe: Recipe, compute: Compute, sources: Sources, corpora: Path | None, command: Sequence[str]
) -> dict[str, Any]:
    named = [getattr(recipe.data, name, None) for name in ("train", "validation", "test", "series")]
    named += recipe.data.also_validate.values()
    lists = [[part.split for part in split] if isinstance(split, tuple) else [split] for split in named]
    names = sorted({split.split("/")[0] for splits in lists for split in splits if isinstance(split, str)})
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
