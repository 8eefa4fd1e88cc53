"""Benchmark of a recipe, as an object and as text."""

import logging
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from s2s.benchmark.decode_speed import SENTENCES, bench_decoding, cold_start
from s2s.benchmark.growth import bench_growth
from s2s.benchmark.train_speed import bench_training
from s2s.device import choose_compute, settle_process
from s2s.errors import DataError, RecipeError, RunError
from s2s.files import write_text
from s2s.nn.weights import save_tensors, weights_of
from s2s.recipe.load import recipe_toml
from s2s.run import RunFolder
from s2s.tasks import Recipe, recipe_of
from s2s.translation.bleu import bleu_tokenizer
from s2s.translation.recipe import TranslationRecipe
from s2s.translation.task import find, prepare
from s2s.translation.translator import Translator

log = logging.getLogger("s2s")

MINUTES = 5.0
SHARE = 0.9
"""Of the minutes that is planned for: the last round of a measurement may be longer than those before it."""


def benchmark(
    recipe: Recipe, run: Path, *, asked: bool, corpora: Path | None, device: str, minutes: float = MINUTES
) -> dict[str, Any]:
    """Measure a translation recipe on its own data and sizes, in so many minutes at most where it can be done in them.

    Lines are translated with the weights of `run` where it is there and of the same model and languages, as it must be
    when it was `asked` for; else with those that the measured training steps gave. Raises RecipeError for another task.
    """
    if not isinstance(recipe, TranslationRecipe):
        raise RecipeError(f"bench measures translators, and this recipe is for the task {recipe.task}")
    if asked:
        RunFolder(run).require_recipe()
        RunFolder(run).require_best()
    if recipe.variants:
        log.info("the recipe itself is measured, not its %s variants", len(recipe.variants))
    end = time.perf_counter() + SHARE * 60 * minutes
    splits = find(recipe, corpora)
    settle_process()
    compute = choose_compute(device, recipe.training.precision)
    with TemporaryDirectory() as folder, compute.entered():
        own = RunFolder(Path(folder))
        task = prepare(recipe, own, compute, splits)
        chosen = run if _fits(RunFolder(run), recipe, asked=asked) else own.path
        log.info("training: the recipe's steps, the textbook's, and the machine's matrix products")
        training = bench_training(task, compute, 0.4 * (end - time.perf_counter()))
        write_text(own.recipe, recipe_toml(recipe))
        save_tensors(own.best, weights_of(task.model))
        translator = Translator.load(chosen, device=str(compute.device))
        first = islice(splits.get("test", splits["validation"]).read(), SENTENCES)
        pairs = [(source, reference) for source, reference in first if source.strip()]
        if not pairs:
            raise DataError("bench: the first test sentences are all blank, so there is nothing to translate")
        sources, references = zip(*pairs, strict=True)
        tokenize = bleu_tokenizer(recipe, references).tokenizer
        log.info("translating up to %s lines", f"{len(sources):,}")
        decoding = bench_decoding(translator, sources, references, tokenize, 0.45 * (end - time.perf_counter()))
        cold = cold_start(chosen, sources[0], compute, 0.25 * (end - time.perf_counter()))
        decoding |= {**cold, "spread": decoding["spread"] | cold["spread"]}
        decoding["weights"] = "the benchmark's own steps" if chosen is own.path else str(chosen)
        log.info("growth: pairs, lengths and beams")
        growth = bench_growth(recipe, task, translator, sources, end - time.perf_counter())
    return {
        "machine": f"{_cpu()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "device": str(compute.device),
        "precision": f"{str(compute.dtype).removeprefix('torch.')} ({compute.reason})",
        "parameters": sum(weight.numel() for weight in weights_of(task.model).values()),
        "training": training,
        "decoding": decoding,
        "growth": growth,
    }


def _fits(run: RunFolder, recipe: TranslationRecipe, *, asked: bool) -> bool:
    """Whether the weights of a run are there, and are of the recipe's model, vocabulary and languages."""
    if not asked and not run.best.exists():
        return False
    other = _compared(recipe_of(run))
    odd = [(key, own) for key, own in _compared(recipe).items() if other.get(key) != own]
    if not odd:
        return True
    key, own = odd[0]
    differs = f"{run}: of another recipe ({key} is {other.get(key)}, here {own})"
    if asked:
        raise RunError(f"{differs}; give a run of this one, or leave out --run")
    log.warning("%s; lines are translated with the weights of the benchmark's own steps", differs)
    return False


def _compared(recipe: Recipe) -> dict[str, object]:
    """Values by key in which a run must agree with the recipe that is measured."""
    if not isinstance(recipe, TranslationRecipe):
        return {"task": recipe.task}
    model = recipe.model.model_dump(exclude={"dropout", "initialization"})
    return {
        "task": recipe.task,
        "data.source": recipe.data.source,
        "data.target": recipe.data.target,
        "tokenizer.vocabulary_size": recipe.tokenizer.vocabulary_size,
        **{f"model.{name}": value for name, value in model.items()},
    }


def _cpu() -> str:
    """Name of the CPU, where the system has it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


HEADINGS = {
    "training": "the textbook's is in float32, in the corpus's order; the limit, that of the model's matrix products",
    "decoding": "in float32 but for what is under bfloat16; the textbook goes line by line",
    "growth": "made-up pairs, random tokens, and some of the lines above",
}


def benchmark_text(found: Mapping[str, Any]) -> str:
    """Text for people, a line for each figure."""
    lines = [f"{found['machine']}; {found['device']}, {found['precision']}; torch {found['torch']}"]
    lines.append(f"{found['parameters']:,} weights")
    for part in ("training", "decoding"):
        lines += [f"\n{part} ({HEADINGS[part]})", *_rows(found[part], found[part]["spread"])]
    lines.append(f"\ngrowth ({HEADINGS['growth']})")
    for row in found["growth"]:
        figures = {name: value for name, value in row.items() if name not in ("of", "size", "spread")}
        spreads = row.get("spread", {})
        values = (f"{name} {_number(value)}{_spread(spreads, name)}" for name, value in figures.items())
        lines.append(f"  {row['of']} {row['size']:>9,}   " + ", ".join(values))
    return "\n".join(lines) + "\n"


def _rows(values: Mapping[str, Any], spreads: Mapping[str, Any], prefix: str = "") -> list[str]:
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _rows(value, spreads, f"{prefix}{name}.") if name != "spread" else []
        else:
            rows.append(f"  {prefix + name:44} {_number(value)}{_spread(spreads, prefix + name)}")
    return rows


def _spread(spreads: Mapping[str, Any], name: str) -> str:
    """The extremes of a figure and its rounds, where it has any."""
    found = spreads.get(name, spreads.get(name.replace(".", "_")))
    return "" if found is None else f" ({_number(found['low'])} to {_number(found['high'])}, {found['rounds']} rounds)"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
