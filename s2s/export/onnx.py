"""A run as ONNX graphs, with its tokenizers and bundle.json, which says how they are used."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from s2s.errors import RunError
from s2s.files import new_folder
from s2s.forecast.forecaster import saved_scaling
from s2s.forecast.model import Forecaster
from s2s.forecast.recipe import ForecastRecipe
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.run import RunFolder, json_text, load_model
from s2s.tasks import Recipe
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.text.tokenizer import load_tokenizers
from s2s.text.wordlist import ListTokenizer
from s2s.translation.bundle import FORMAT, NEXT, BundleDecoding
from s2s.translation.engine import settled_decoding
from s2s.translation.lengths import EXTRA_TOKENS
from s2s.translation.model import build_seq2seq

try:
    from s2s.export.steps import Part, encoder, forecaster_step, language_step, translator_step
except ModuleNotFoundError as missing:
    raise RunError(f"--format onnx: needs {missing.name}, which is missing; pip install 's2s[onnx]'") from None

TOKENS = {"pad": PAD, "unknown": UNKNOWN, "start": START, "end": END}


def write(run: RunFolder, recipe: Recipe, card: dict[str, object], place: Path, weights: str) -> None:
    """Write a folder with step.onnx, bundle.json, what tokenizers there are, and encoder.onnx for a translator."""
    if weights == "float16":
        raise RunError("--weights float16: onnxruntime computes in float32 or int8 on a CPU; give one of these")
    if isinstance(recipe, LanguageRecipe):
        parts, content = _language(run, recipe, int8=weights == "int8")
    elif isinstance(recipe, ForecastRecipe):
        parts, content = _forecast(run, recipe, int8=weights == "int8")
    else:
        parts, content = _translation(run, recipe, int8=weights == "int8")
    head = {"format": FORMAT, "task": recipe.task, "weights": weights, "next": NEXT, "states": parts["step"].states}
    shapes = {name: {"inputs": part.inputs, "outputs": part.outputs} for name, part in parts.items()}
    with new_folder(place) as folder:
        for name, part in parts.items():
            (folder / f"{name}.onnx").write_bytes(part.model.SerializeToString(deterministic=True))
        for path in run.path.glob("tokenizer.*"):
            shutil.copyfile(path, folder / path.name)
        bundle = json_text({**head, **content, "shapes": shapes, "card": card}) + "\n"
        (folder / "bundle.json").write_text(bundle, encoding="utf-8")


def _translation(run: RunFolder, recipe: Any, *, int8: bool) -> tuple[dict[str, Part], dict[str, Any]]:
    source, target = load_tokenizers(run.path)
    sizes = {"source_vocabulary": source.vocabulary_size, "target_vocabulary": target.vocabulary_size}
    model = load_model(partial(build_seq2seq, recipe.model, **sizes), run.require_best())
    first = encoder(model, int8=int8)
    decoding = settled_decoding(run, recipe)
    search = {name: getattr(decoding, name) for name in BundleDecoding._fields if name != "max_length_ratio"}
    content = {
        "tokens": TOKENS,
        "tokenizers": {side: _tokenizer(run, side) for side in ("source", "target")},
        "decoding": {**search, "max_length_ratio": decoding.longest_ratio, "extra_tokens": EXTRA_TOKENS},
        "max_tokens": recipe.data.max_tokens,
    }
    return {"encoder": first, "step": translator_step(model, first.outputs, int8=int8)}, content


def _tokenizer(run: RunFolder, side: str = "") -> str:
    """Name of a tokenizer's file."""
    return next(path.name for stem in (f"tokenizer.{side}", "tokenizer") for path in run.path.glob(f"{stem}.*"))


def _language(run: RunFolder, recipe: LanguageRecipe, *, int8: bool) -> tuple[dict[str, Part], dict[str, Any]]:
    tokenizer = load_tokenizers(run.path)[0]
    model = load_model(partial(build_language_model, recipe.model, tokenizer.vocabulary_size), run.require_best())
    closed = isinstance(tokenizer, ListTokenizer) and tokenizer.closed
    content = {"tokens": {} if closed else TOKENS, "tokenizers": {"text": _tokenizer(run)}, "cut": recipe.data.cut}
    return {"step": language_step(model, int8=int8)}, content


def _forecast(run: RunFolder, recipe: ForecastRecipe, *, int8: bool) -> tuple[dict[str, Part], dict[str, Any]]:
    model, data = load_model(partial(Forecaster, recipe.model, recipe.data), run.require_best()), recipe.data
    scaling = saved_scaling(run).as_json()
    content = {
        "inputs": data.read, "targets": data.targets, "window": data.window, "horizon": data.horizon,
        "steps": recipe.model.steps, "output": recipe.model.output, "quantiles": recipe.model.quantiles,
        "scaling": {name: scaling[name] for name in ("kind", "reader", "scaler")},
    }  # fmt: skip
    return {"step": forecaster_step(model, len(data.read), data.window, int8=int8)}, content
