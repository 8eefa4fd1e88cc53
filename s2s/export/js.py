"""A run as files for JavaScript: weights, tokenizers, and the module that runs them in a page or in Node."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2s.errors import RunError
from s2s.export.export import Weights
from s2s.export.packed import bundle_of
from s2s.run import RunFolder, json_text
from s2s.tasks import Recipe

WEB = Path(__file__).resolve().parents[1] / "web"


def write(run: RunFolder, recipe: Recipe, card: Mapping[str, Any], place: Path, weights: Weights) -> None:
    """Write a folder that `load` of s2s.js opens, with s2s.js in it; whole or not at all."""
    bundle, packed, files = bundle_of(run, recipe, card, weights)
    content = {"bundle.json": (json_text(bundle, indent=None) + "\n").encode(), "weights.bin": packed, **files}
    write_folder(place, content | {name: (WEB / name).read_bytes() for name in ("s2s.js", "s2s.d.ts")})


def write_folder(place: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a new folder, by name; it is whole or absent, and nothing is left beside it."""
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(place)
    except OSError as problem:
        raise RunError(f"{place}: cannot be written ({problem.strerror}); choose another place") from problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
