"""A run written in another format, whole or not at all."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

from s2s.errors import RunError
from s2s.export.card import card_of
from s2s.export.packed import Weights
from s2s.run import RunFolder
from s2s.tasks import Recipe, recipe_of

if TYPE_CHECKING:
    from s2s.export.graph import Graph

Format = Literal["html", "js", "onnx"]


class Opened(NamedTuple):
    """What the formats write of a run."""

    model: Any
    sizes: dict[str, int]
    """of the model, beside those of its recipe"""
    content: dict[str, Any]
    """of bundle.json, in both formats that have one; `tokenizers` are names of files in the run folder"""


class TaskModule(Protocol):
    """What `s2s.export.TASK` answers. Imports torch."""

    @property
    def SCRIPTS(self) -> tuple[str, ...]:
        """Of its page; none for a task that JavaScript's runtime has no place for."""

    def opened(self, run: RunFolder, recipe: Any, /) -> Opened:
        """A run's model and settings; RunError for one that is damaged."""

    def graphs(self, model: Any, recipe: Any, /, *, int8: bool) -> "dict[str, Graph]":
        """ONNX graphs by name, of which one is the step."""


def task_of(recipe: Recipe) -> TaskModule:
    """Module of a recipe's task."""
    return cast(TaskModule, import_module(f"s2s.export.{recipe.task}"))


def tokenizer_names(run: RunFolder, *sides: str) -> dict[str, str]:
    """Name of the file that `load_tokenizers` reads for each side."""
    places = {side: [f"{stem}{end}" for stem in (f"tokenizer.{side}", "tokenizer") for end in (".model", ".json")]
              for side in sides}  # fmt: skip
    return {side: next(name for name in names if (run.path / name).exists()) for side, names in places.items()}


def export(run: str | Path, place: str | Path, form: Format = "html", weights: Weights = "int8") -> None:
    """Write a run folder to a file (html) or a folder (js, onnx).

    RunError for a run that is missing, damaged or holds what the format cannot, and for a place that is in use
    or has a name of another format.
    """
    folder, place = RunFolder(Path(run)), Path(place)
    if place.exists():
        raise RunError(f"{place}: exists already; remove it, or choose another place")
    if form == "html" and place.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"{place}: a page's name ends in .html, or no browser opens it; or give --format js or onnx")
    if form != "html" and place.suffix.lower() in (".html", ".htm"):
        raise RunError(f"{place}: --format {form} writes a folder, and this is the name of a page; give --format html")
    recipe = recipe_of(folder)
    import_module(f"s2s.export.{form}").write(folder, recipe, card_of(folder, recipe), place, weights)
