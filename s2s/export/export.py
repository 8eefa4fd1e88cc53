"""A run written in another format, whole or not at all."""

from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast

from s2s.errors import RunError
from s2s.export.card import card_of
from s2s.run import RunFolder
from s2s.tasks import Recipe, recipe_of

Format = Literal["html", "js", "onnx"]
Weights = Literal["int8", "float16", "float32"]


class FormatModule(Protocol):
    """What `s2s.export.FORMAT` answers."""

    def write(self, run: RunFolder, recipe: Recipe, card: dict[str, object], place: Path, weights: Weights) -> None:
        """Write the run to a place that does not exist; RunError for what the format cannot hold."""


def export(run: str | Path, place: str | Path, form: Format = "html", weights: Weights = "int8") -> None:
    """Write a run folder to a file (html) or a folder (js, onnx).

    RunError for a run that is missing, damaged or holds what the format cannot, and for a place that is in use.
    """
    folder, place = RunFolder(Path(run)), Path(place)
    if place.exists():
        raise RunError(f"{place}: exists already; remove it, or choose another place")
    recipe = recipe_of(folder)
    module = cast(FormatModule, import_module(f"s2s.export.{form}"))
    module.write(folder, recipe, card_of(folder, recipe), place, weights)
