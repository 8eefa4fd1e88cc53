"""A run packed for JavaScript: its weights in one binary, and all else that s2s.js reads.

Matrices are int8 with a scale for each row, float16 or float32; those that are shared stand once.
"""

import re
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from s2s.errors import RunError
from s2s.export.export import Weights
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageRecipe
from s2s.run import RunFolder, load_model, weights_of
from s2s.tasks import Recipe
from s2s.text.tokenizer import load_tokenizers
from s2s.translation.engine import settled_decoding
from s2s.translation.model import build_seq2seq
from s2s.translation.recipe import TranslationRecipe

FORMAT = 1
"""Number of the layout of bundle.json; s2s.js refuses any but its own."""
_ALIGNED = 4
_CHARACTERS = 0x110000


class Packed(NamedTuple):
    """Weights of a model in one piece."""

    content: bytes
    """little-endian, each array from a multiple of 4 bytes on"""
    places: dict[str, dict[str, Any]]
    """of each weight `type`, `shape`, `offset` in bytes and, for int8, the offset of the `scales` of its rows"""


def bundle_of(
    run: RunFolder, recipe: Recipe, card: Mapping[str, Any], weights: Weights
) -> tuple[dict[str, Any], bytes, dict[str, bytes]]:
    """Content of `bundle.json`, of `weights.bin`, and of the tokenizers' files by name.

    RunError for a run that is missing or damaged, and for what JavaScript cannot hold.
    """
    if not isinstance(recipe, TranslationRecipe | LanguageRecipe):
        raise RunError(f"{run}: holds a forecaster, which JavaScript's runtime has no place for; choose --format onnx")
    source, target = load_tokenizers(run.path)
    sides = {"source": _tokenizer_file(run.path, "source"), "target": _tokenizer_file(run.path, "target")}
    bundle: dict[str, Any] = {"format": FORMAT, "task": recipe.task, "card": dict(card)}
    bundle["tokenizers"] = {side: path.name for side, path in sides.items()}
    model: nn.Module
    if isinstance(recipe, TranslationRecipe):
        sizes = {"source_vocabulary": source.vocabulary_size, "target_vocabulary": target.vocabulary_size}
        model = load_model(partial(build_seq2seq, recipe.model, **sizes), run.require_best())
        sizes |= {"encoder_units": recipe.model.encoder_units, "memory_size": recipe.model.memory_size}
        decoding = settled_decoding(run, recipe)
        ratio = {"max_length_ratio": decoding.longest_ratio}
        bundle |= {"decoding": decoding.model_dump(mode="json") | ratio, "max_tokens": recipe.data.max_tokens}
    else:
        sizes = {"vocabulary": source.vocabulary_size}
        model = load_model(partial(build_language_model, recipe.model, source.vocabulary_size), run.require_best())
        bundle |= {"cut": recipe.data.cut}
    if recipe.tokenizer.punctuation:
        bundle["word_characters"] = word_characters()
    packed = pack({name: weight.numpy() for name, weight in weights_of(model).items()}, weights)
    bundle["model"] = recipe.model.model_dump(mode="json", exclude={"dropout", "initialization"}) | sizes
    bundle["weights"] = {"type": weights, "bytes": len(packed.content), "index": packed.places}
    return bundle, packed.content, {path.name: path.read_bytes() for path in sides.values()}


def pack(weights: Mapping[str, NDArray[np.float32]], kind: Weights) -> Packed:
    """Pack weights by name; those that are no matrices stay in float32.

    RunError for a number that float16 cannot hold.
    """
    content, places = bytearray(), dict[str, dict[str, Any]]()

    def put(numbers: NDArray[Any]) -> int:
        content.extend(bytes(-len(content) % _ALIGNED))
        content.extend(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes())
        return len(content) - numbers.nbytes

    for name, weight in weights.items():
        stored: Weights = kind if weight.ndim == 2 else "float32"
        places[name] = {"type": stored, "shape": list(weight.shape)}
        if stored == "int8":
            rows, scales = quantized(weight)
            places[name] |= {"scales": put(scales), "offset": put(rows)}
        else:
            if np.abs(weight).max(initial=0.0) > np.finfo(stored).max:
                raise RunError(f"{name}: holds numbers that are too large for {stored}; choose --weights float32")
            places[name]["offset"] = put(weight.astype(stored))
    content.extend(bytes(-len(content) % _ALIGNED))
    return Packed(bytes(content), places)


def quantized(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(R, C) -> int8 (R, C) and the scale of each row (R,), whose product is the weight but for half a scale."""
    scales = np.abs(weight).max(axis=1, initial=0.0).astype(np.float32) / np.float32(127)
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.rint(weight / divisors[:, None]).clip(-127, 127).astype(np.int8), scales


def word_characters() -> list[int]:
    r"""Lengths of the runs of characters that are not `\w` in Python, and that are, in turn, over all of Unicode.

    They differ with the version of Unicode, so that a browser's own would read a line otherwise.
    """
    found = np.array([re.match(r"\w", chr(code)) is not None for code in range(_CHARACTERS)])
    ends = [0, *(np.flatnonzero(np.diff(found)) + 1).tolist(), _CHARACTERS]
    return [end - start for start, end in pairwise(ends)]


def _tokenizer_file(folder: Path, side: str) -> Path:
    """The file that `load_tokenizers` reads for a side."""
    stems = [f"tokenizer.{side}", "tokenizer"]
    paths = [folder / f"{stem}{suffix}" for stem in stems for suffix in (".model", ".json")]
    return next(path for path in paths if path.exists())
