"""The whole benchmark of a recipe, as an object and as text."""

import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from s2s.atomic import write_text
from s2s.benchmark.decoding import SENTENCES, Text, bench_decoding, cold_start
from s2s.benchmark.growth import bench_growth
from s2s.benchmark.training import bench_training
from s2s.decoding.translator import Translator
from s2s.errors import DataError, RecipeError
from s2s.nn.precision import choose_compute
from s2s.nn.weights import save_tensors, weights_of
from s2s.recipe_file import Recipe
from s2s.recipe_toml import recipe_toml
from s2s.recipe_translation import TranslationRecipe
from s2s.run import RunFolder
from s2s.tasks.splits import open_splits
from s2s.tasks.translation import prepare

log = logging.getLogger("s2s")


def benchmark(recipe: Recipe, run: Path, *, asked: bool, corpora: Path | None, device: str) -> dict[str, Any]:
    """Measure a translation recipe on its own data and sizes.

    Lines are translated with the weights of `run` where it is there, and must be there when it was `asked` for; else
    with those that the measured training steps gave. Raises RecipeError for another task.
    """
    if not isinstance(recipe, TranslationRecipe):
        raise RecipeError(f"bench measures translators, and this recipe is for the task {recipe.task}")
    splits = open_splits(recipe.data, corpora)
    compute = choose_compute(device, recipe.training.precision)
    with TemporaryDirectory() as folder:
        own = RunFolder(Path(folder))
        task = prepare(recipe, own, compute, splits)
        log.info("training: the recipe's steps, the textbook's, and the machine's matrix products")
        training = bench_training(task, compute)
        write_text(own.recipe, recipe_toml(recipe))
        save_tensors(own.best, weights_of(task.model))
        chosen = run if asked or RunFolder(run).best.exists() else own.path
        translator = Translator.load(chosen, device=str(compute.device))
        pairs = list((splits.test or splits.validation).read())[:SENTENCES]
        pairs = [(source, reference) for source, reference in pairs if source.strip()]
        if not pairs:
            raise DataError("bench: the first test sentences are all blank, so there is nothing to translate")
        sources, references = zip(*pairs, strict=True)
        log.info("translating %s lines", f"{len(sources):,}")
        decoding = bench_decoding(translator, Text(sources, references, recipe.data.target))
        decoding |= cold_start(chosen, sources[0], compute)
        decoding["weights"] = "the benchmark's own steps" if chosen is own.path else str(chosen)
        log.info("growth: pairs, lengths and beams")
        growth = bench_growth(recipe, task, translator, sources)
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {capability}",
        "torch": torch.__version__,
        "device": str(compute.device),
        "precision": str(compute),
        "parameters": sum(weight.numel() for weight in weights_of(task.model).values()),
        "training": training,
        "decoding": decoding,
        "growth": growth,
    }


def benchmark_text(found: Mapping[str, Any]) -> str:
    """The same for people, a line for each figure."""
    lines = [f"{found['precision']}; {found['parameters']:,} weights; torch {found['torch']}"]
    for part in ("training", "decoding"):
        lines.append(f"\n{part}")
        lines += _rows(found[part])
    lines.append("\ngrowth")
    for row in found["growth"]:
        values = (f"{name} {_number(value)}" for name, value in row.items() if name not in ("of", "size"))
        lines.append(f"  {row['of']} {row['size']:>9,}   " + ", ".join(values))
    return "\n".join(lines) + "\n"


def _rows(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _rows(value, f"{prefix}{name}.")
        else:
            rows.append(f"  {prefix + name:44} {_number(value)}")
    return rows


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
