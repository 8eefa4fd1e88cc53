"""A run as files for JavaScript: its weights in one binary, all else that s2s.js reads, and s2s.js itself."""

import re
import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from s2s.errors import RunError
from s2s.export.export import task_of
from s2s.export.packed import Weights, pack
from s2s.files import json_text, new_folder
from s2s.run import RunFolder
from s2s.tasks import Recipe
from s2s.text.tokenizer import load_tokenizers
from s2s.text.wordlist import ByteTokenizer, ListTokenizer, PunctuationTokenizer
from s2s.translation.recipe import TranslationRecipe

WEB = Path(__file__).resolve().parents[1] / "web"
"""Folder of the code, styles and templates of pages."""
FORMAT = 2
"""Number of the layout of bundle.json; s2s.js refuses any but its own."""
_CHARACTERS = 0x110000


def write(run: RunFolder, recipe: Recipe, card: Mapping[str, Any], place: Path, weights: Weights) -> None:
    """Write a folder that `load` of s2s.js opens, with s2s.js in it; whole or not at all."""
    bundle, packed, files = bundle_of(run, recipe, card, weights)
    content = {"bundle.json": (json_text(bundle, indent=None) + "\n").encode(), "weights.bin": packed, **files}
    with new_folder(place) as folder:
        for name, each in content.items():
            (folder / name).write_bytes(each)
        for name in ("s2s.js", "s2s.d.ts"):
            shutil.copyfile(WEB / name, folder / name)


def bundle_of(
    run: RunFolder, recipe: Recipe, card: Mapping[str, Any], weights: Weights
) -> tuple[dict[str, Any], bytes, dict[str, bytes]]:
    """Content of `bundle.json`, of `weights.bin`, and of the tokenizers' files by name.

    RunError for a run that is missing or damaged, and for what JavaScript cannot hold.
    """
    task = task_of(recipe)
    if not task.SCRIPTS:
        raise RunError(f"{run}: holds a forecaster, which JavaScript's runtime has no place for; choose --format onnx")
    if tags := getattr(recipe.data, "tags", ()):
        raise RunError(
            f"{run}: its sources have tags ({', '.join(tags)}), which JavaScript's runtime cannot give; choose"
            " --format onnx"
        )
    if isinstance(recipe, TranslationRecipe):
        asked = {"data.protect": recipe.data.protect, "decoding.copy_unknown": recipe.decoding.copy_unknown}
        for key in filter(asked.get, asked):
            raise RunError(f"{run}: was trained with {key}, which JavaScript's runtime has not; choose --format onnx")
    model, sizes, content = task.opened(run, recipe)
    bundle: dict[str, Any] = {"format": FORMAT, "task": recipe.task, "card": dict(card), **content}
    tokenizers = load_tokenizers(run.path)
    if any(isinstance(each, ListTokenizer) and each.normalization == "nmt_nfkc" for each in tokenizers):
        raise RunError(
            f"{run}: its words or characters are under nmt_nfkc, whose map JavaScript's runtime has in SentencePiece's"
            " models alone; choose --format onnx, or train with nfkc"
        )
    if any(isinstance(each, ByteTokenizer) for each in tokenizers):
        raise RunError(f"{run}: its tokens are bytes, which JavaScript's runtime has not; choose --format onnx")
    if any(isinstance(each, PunctuationTokenizer) for each in tokenizers):
        bundle["word_characters"] = word_characters()
    from s2s.nn.weights import weights_of  # which needs torch, and the page of a server that has bundles does not

    packed = pack({name: weight.numpy() for name, weight in weights_of(model).items()}, weights)
    bundle["model"] = recipe.model.model_dump(mode="json", exclude={"dropout", "initialization"}) | sizes
    bundle["weights"] = {"type": weights, "bytes": len(packed.content), "index": packed.places}
    return bundle, packed.content, {name: (run.path / name).read_bytes() for name in content["tokenizers"].values()}


def word_characters() -> list[int]:
    r"""Lengths of the runs of characters that are not `\w` in Python, and that are, in turn, over all of Unicode.

    They differ with the version of Unicode, so that a browser's own would read a line otherwise.
    """
    words = re.finditer(r"\w+", "".join(map(chr, range(_CHARACTERS))))
    ends = [0, *(end for word in words for end in word.span()), _CHARACTERS]
    return [end - start for start, end in pairwise(ends)]
