"""Weights in one binary: matrices are int8 with a scale for each row, float16 or float32."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2s.errors import RunError

Weights = Literal["int8", "float16", "float32"]
_ALIGNED = 4


class Packed(NamedTuple):
    """Weights of a model in one piece."""

    content: bytes
    """little-endian, each array from a multiple of 4 bytes on"""
    places: dict[str, dict[str, Any]]
    """of each weight `type`, `shape`, `offset` in bytes and, for int8, the offset of the `scales` of its rows"""


def pack(weights: Mapping[str, NDArray[np.float32]], kind: Weights) -> Packed:
    """Pack weights by name; those that are no matrices stay in float32.

    RunError for a number that float16 cannot hold.
    """
    content, places = bytearray(), dict[str, dict[str, Any]]()

    def put(numbers: NDArray[Any]) -> int:
        content.extend(bytes(-len(content) % _ALIGNED))
        content.extend(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes())
        return len(content) - numbers.nbytes

    for name, weight in weights.items():
        stored: Weights = kind if weight.ndim == 2 else "float32"
        places[name] = {"type": stored, "shape": list(weight.shape)}
        if stored == "int8":
            rows, scales = quantized(weight)
            places[name] |= {"scales": put(scales), "offset": put(rows)}
        else:
            if np.abs(weight).max(initial=0.0) > np.finfo(stored).max:
                raise RunError(f"{name}: holds numbers that are too large for {stored}; choose --weights float32")
            places[name]["offset"] = put(weight.astype(stored))
    content.extend(bytes(-len(content) % _ALIGNED))
    return Packed(bytes(content), places)


def quantized(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(..., C) -> int8 (..., C) and the scale of each row (...,), whose product is the weight but for half a scale."""
    scales = np.abs(weight).max(axis=-1, initial=0.0) / np.float32(127)
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.rint(weight / divisors[..., None]).clip(-127, 127).astype(np.int8), scales
