"""A small model from many seeds: which of them have learned."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from s2s.errors import RunError
from s2s.language.recipe import LanguageRecipe
from s2s.run import Metrics, RunFolder, write_json


def write_sweep(
    run: RunFolder, recipe: LanguageRecipe, scores: Mapping[str, Sequence[Mapping[str, float]]], steps_in_epoch: int
) -> list[dict[str, Any]]:
    """Write sweep.json, and give its row for each training; `scores` are those of each training on each text."""
    learned = _learned_epochs(run, recipe, steps_in_epoch)
    rows = []
    for member, epoch in enumerate(learned):
        row: dict[str, Any] = {"seed": recipe.seed + member, "learned_epoch": epoch}
        for text, each in scores.items():
            row.update({f"{text}_{key}": each[member][key] for key in ("nats_per_token", "accuracy")})
        rows.append(row)
    kept = next((row["validation"]["seed"] for row in reversed(Metrics(run.metrics).read()) if row.get("best")), None)
    write_json(run.sweep, {"hidden_size": recipe.model.hidden_size, "kept_seed": kept, "trainings": rows})
    return rows


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
