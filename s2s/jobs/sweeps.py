"""A small model from many seeds: which of them have learned, as a table and a picture."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from s2s.errors import RunError
from s2s.jobs.pictures import SHOWN_ENTRIES, episodes, shown_tokens
from s2s.language.plots import plot_accuracies, plot_states
from s2s.language.recipe import LanguageRecipe
from s2s.language.task import LanguageTask, encoded, score_text
from s2s.language.text import Pieces
from s2s.run import Metrics, RunFolder, write_json

PICTURED = 25
"""Trainings whose states are drawn, in a square."""


def finish_sweep(run: RunFolder, task: LanguageTask, fresh: Pieces | None) -> None:
    """Write sweep.json and the picture of a sweep: each training's last weights, on both texts."""
    recipe, model = task.recipe, task.model
    assert recipe.sweep is not None
    model.eval()
    texts = {"validation": task.validation}
    if fresh is not None:
        texts["test"] = encoded(fresh, task.tokenizer, recipe.data)
    scores = {name: score_text(model, text, recipe, task.compute) for name, text in texts.items()}
    seeds = range(recipe.seed, recipe.seed + recipe.sweep.seeds)
    learned = _learned_epochs(run, recipe, task.batches_in_epoch(0) // recipe.training.accumulate)
    rows = []
    for member, seed in enumerate(seeds):
        each = {name: scores[name].scores(text, member) for name, text in texts.items()}
        row: dict[str, Any] = {"seed": seed, "learned_epoch": learned[member]}
        row.update({f"{name}_{key}": s[key] for name, s in each.items() for key in ("nats_per_token", "accuracy")})
        rows.append(row)
    kept = next((row["validation"]["seed"] for row in reversed(Metrics(run.metrics).read()) if row.get("best")), None)
    write_json(run.sweep, {"hidden_size": recipe.model.hidden_size, "kept_seed": kept, "trainings": rows})
    if task.tokenizer.vocabulary_size + recipe.model.hidden_size <= 2 * SHOWN_ENTRIES:
        _draw(run, task, rows)
    if fresh is not None:
        accuracies = [(row["validation_accuracy"], row["test_accuracy"]) for row in rows]
        plot_accuracies(accuracies, recipe.sweep.best_accuracy, run.plots / "accuracies.png")


def _draw(run: RunFolder, task: LanguageTask, rows: list[dict[str, Any]]) -> None:
    """The states of each training, in a square."""
    titles = [f"seed {row['seed']}{'' if row['learned_epoch'] is None else ', learned'}" for row in rows]
    shown = episodes(task.model, shown_tokens(task), task.tokenizer, titles)[:PICTURED]
    plot_states(shown, run.plots / "sweep.png", f"{run.path.name}: {task.recipe.model.hidden_size} units")


def sweep_table(runs: Sequence[RunFolder]) -> str:
    """What became of sweeps: a row for each, then one for each training, in Markdown."""
    summary = [
        "| sweep | hidden units | trainings | learned | at epoch, median (first) | nats per token, median (best)"
        " | accuracy, mean | on fresh text, mean |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    single = ["| sweep | seed | learned at epoch | nats per token | accuracy |", "| --- | ---: | ---: | ---: | ---: |"]
    for run in runs:
        try:
            sweep = json.loads(run.sweep.read_text(encoding="utf-8"))
            rows = sweep["trainings"]
            nats = [row["validation_nats_per_token"] for row in rows]
            epochs = [row["learned_epoch"] for row in rows if row["learned_epoch"] is not None]
            when = f"{statistics.median(epochs):g} ({min(epochs):g})" if epochs else "never"
            fresh = [row["test_accuracy"] for row in rows if "test_accuracy" in row]
            right = statistics.mean(row["validation_accuracy"] for row in rows)
            summary.append(
                f"| {run.path.name} | {sweep['hidden_size']} | {len(rows)} | {len(epochs)} | {when}"
                f" | {statistics.median(nats):.4f} ({min(nats):.4f}) | {right:.3f}"
                f" | {f'{statistics.mean(fresh):.3f}' if fresh else 'not asked'} |"
            )
            for row in rows:
                epoch = "never" if row["learned_epoch"] is None else f"{row['learned_epoch']:g}"
                each = f"{row['validation_nats_per_token']:.4f} | {row['validation_accuracy']:.3f}"
                single.append(f"| {run.path.name} | {row['seed']} | {epoch} | {each} |")
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise RunError(f"{run.sweep}: cannot be read ({problem}); train the sweep again") from None
    return "\n".join([*summary, "", *single]) + "\n"


def _learned_epochs(run: RunFolder, recipe: LanguageRecipe, steps_in_epoch: int) -> list[float | None]:
    """For each training the epoch of the first validation at which it predicted as much as it should."""
    assert recipe.sweep is not None
    epochs: list[float | None] = [None] * recipe.sweep.seeds
    for row in Metrics(run.metrics).read():
        for member, accuracy in enumerate(row.get("validation", {}).get("accuracy of each", ())):
            if epochs[member] is None and accuracy >= recipe.sweep.learned_accuracy:
                epochs[member] = row["step"] / steps_in_epoch
    return epochs
