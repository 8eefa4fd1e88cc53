"""Weights come back from their packing as near as their type allows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from s2s.errors import RunError
from s2s.export.packed import Packed, Weights, pack, quantized


def unpacked(packed: Packed, name: str) -> NDArray[np.float32]:
    entry = packed.places[name]
    count = int(np.prod(entry["shape"]))
    stored = np.frombuffer(packed.content, f"<{np.dtype(entry['type']).str[1:]}", count, entry["offset"])
    numbers = stored.reshape(entry["shape"]).astype(np.float32)
    if "scales" in entry:
        numbers *= np.frombuffer(packed.content, "<f4", len(numbers), entry["scales"])[:, None]
    return numbers


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 9))
def test_int8_is_off_by_half_a_scale_at_most(rows: int, columns: int, seed: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    weight[0] = 0
    whole, scales = quantized(weight)
    assert np.abs(whole).max(axis=1).tolist() == [0] + [127] * (rows - 1)
    assert (np.abs(whole * scales[:, None] - weight) <= 0.501 * scales[:, None]).all()


@pytest.mark.parametrize(("kind", "error"), [("int8", 0.02), ("float16", 2e-3), ("float32", 0.0)])
def test_weights_come_back_by_name(kind: Weights, error: float) -> None:
    random = np.random.default_rng(1)
    weights = {f"{rows}": random.normal(size=(rows, 3)).astype(np.float32) for rows in (1, 2, 5)}
    weights["bias"] = random.normal(size=7).astype(np.float32)
    packed = pack(weights, kind)
    assert packed.places["bias"]["type"] == "float32"
    assert all(entry[key] % 4 == 0 for entry in packed.places.values() for key in ("offset", "scales") if key in entry)
    for name, weight in weights.items():
        np.testing.assert_allclose(unpacked(packed, name), weight, atol=0 if name == "bias" else error, rtol=0)


def test_numbers_beyond_float16_are_refused_by_name() -> None:
    with pytest.raises(RunError, match="large: holds numbers that are too large for float16"):
        pack({"large": np.full((1, 2), 1e6, np.float32)}, "float16")
