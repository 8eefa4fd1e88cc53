"""Results as text: of one run, of a comparison, and a table made from run folders so that nobody types a score."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from s2s.errors import RunError
from s2s.recipe import TranslationRecipe
from s2s.recipe_file import parse_recipe
from s2s.run import Metrics, RunFolder

HEADINGS = (
    "run",
    "what it shows",
    "scored on",
    "examples",
    "BLEU (95 % interval)",
    "chrF",
    "weights",
    "minutes",
    "seed",
    "machine",
)
RIGHT_ALIGNED = ("examples", "weights", "minutes", "seed")


def score_text(result: Mapping[str, Any]) -> str:
    """The scores of one run on one split, with the table by source length and the rates of failures."""
    lines = [f"{result['run']} on {result['split']}, {result['examples']:,} examples, beam {result['beam']}"]
    for name, score in result["scores"].items():
        interval = f" [{score['low']:.2f}, {score['high']:.2f}]" if "low" in score else ""
        lines.append(f"  {name:5} {score['value']:6.2f}{interval}  {score.get('signature', '')}")
    lines.append("  source tokens   examples    BLEU   length ratio")
    for row in result["by_length"]:
        counts = f"{row['source_tokens']:>13} {row['examples']:>10,}"
        lines.append(f"  {counts} {row['bleu']:>7.2f} {row['length_ratio']:>14.3f}")
    lines.append("  " + ", ".join(f"{name} {share:.2%}" for name, share in result["rates"].items()))
    return "\n".join(lines) + "\n"


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """One run against another by paired bootstrap, in a line."""
    runs = f"{comparison['run']} against {comparison['against']}"
    interval = f"[{comparison['low']:+.2f}, {comparison['high']:+.2f}]"
    p_value = f"p = {comparison['p_value']:.4f} (paired bootstrap)"
    return f"{runs}: {comparison['difference']:+.2f} BLEU {interval}, {p_value}\n"


def result_table(runs: Sequence[Path]) -> str:
    """The scores of run folders as a Markdown table, a row each in their order, and below it their signatures.

    Minutes are those of the training; weights count a shared matrix once. Raises RunError for a folder that is no
    run, or has no readable scores.json.
    """
    folders = [RunFolder(path) for path in runs]
    results = [_read(run.scores, "the run has not been scored: it needs data.test, and to be trained to its end")
               for run in folders]  # fmt: skip
    rows = [_row(run, result) for run, result in zip(folders, results, strict=True)]
    rule = [("---:" if heading in RIGHT_ALIGNED else "---") for heading in HEADINGS]
    table = [_line(HEADINGS), _line(rule), *(_line(row) for row in rows)]
    return "\n".join([*table, "", *_signatures(results)]) + "\n"


def _row(run: RunFolder, result: dict[str, Any]) -> list[str]:
    recipe: TranslationRecipe = parse_recipe(run.require_recipe(), origin=str(run.recipe), folder=run.path)
    environment = _read(run.environment, "it is written by s2s train")
    try:
        bleu, chrf = result["scores"]["bleu"], result["scores"]["chrf"]
        return [
            run.path.resolve().name,
            recipe.title,
            f"{result['split']} ({recipe.data.source} to {recipe.data.target}, beam {result['beam']})",
            f"{result['examples']:,}",
            f"**{bleu['value']:.1f}** ({bleu['low']:.1f} to {bleu['high']:.1f})",
            f"{chrf['value']:.1f}",
            _weights(run),
            _minutes(run),
            str(recipe.seed),
            f"{environment['precision']}, torch {environment['versions']['torch']}",
        ]
    except (KeyError, TypeError) as problem:
        raise RunError(
            f"{run}: scores.json or environment.json lacks {problem}; train or score the run again"
        ) from None


def _weights(run: RunFolder) -> str:
    """Numbers in best.safetensors, from the header alone: 8 bytes with its length, then JSON with the shapes."""
    try:
        with run.require_best().open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        count = sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError):
        raise RunError(f"{run.best}: damaged, it cannot be read as safetensors") from None
    return f"{count:,}"


def _minutes(run: RunFolder) -> str:
    """Minutes of training at the last checkpoint, or else at the last line of the log."""
    try:
        seconds = json.loads((run.last / "checkpoint.json").read_text(encoding="utf-8"))["progress"]["elapsed_seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        seconds = max((row.get("elapsed_seconds", 0.0) for row in Metrics(run.metrics).read()), default=0.0)
    return f"{seconds / 60:.1f}"


def _signatures(results: Iterable[dict[str, Any]]) -> list[str]:
    """Each signature once, in the order of the rows."""
    names = {"bleu": "BLEU", "chrf": "chrF"}
    found = {
        f"- {name}: `{result['scores'][key]['signature']}`": None for result in results for key, name in names.items()
    }
    return sorted(found, key=lambda line: line.startswith("- chrF"))


def _read(path: Path, hint: str) -> dict[str, Any]:
    RunFolder(path.parent).require_recipe()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such file; {hint}") from None
    except ValueError as problem:
        raise RunError(f"{path}: damaged, it cannot be read as JSON ({problem})") from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: damaged, it holds no JSON object")
    return content


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
