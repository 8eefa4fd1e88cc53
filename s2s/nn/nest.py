"""Nests of tuples, NamedTuples, None and tensors: what states and outputs are."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor


def tensors_of(nest: Any) -> Iterator[Tensor]:
    """All tensors of a nest."""
    if isinstance(nest, Tensor):
        yield nest
    elif nest is not None:
        for part in nest:
            yield from tensors_of(part)


def rebuilt(nest: Any, tensors: Iterator[Tensor]) -> Any:
    """The same nest with other tensors, in the order of `tensors_of`."""
    if isinstance(nest, Tensor):
        return next(tensors)
    if nest is None:
        return None
    parts = [rebuilt(part, tensors) for part in nest]
    return type(nest)(*parts) if hasattr(nest, "_fields") else tuple(parts)
