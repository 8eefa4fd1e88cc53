"""One training, from a recipe to a scored run folder."""

import logging
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from s2s.atomic import write_text
from s2s.corpora import checksums
from s2s.decoding.translator import recipe_of
from s2s.errors import RunError
from s2s.evaluation.plots import plot_attention, plot_curves
from s2s.nn.precision import Compute, choose_compute
from s2s.recipe import TranslationRecipe
from s2s.recipe_file import differences, recipe_toml
from s2s.run import Metrics, RunFolder, write_json
from s2s.tasks.scoring import evaluate, without_text
from s2s.tasks.translation import TranslationTask, prepare
from s2s.training.trainer import Trainer

log = logging.getLogger("s2s")
FIXED = ("task", "seed", "tokenizer.", "model.", "data.source", "data.target", "data.train", "data.max_", "training.batch_tokens")
"""What a resumed training cannot change: its weights and its place in the data would no longer fit."""


def train(
    recipe: TranslationRecipe,
    out: Path,
    *,
    resume: bool = False,
    corpora: Path | None = None,
    device: str = "auto",
    command: Sequence[str] = (),
) -> RunFolder:
    """Train a recipe into the run folder `out`, and score its best weights on the test split.

    With `resume` a run that was stopped, or killed, goes on exactly where its last checkpoint was; one
    that was not begun is begun. Raises RunError for a folder in use, Interrupted when asked to stop.
    """
    run = RunFolder(out)
    if resume and run.recipe.exists():
        _check_changes(recipe_of(run), recipe)
    elif not (resume and run.path.is_dir() and _only_temporary(run)):
        run.create()
    compute = choose_compute(device, recipe.training.precision)
    write_text(run.recipe, recipe_toml(recipe))
    _write_environment(run, recipe, compute, corpora, command)
    task = prepare(recipe, run, compute, corpora)
    weights = sum(weight.numel() for weight in task.model.parameters())
    log.info("%s weights on %s; decoder: %s", f"{weights:,}", compute, task.decoder_path())
    trainer = Trainer(task, recipe.training, run, compute)
    progress = trainer.train()
    log.info("training ended: %s; best weights are those of step %s", progress.finished, f"{progress.best_step:,}")
    _draw(run, task)
    if recipe.data.test is not None and not (run.scores.exists() and trainer.was_complete):
        result = evaluate([run.path], corpora=corpora, device=device)[0]
        write_json(run.scores, without_text(result))
    return run


def _check_changes(old: TranslationRecipe, new: TranslationRecipe) -> None:
    """Say what changed in the recipe since, and refuse what a resumed training cannot take."""
    changes = differences(old, new)
    for change in changes:
        log.info("changed since: %s", change)
    fixed = [change for change in changes if change.startswith(FIXED)]
    if fixed:
        raise RunError(
            "a resumed training cannot change " + "; ".join(fixed) + "; start a new run with --out, or change it back"
        )


def _only_temporary(run: RunFolder) -> bool:
    """Whether a training was killed before it wrote its recipe."""
    return all(path.name.startswith(".") for path in run.path.iterdir())


def _write_environment(
    run: RunFolder, recipe: TranslationRecipe, compute: Compute, corpora: Path | None, command: Sequence[str]
) -> None:
    splits = (recipe.data.train, recipe.data.validation, recipe.data.test)
    names = sorted({split.split("/")[0] for split in splits if isinstance(split, str)})
    environment: dict[str, Any] = {
        "command": list(command),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {name: version(name) for name in ("s2s", "torch", "sentencepiece", "sacrebleu", "numpy")},
        "device": str(compute.device),
        "precision": str(compute),
        "threads": torch.get_num_threads(),
        "corpora": {name: checksums(name, corpora) for name in names},
    }
    write_json(run.environment, environment)


def _draw(run: RunFolder, task: TranslationTask) -> None:
    """The curves, and the attention of one validation sentence."""
    run.plots.mkdir(exist_ok=True)
    plot_curves(Metrics(run.metrics).read(), run.plots / "curves.png")
    translator = task.translator()
    source = next((pair[0] for pair in task.validation if 4 <= len(pair[0].split()) <= 12), task.validation[0][0])
    found = translator.translate([source], attention=True)[0]
    if found.attention is not None:
        plot_attention(found.attention, found.source_tokens, found.tokens, run.plots / "attention.png")
