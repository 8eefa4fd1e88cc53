"""A run folder: everything that a training leaves, and all that translating needs.

Weights are in safetensors files: no pickle is ever loaded. torch is imported only where weights are read or written.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from s2s.errors import RecipeError, RunError
from s2s.files import is_unfinished, write_bytes, write_text
from s2s.recipe.load import AnyTree, check_table, parse_table

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Model = TypeVar("Model", bound="nn.Module")
MODELS = {
    "translation": ("translator", "translate"),
    "language": ("language model", "generate"),
    "forecast": ("forecaster", "forecast"),
}
"""What a run of each task holds, and the command that uses it."""


class RunFolder:
    """The files of one run, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.toml"
        self.environment = path / "environment.json"
        self.best = path / "best.safetensors"
        self.last = path / "last"
        self.metrics = path / "metrics.jsonl"
        self.scores = path / "scores.json"
        self.plots = path / "plots"
        self.sweep = path / "sweep.json"
        self.series = path / "series.json"

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Whether the path is in use; a folder that is empty, or holds unfinished files only, is not."""
        if not self.path.is_dir():
            return self.path.exists()
        return not all(is_unfinished(path) for path in self.path.iterdir())

    def create(self) -> None:
        """Make the folder; one that is in use already is refused."""
        if self.exists():
            resume = "go on with --resume, or " if self.recipe.exists() else "it is no run folder; "
            raise RunError(f"{self}: exists already; {resume}choose another folder with --out")
        self.path.mkdir(parents=True, exist_ok=True)

    def discard(self) -> None:
        """Take back a folder in which no training began."""
        for path in (self.recipe, self.environment, self.series, *self.path.glob("tokenizer.*")):
            path.unlink(missing_ok=True)
        self.remove_unfinished()
        with suppress(OSError):
            self.path.rmdir()

    def remove_unfinished(self) -> None:
        """Remove the files that a killed process was writing."""
        for path in (*self.path.iterdir(), *self.plots.glob(".*")):
            if is_unfinished(path):
                path.unlink(missing_ok=True)

    def require_recipe(self) -> str:
        """The text of recipe.toml, or an error that says what the path is."""
        if not self.path.is_dir():
            raise RunError(f"{self}: no such run folder; train one with s2s train RECIPE --out {self}")
        try:
            return self.recipe.read_text(encoding="utf-8")
        except FileNotFoundError:
            runs = sorted(path.parent.name for path in self.path.glob("*/recipe.toml"))
            inside = f"; the runs in it are {', '.join(str(self.path / name) for name in runs)}" if runs else ""
            raise RunError(f"{self}: not a run folder (it has no recipe.toml){inside}") from None

    def require_best(self) -> Path:
        """The path of the best weights, or an error that says what to do."""
        if not self.best.exists():
            raise RunError(f"{self}: no weights yet (best.safetensors); the training has not reached a validation")
        return self.best


def read_run(run: RunFolder, trees: Mapping[str, type[AnyTree]]) -> AnyTree:
    """Recipe of a run folder; RunError for one that cannot be read, and for a task without a tree in `trees`."""
    text, origin = run.require_recipe(), str(run.recipe)
    try:
        table = parse_table(text, origin)
        task = table.get("task")
        if task in MODELS and task not in trees:
            wanted, (held, command) = " or ".join(MODELS[name][0] for name in trees), MODELS[task]
            raise RunError(f"{run}: holds no {wanted} but a {held}; use s2s {command}")
        return check_table(table, trees, origin=origin, folder=run.path)
    except RecipeError as problem:
        raise RunError(f"{problem}\n  a run is opened by its recipe: put back a copy, or train again") from None


def weights_of(model: "nn.Module") -> dict[str, "Tensor"]:
    """Every parameter by name; a shared one stands once."""
    return {name: weight.detach() for name, weight in model.named_parameters()}


def put_weights(model: "nn.Module", weights: Mapping[str, "Tensor"], *, origin: str) -> None:
    """Copy weights into a model; RunError where names or shapes are not the model's, or a number is not finite."""
    own = weights_of(model)
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())
        raise RunError(f"{origin}: holds the weights of another model (differs in {', '.join(odd[:3])})")
    for name, weight in own.items():
        if weight.shape != weights[name].shape:
            raise RunError(f"{origin}: {name} is {tuple(weights[name].shape)}, the recipe says {tuple(weight.shape)}")
        if not weights[name].isfinite().all():
            raise RunError(
                f"{origin}: {name} holds numbers that are not finite, as after a training that diverged; put back a"
                " copy, or train again with a lower training.learning_rate"
            )
    for name, weight in own.items():
        weight.copy_(weights[name])


def load_model(build: Callable[[], Model], path: Path) -> Model:
    """The model that `build` makes, on the CPU, with the weights of a file.

    It is built on the meta device: nothing is initialised, and no random number is taken from the caller's generator.
    """
    import torch

    with torch.device("meta"):
        model = build()
    empty = {weight: torch.nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype)) for weight in model.parameters()}
    for part in model.modules():  # not `to_empty`, which would make two of a shared weight
        for name, weight in list(part.named_parameters(recurse=False)):
            setattr(part, name, empty[weight])
    put_weights(model, load_tensors(path), origin=str(path))
    return model


def frozen(model: Model, device: "torch.device") -> Model:
    """A copy of a model to use on a device: no other's training changes it, and it has no gradients."""
    return deepcopy(model).to(device).eval().requires_grad_(False)


def save_tensors(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    """Write a safetensors file, whole or not at all."""
    import safetensors.torch

    ready = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(ready))


def load_tensors(path: Path) -> dict[str, "Tensor"]:
    """Read a safetensors file onto the CPU; a damaged one is an error that names it."""
    import safetensors.torch

    try:
        return safetensors.torch.load(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path}: no such file") from None
    except (safetensors.SafetensorError, ValueError, KeyError) as problem:
        raise RunError(
            f"{path}: damaged, it cannot be read as safetensors ({problem}); put back a copy, or train again"
        ) from None


class Metrics:
    """metrics.jsonl: one JSON object a line, in the order of the steps."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Append one line and flush it to the disk."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json_text(row, indent=None) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            problem.filename = str(self.path)
            raise

    def read(self) -> list[dict[str, Any]]:
        """All whole rows; a last line cut off by a kill is left out."""
        rows = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
                with suppress(json.JSONDecodeError):
                    rows.append(json.loads(line))
        return [row for row in rows if isinstance(row, dict)]

    def forget_after(self, step: int, rows: int | None = None) -> None:
        """Drop what a resumed training will do again: the rows after a step, and those after the first `rows`."""
        kept = [row for row in self.read() if row.get("step", 0) <= step][:rows]
        write_text(self.path, "".join(json_text(row, indent=None) + "\n" for row in kept))


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """JSON, with null for a number that is not finite: JSON has none, and a reader may refuse the whole text."""
    return json.dumps(_with_null(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _with_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_null(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_null(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def recorded(path: Path, *keys: str) -> Any:
    """Value below nested keys of a JSON file; None where the file or the key is missing, or the file is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            value = value[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all, with null for numbers that are not finite."""
    write_text(path, json_text(value) + "\n")


def number_text(value: float | None, form: str) -> str:
    """A number as text; "undefined" for None and what is not finite, of a zero divisor for example."""
    return "undefined" if value is None or not math.isfinite(value) else format(value, form)
