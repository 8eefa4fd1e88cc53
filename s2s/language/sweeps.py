"""A small model from many seeds: which of them have learned."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from s2s.errors import RunError
from s2s.files import write_json
from s2s.language.recipe import LanguageRecipe
from s2s.run import Metrics, RunFolder


def write_sweep(
    run: RunFolder, recipe: LanguageRecipe, scores: Mapping[str, Sequence[Mapping[str, float]]], steps_in_epoch: int
) -> list[dict[str, Any]]:
    """Write sweep.json and return its row for each training; `scores` are those of each training on each text.

    A training has learned at the first validation that reaches the accuracy of the recipe.
    """
    assert recipe.sweep is not None
    learned, kept = dict[int, float](), None
    for logged in Metrics(run.metrics).read():
        for member, accuracy in enumerate(logged.get("validation", {}).get("accuracy of each", ())):
            if accuracy >= recipe.sweep.learned_accuracy:
                learned.setdefault(member, logged["step"] / steps_in_epoch)
        if logged.get("best"):
            kept = logged["validation"]["seed"]
    rows = []
    for member in range(recipe.sweep.seeds):
        row: dict[str, Any] = {"seed": recipe.seed + member, "learned_epoch": learned.get(member)}
        for text, each in scores.items():
            row.update({f"{text}_{key}": each[member][key] for key in ("nats_per_token", "accuracy")})
        rows.append(row)
    write_json(run.sweep, {"hidden_size": recipe.model.hidden_size, "kept_seed": kept, "trainings": rows})
    return rows


def sweep_table(runs: Sequence[RunFolder]) -> str:
    """Results of sweeps in Markdown: a row for each, then one for each training."""
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
