"""Results as text: of one run, of a comparison, and a table made from run folders so that nobody types a score."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from s2s.errors import RunError
from s2s.forecast.recipe import ForecastRecipe
from s2s.run import Metrics, RunFolder
from s2s.tasks import recipe_of
from s2s.translation.recipe import TranslationRecipe

TRANSLATION_SCORES = ("examples", "BLEU (95 % interval)", "chrF")
LANGUAGE_SCORES = ("tokens", "nats per token", "perplexity", "bits per character", "accuracy")
FORECAST_SCORES = ("forecasts", "MAE", "of persistence", "ratio", "best baseline", "coverage")
LEFT_ALIGNED = ("run", "what it shows", "scored on", "BLEU (95 % interval)", "machine")


def score_text(result: Mapping[str, Any]) -> str:
    """The scores of one run on one split; of a translator with the table by source length and the rates of failures."""
    if result["task"] == "forecast":
        return "".join(_forecast_text(result, name) for name in result["targets"])
    if result["task"] == "language":
        lines = [f"{result['run']} on {result['split']}, {result['examples']:,} tokens"]
        scores = result["scores"].items()
        lines += [f"  {name.replace('_', ' '):18} {_number(score['value'], '.4f')}" for name, score in scores]
        return "\n".join(lines) + "\n"
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


def _forecast_text(result: Mapping[str, Any], target: str) -> str:
    """The scores of one target, the ratio to persistence first, and what it means."""
    found = result["targets"][target]
    scores, ahead = found["scores"], result["horizon"]
    steps = f"{ahead} steps ahead" if ahead > 1 else "one step ahead"
    lines = [f"{result['run']}, {target} on {result['split']}, {result['examples']:,} forecasts, {steps}"]
    lines.append(f"  MAE / MAE of persistence  {_number(scores['mae']['ratio'], '.3f')}: {found['meaning']}")
    for name, score in scores.items():
        beside = f"  (persistence {_number(score['persistence'], '.4g')})" if "persistence" in score else ""
        beside = f"  (asked {score['asked']:.2f})" if "asked" in score else beside
        lines.append(f"  {name:10} {_number(score['value'], '.4g'):>10}{beside}")
    lines.append("  MAE of " + ", ".join(f"{name} {mae:.4g}" for name, mae in found["baselines"].items()))
    if ahead > 1:
        lines.append("  step        MAE   persistence")
        lines += [f"  {row['step']:4} {row['mae']:10.4g} {row['persistence']:13.4g}" for row in found["by_step"]]
    return "\n".join(lines) + "\n"


def _number(value: float | None, form: str) -> str:
    """A score, or that it has no value: its divisor was zero, say, which JSON says by null."""
    return "undefined" if value is None or not math.isfinite(value) else format(value, form)


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """One run against another by paired bootstrap, in a line."""
    runs = f"{comparison['run']} against {comparison['against']}"
    interval = f"[{comparison['low']:+.2f}, {comparison['high']:+.2f}]"
    p_value = f"p = {comparison['p_value']:.4f} (paired bootstrap)"
    return f"{runs}: {comparison['difference']:+.2f} BLEU {interval}, {p_value}\n"


def result_table(runs: Sequence[Path]) -> str:
    """The scores of run folders as Markdown tables, one for each task, a row each in their order.

    Below them stand the signatures. Minutes are those of the training; weights count a shared matrix once. Raises
    RunError for a folder that is no run, or has no readable scores.json.
    """
    folders = [RunFolder(path) for path in runs]
    results = [_read(run.scores, "the run has not been scored: it needs data.test, and to be trained to its end")
               for run in folders]  # fmt: skip
    lines: list[str] = []
    kinds = {"translation": TRANSLATION_SCORES, "language": LANGUAGE_SCORES, "forecast": FORECAST_SCORES}
    for task, scores in kinds.items():
        rows = [_row(run, each) for run, each in zip(folders, results, strict=True) if recipe_of(run).task == task]
        if rows:
            headings = ("run", "what it shows", "scored on", *scores, "weights", "minutes", "seed", "machine")
            rule = ["---" if heading in LEFT_ALIGNED else "---:" for heading in headings]
            lines += [_line(headings), _line(rule), *(_line(row) for row in rows), ""]
    return "\n".join([*lines, *_signatures(folders, results)]).rstrip("\n") + "\n"


def _row(run: RunFolder, result: dict[str, Any]) -> list[str]:
    recipe = recipe_of(run)
    environment = _read(run.environment, "it is written by s2s train")
    try:
        scores, on = _scores(result), result["split"]
        if isinstance(recipe, ForecastRecipe):
            on = f"{result['target']}, {on} ({result['horizon']} ahead)"
        if isinstance(recipe, TranslationRecipe):
            on += f" ({recipe.data.source} to {recipe.data.target}, beam {result['beam']})"
        return [
            run.path.resolve().name,
            recipe.title,
            on,
            f"{result['examples']:,}",
            *scores,
            _weights(run),
            _minutes(run),
            str(recipe.seed),
            f"{environment['precision']}, torch {environment['versions']['torch']}",
        ]
    except (KeyError, TypeError) as problem:
        raise RunError(
            f"{run}: scores.json or environment.json lacks {problem}; train or score the run again"
        ) from None


def _scores(result: dict[str, Any]) -> list[str]:
    scores = result["scores"]
    if "mae" in scores:
        mae, (name, best) = scores["mae"], min(result["baselines"].items(), key=lambda item: item[1])
        coverage = f"{scores['coverage']['value']:.2f}" if "coverage" in scores else ""
        numbers = (f"**{mae['value']:.4g}**", f"{mae['persistence']:.4g}", _number(mae["ratio"], ".3f"))
        return [*numbers, f"{best:.4g} ({name})", coverage]
    if "nats_per_token" in scores:
        keys = ("nats_per_token", "perplexity", "bits_per_character", "accuracy")
        nats, *others = (scores[key]["value"] for key in keys)
        forms = (".4g", ".4f", ".4f")
        return [f"**{_number(nats, '.4f')}**", *(_number(*each) for each in zip(others, forms, strict=True))]
    bleu = scores["bleu"]
    return [f"**{bleu['value']:.1f}** ({bleu['low']:.1f} to {bleu['high']:.1f})", f"{scores['chrf']['value']:.1f}"]


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
