"""Weights in safetensors files: no pickle is ever loaded."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from s2s.errors import RunError
from s2s.files import write_bytes


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter by name; a shared one stands once."""
    return {name: weight.detach() for name, weight in model.named_parameters()}


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: str) -> None:
    """Copy weights into a model; names and shapes must be those of the model."""
    own = weights_of(model)
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())
        raise RunError(f"{origin}: holds the weights of another model (differs in {', '.join(odd[:3])})")
    for name, weight in own.items():
        if weight.shape != weights[name].shape:
            raise RunError(f"{origin}: {name} is {tuple(weights[name].shape)}, the recipe says {tuple(weight.shape)}")
        weight.copy_(weights[name])


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


def average(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several sets of weights."""
    return {name: torch.stack([each[name] for each in weights]).mean(dim=0) for name in weights[0]}
