"""Products with weights and recurrent cells of the search, for tensors and for NumPy arrays alike.

With one sentence on a CPU, products are bound by memory and the calls between them take as long. There arrays are
NumPy's, whose calls cost a third of torch's, and only the products are torch's, on the same memory.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from s2s.translation.search.hypotheses import Floats, require_numbers

Array: TypeAlias = Any
"""A Tensor, or with one sentence on a CPU a NumPy array of float32."""
MakeAffine = Callable[[Tensor, Tensor], Callable[[Array], Array]]
"""weight (outputs, inputs), bias (outputs,) -> x W + b"""
FEW_ROWS = 8
"""Rows at most that FBGEMM multiplies faster in int8 than oneDNN does with AVX-512; without it it always does."""


class Affine:
    """x W + b with weights of one type; a wider bias makes wider outputs."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, bias_dtype: torch.dtype | None = None) -> None:
        """`weight` is (outputs, inputs), as torch stores it."""
        self.weight, self.bias = weight.detach().to(dtype).t().contiguous(), bias.detach().to(bias_dtype or dtype)

    def __call__(self, inputs: Array) -> Array:
        """(N, inputs) -> (N, outputs)."""
        if isinstance(inputs, np.ndarray):  # of float32, as the weights are then
            return torch.addmm(self.bias, torch.from_numpy(inputs), self.weight).numpy()
        if self.bias.dtype == self.weight.dtype:
            return torch.addmm(self.bias, inputs, self.weight)
        return torch.mm(inputs, self.weight).to(self.bias.dtype).add_(self.bias)


class Int8Affine:
    """x W + b in integers: weights in int8 with a scale for each output, x in 7 bits with one scale for all its rows.

    With 8 bits the sums of CPUs without VNNI would overflow; so all CPUs compute the same.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """RunError for weights that are not numbers."""
        exact = weight.detach()
        scales = exact.abs().amax(dim=1).clamp(min=1e-30) / 127
        require_numbers(scales.numpy())
        with warnings.catch_warnings():  # its tensors may go in another torch
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
            zeros = torch.zeros(len(exact), dtype=torch.long)
            rounded = torch.quantize_per_channel(exact, scales, zeros, 0, torch.qint8)
        self.few = _packed(rounded, bias.detach(), "x86")
        wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        self.many = _packed(rounded, bias.detach(), "onednn") if wide else self.few

    def __call__(self, inputs: Array) -> Array:
        """(N, inputs) -> (N, outputs)."""
        if isinstance(inputs, np.ndarray):
            return self(torch.from_numpy(inputs)).numpy()
        packed = self.few if len(inputs) <= FEW_ROWS else self.many
        return torch.ops.quantized.linear_dynamic(inputs, packed, True)


def _packed(weight: Tensor, bias: Tensor, engine: str) -> object:
    """Weights for the products of one of torch's engines, which is chosen for the process and so put back."""
    engines = torch.backends.quantized
    before, engines.engine = engines.engine, engine
    try:
        return torch.ops.quantized.linear_prepack(weight, bias)
    finally:
        engines.engine = before


class Paired:
    """x W + b for each direction, which have a row and weights of their own: (D, inputs) -> (D, outputs)."""

    def __init__(self, affines: Sequence[Any]) -> None:
        self.weight = torch.stack([each.weight for each in affines])
        self.bias = torch.stack([each.bias for each in affines])[:, None]

    def __call__(self, inputs: Floats) -> Floats:
        outputs: Floats = torch.baddbmm(self.bias, torch.from_numpy(inputs[:, None]), self.weight).numpy()
        return outputs[:, 0]


class Cell:
    """One step of an Elman, GRU or LSTM layer; in an encoder, of its directions, a row each."""

    def __init__(self, layer: nn.RNNBase, affine: MakeAffine, below: int | None = None) -> None:
        """`below` are the inputs that it multiplies, where the layer has more of them."""
        self.kind, self.size = type(layer), layer.hidden_size
        self.parts = 2 if isinstance(layer, nn.LSTM) else 1
        weights = dict(layer.named_parameters())
        endings = ("_l0", "_l0_reverse")[: 2 if layer.bidirectional else 1]
        self.inputs = [affine(weights["weight_ih" + each][:, :below], weights["bias_ih" + each]) for each in endings]
        self.into = self.inputs[0]
        across = [affine(weights["weight_hh" + ending], weights["bias_hh" + ending]) for ending in endings]
        self.across = across[0] if len(across) == 1 else Paired(across)

    def advance(self, gates: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """The inputs' share of the gates (N, G), a scratch, and (h,) or (h, c), (N, H) each -> the next state."""
        product, size = self.across(state[0]), self.size
        if self.kind is nn.GRU:
            opened, candidate, inner = gates[:, : 2 * size], gates[:, 2 * size :], product[:, 2 * size :]
            opened += product[:, : 2 * size]
            sigmoid(opened)  # the reset and the update gate
            inner *= opened[:, :size]
            candidate += inner
            return (between(tanh(candidate), state[0], opened[:, size:]),)
        gates += product
        if self.kind is nn.RNN:
            return (tanh(gates),)
        take, forget, candidate, give = (gates[:, at : at + size] for at in range(0, 4 * size, size))
        cell = sigmoid(forget) * state[1] + sigmoid(take) * tanh(candidate)
        return sigmoid(give) * (np.tanh(cell) if isinstance(cell, np.ndarray) else cell.tanh()), cell


def between(first: Array, second: Array, share: Array) -> Array:
    """first + share (second - first)."""
    if not isinstance(first, np.ndarray):
        return torch.lerp(first, second, share)
    mixed = second - first
    mixed *= share
    mixed += first
    return mixed


def tanh(values: Array) -> Array:
    return np.tanh(values, out=values) if isinstance(values, np.ndarray) else values.tanh_()


def sigmoid(values: Array) -> Array:
    """In place, by torch's function, since NumPy has none."""
    (torch.from_numpy(values) if isinstance(values, np.ndarray) else values).sigmoid_()
    return values
