"""Weights of a model: read, copied, and in safetensors files, so that no pickle is ever loaded."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from s2s.errors import RunError
from s2s.files import write_bytes

Model = TypeVar("Model", bound=nn.Module)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter by name; a shared one stands once."""
    return {name: weight.detach() for name, weight in model.named_parameters()}


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: str) -> None:
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
    with torch.device("meta"):
        model = build()
    empty = {weight: torch.nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype)) for weight in model.parameters()}
    for part in model.modules():  # not `to_empty`, which would make two of a shared weight
        for name, weight in list(part.named_parameters(recurse=False)):
            setattr(part, name, empty[weight])
    put_weights(model, load_tensors(path), origin=str(path))
    return model


def frozen(model: Model, device: torch.device) -> Model:
    """A copy of a model to use on a device: no other's training changes it, and it has no gradients."""
    return deepcopy(model).to(device).eval().requires_grad_(False)


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, whole or not at all."""
    ready = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(ready))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU; a damaged one is an error that names it."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path}: no such file") from None
    except (safetensors.SafetensorError, ValueError, KeyError) as problem:
        raise RunError(
            f"{path}: damaged, it cannot be read as safetensors ({problem}); put back a copy, or train again"
        ) from None
