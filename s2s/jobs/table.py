"""A table of results, made from run folders so that nobody types a score."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from s2s.errors import RunError
from s2s.files import recorded
from s2s.run import Metrics, RunFolder
from s2s.tasks import TREES, Recipe, recipe_of, scores_of

LEFT_ALIGNED = ("run", "what it shows", "scored on", "BLEU (95 % interval)", "machine")


def result_table(runs: Sequence[Path]) -> str:
    """Scores of run folders as Markdown tables, one for each task, a row each in their order; below, the signatures.

    Minutes are those of the training; weights count a shared matrix once. Raises RunError for a folder that is no
    run, or has no readable scores.json.
    """
    folders = [RunFolder(path) for path in runs]
    hint = "the run has not been scored: it needs data.test, and to be trained to its end"
    results = [_read(run.scores, hint) for run in folders]
    scored = [(run, recipe_of(run), result) for run, result in zip(folders, results, strict=True)]
    lines: list[str] = []
    for task in TREES:
        if rows := [_row(*each) for each in scored if each[1].task == task]:
            scores = scores_of(task).HEADINGS
            headings = ("run", "what it shows", "scored on", *scores, "weights", "minutes", "seed", "machine")
            rule = ["---" if heading in LEFT_ALIGNED else "---:" for heading in headings]
            lines += [_line(headings), _line(rule), *(_line(row) for row in rows), ""]
    return "\n".join([*lines, *_signatures(folders, results)]).rstrip("\n") + "\n"


def _row(run: RunFolder, recipe: Recipe, result: dict[str, Any]) -> list[str]:
    environment = _read(run.environment, "it is written by s2s train")
    try:
        return [
            run.path.resolve().name,
            recipe.title,
            *scores_of(recipe.task).row(recipe, result),
            _weights(run),
            _minutes(run),
            str(recipe.seed),
            f"{environment['precision']}, torch {environment['versions']['torch']}",
        ]
    except (KeyError, TypeError) as problem:
        lacks = f"scores.json or environment.json lacks {problem}"
        raise RunError(f"{run}: {lacks}; train or score the run again") from None


def _weights(run: RunFolder) -> str:
    """Number of weights in best.safetensors, of which only the header is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.require_best(), "numpy") as tensors:
            count = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        raise RunError(f"{run.best}: damaged, it cannot be read as safetensors") from None
    return f"{count:,}"


def _minutes(run: RunFolder) -> str:
    """Minutes of training at the last checkpoint, or else at the last line of the log."""
    seconds = recorded(run.checkpoint, "progress", "elapsed_seconds")
    if seconds is None:
        seconds = max((row.get("elapsed_seconds", 0.0) for row in Metrics(run.metrics).read()), default=0.0)
    return f"{seconds / 60:.1f}"


def _signatures(runs: Sequence[RunFolder], results: Sequence[dict[str, Any]]) -> list[str]:
    """Each signature once, in the order of the rows; where a score has several, with the runs that it belongs to."""
    lines = []
    for key, name in (("bleu", "BLEU"), ("chrf", "chrF")):
        found: dict[str, list[str]] = {}
        for run, result in zip(runs, results, strict=True):
            if key in result["scores"]:
                found.setdefault(result["scores"][key]["signature"], []).append(run.path.resolve().name)
        for signature, names in found.items():
            lines.append(f"- {name}: `{signature}`" + (f" ({', '.join(names)})" if len(found) > 1 else ""))
    return lines


def _read(path: Path, hint: str) -> dict[str, Any]:
    RunFolder(path.parent).require_recipe()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such file; {hint}") from None
    except ValueError as problem:
        raise RunError(
            f"{path}: damaged, it cannot be read as JSON ({problem}); remove it and go on with s2s train --resume"
        ) from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: damaged, it holds no JSON object")
    return content


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
