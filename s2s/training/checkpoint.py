"""Where a training stands: its progress, and `last/`, all that exact resumption needs.

Tensors are in files whose names have the step; checkpoint.json names them and is renamed into place last, so at any
instant it points at one whole checkpoint. Files that it does not name are removed after that.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from s2s.errors import RunError
from s2s.files import write_text
from s2s.nn.weights import load_tensors, put_weights, save_tensors, weights_of
from s2s.run import RunFolder

FORMAT = 1


@dataclass
class Progress:
    """Progress of a training; all of it is saved."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """batches of this epoch that are done"""
    best: float | None = None
    best_loss: float | None = None
    """loss of a token or value with the best weights, which decides where the metric is equal"""
    best_step: int = 0
    validated_step: int = 0
    validations_without_better: int = 0
    halvings: int = 0
    restarts: int = 0
    curve_start: int = 0
    """the step at which the curve of the learning rate began"""
    since_halving: int = 0
    validated: list[float] = field(default_factory=list)
    """values of the metric so far, with asgd until it averages"""
    averaged_from: int | None = None
    """the step from which asgd averages"""
    elapsed_seconds: float = 0.0
    validation_seconds: float = 0.0
    """the part of elapsed_seconds that went into validations"""
    target_tokens: int = 0
    logged_nats: float = 0.0
    logged_tokens: int = 0
    metrics_rows: int = 0
    """lines of metrics.jsonl; those after them belong to steps or validations that a resumed training does again"""
    finished: str = ""
    """why the training ended; empty while it goes on"""

    def curve(self, total_steps: int | None) -> tuple[int, int | None, int]:
        """The step within the curve of the learning rate, the steps of the curve, and the halvings in it."""
        return (
            self.step - self.curve_start,
            None if total_steps is None else total_steps - self.curve_start,
            self.halvings,
        )


class Checkpoint(NamedTuple):
    """One moment of a training."""

    tensors: dict[str, Tensor]
    """weights, optimizer, moving average and random states, under prefixes"""
    progress: dict[str, Any]
    """a `Progress` as plain numbers"""
    averaged: list[str]
    """names of the files of past validations' weights"""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in place of the one before."""
    name = f"state-{checkpoint.progress['step']}.safetensors"
    save_tensors(folder / name, checkpoint.tensors)
    index = {"format": FORMAT, "state": name, "averaged": checkpoint.averaged, "progress": checkpoint.progress}
    # a score that is not a number comes back as one, so this may be what only Python reads
    write_text(folder / "checkpoint.json", json.dumps(index, indent=2) + "\n")
    for path in folder.iterdir():
        if path.name not in (name, "checkpoint.json", *checkpoint.averaged):
            path.unlink(missing_ok=True)


def require_unbegun(run: RunFolder) -> None:
    """RunError for a run without a checkpoint that has more than a training leaves before its first."""
    states = [path for path in run.last.glob("*.safetensors") if path.name != "state-0.safetensors"]
    for path in (run.best, run.scores, run.metrics, run.sweep, *states):
        if path.exists():
            raise RunError(
                f"{run.last / 'checkpoint.json'}: missing, so the training cannot go on, and a new one would overwrite"
                f" {path.relative_to(run.path)}; put back a copy of {run.last}, or start a new run with --out"
            )


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The last whole checkpoint; None where none was saved yet."""
    path = folder / "checkpoint.json"
    if not path.exists():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        version, name = index["format"], index["state"]
        averaged, progress = list(index["averaged"]), dict(index["progress"])
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path}: damaged; put back a copy of {folder}, or start a new run with --out") from None
    if version != FORMAT:
        raise RunError(f"{path}: has format {version}, this version of s2s reads {FORMAT}")
    require_file(folder / name)
    return Checkpoint(load_tensors(folder / name), progress, averaged)


def require_file(path: Path) -> None:
    """RunError for a file of a checkpoint that is not there."""
    if not path.exists():
        raise RunError(
            f"{path}: no such file, and the training cannot go on without it (was the run copied while a training wrote"
            " it?); put back a copy, or start a new run with --out"
        )


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights, the optimizer's state by field and parameter, and the states of random generators, under prefixes."""
    tensors = {f"model.{name}": weight for name, weight in weights_of(model).items()}
    for name, weight in model.named_parameters():
        fields = optimizer.state.get(weight, {}).items()
        tensors |= {f"optimizer.{field}.{name}": value for field, value in fields if isinstance(value, Tensor)}
    tensors["random.cpu"] = torch.get_rng_state()
    device = next(model.parameters()).device
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    return tensors


def put_state(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], *, origin: str) -> None:
    """Restore what `state_of` gave; RunError where the weights are another model's."""
    put_weights(model, under("model.", tensors), origin=origin)
    for name, weight in model.named_parameters():
        keys = {field: f"optimizer.{field}.{name}" for field in ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")}
        state = {field: tensors[key].to(weight.device) for field, key in keys.items() if key in tensors}
        if state:
            optimizer.state[weight] = state
    torch.set_rng_state(tensors["random.cpu"])
    device = next(model.parameters()).device
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, named without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def average(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several sets of weights."""
    return {name: torch.stack([each[name] for each in weights]).mean(dim=0) for name in weights[0]}
