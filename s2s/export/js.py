"""A run as files for JavaScript: weights, tokenizers, and the module that runs them in a page or in Node."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2s.export.export import Weights
from s2s.export.packed import bundle_of
from s2s.files import new_folder
from s2s.run import RunFolder, json_text
from s2s.tasks import Recipe

WEB = Path(__file__).resolve().parents[1] / "web"


def write(run: RunFolder, recipe: Recipe, card: Mapping[str, Any], place: Path, weights: Weights) -> None:
    """Write a folder that `load` of s2s.js opens, with s2s.js in it; whole or not at all."""
    bundle, packed, files = bundle_of(run, recipe, card, weights)
    content = {"bundle.json": (json_text(bundle, indent=None) + "\n").encode(), "weights.bin": packed, **files}
    with new_folder(place) as folder:
        for name, each in content.items():
            (folder / name).write_bytes(each)
        for name in ("s2s.js", "s2s.d.ts"):
            shutil.copyfile(WEB / name, folder / name)
