"""Products and cells of a single row, where arithmetic is not what takes the time.

A row is multiplied by a matrix as fast as the matrix is read, and what lies between two products takes no longer than
the calls for it. So the products are torch's, and the rest is NumPy on the same memory, whose calls cost a fifth.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from s2s.translation.search.hypotheses import Floats
from s2s.translation.search.step import Affine, CellStep

WHOLE = 64
"""Weights of 8 bits are filled up to a multiple of this, on either side: torch's product of them takes no other."""


Multiply = Callable[[], object]
"""A product onto the memory that it was made for."""


class Row:
    """A vector as torch sees it (1, N) and as NumPy does (N,): one memory."""

    def __init__(self, size: int) -> None:
        self.tensor = torch.zeros(1, size)
        self.array: Floats = self.tensor.numpy()[0]


class Exact:
    """x W + b of one row, in float32."""

    def __init__(self, affine: Affine) -> None:
        self.weight, self.bias = affine
        self.outputs = self.room = len(self.bias)

    def onto(self, row: Tensor, out: Tensor) -> Multiply:
        """From (1, inputs) into (1, outputs)."""
        return partial(torch.addmm, self.bias, row, self.weight, out=out)


class Apart:
    """The same of D rows, each with a W and b of its own."""

    def __init__(self, affines: list[Affine]) -> None:
        self.weight = torch.stack([affine.weight for affine in affines])
        self.bias = torch.stack([affine.bias for affine in affines])[:, None]
        self.outputs = self.room = self.bias.shape[2]

    def onto(self, row: Tensor, out: Tensor) -> Multiply:
        """From (D, inputs) into (D, outputs)."""
        return partial(torch.baddbmm, self.bias, row[:, None], self.weight, out=out[:, None])


class Rounded:
    """x W + b of one row with weights of 8 bits, a scale for each output, and x in bfloat16: a quarter to read."""

    def __init__(self, affine: Affine) -> None:
        self.inputs, self.outputs = affine.weight.shape
        self.room = self.outputs + -self.outputs % WHOLE
        """what memory is best as wide as; `outputs` of it are filled"""
        weight = nn.functional.pad(affine.weight.t(), (0, -self.inputs % WHOLE, 0, self.room - self.outputs))
        scale = (weight.abs().amax(dim=1).clamp(min=1e-30) / 127).bfloat16()
        self.weight = (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8).contiguous()
        self.scale, self.bias = scale, affine.bias.numpy()

    def onto(self, row: Tensor, out: Tensor) -> Multiply:
        """From (1, inputs) into (1, outputs) or (1, room)."""
        filled = row.new_zeros(1, self.weight.shape[1], dtype=torch.bfloat16)
        rounded, sums = filled[:, : self.inputs], out.numpy()[0, : self.outputs]
        cut = out.shape[1] < self.room

        def multiply() -> None:
            rounded.copy_(row)
            product = torch._weight_int8pack_mm(filled, self.weight, self.scale)
            out.copy_(product[:, : self.outputs] if cut else product)
            np.add(sums, self.bias, out=sums)

        return multiply

    @staticmethod
    @cache
    def is_right() -> bool:
        """Whether torch multiplies so on this processor: it has a way of its own for each, and they check nothing."""
        scattered = torch.arange(65.0 * 67).mul(12.9898).sin_()  # no row or column is like another
        affine = Affine(scattered[65:].view(65, 66) * torch.linspace(0.1, 1.0, 66), torch.linspace(0.0, 1.0, 66))
        near, exact = torch.empty(1, 66), torch.empty(1, 66)
        try:
            Rounded(affine).onto(scattered[None, :65], near)()
        except (AttributeError, RuntimeError):  # another torch
            return False
        Exact(affine).onto(scattered[None, :65], exact)()
        return bool(torch.allclose(near, exact, atol=0.02 * float(exact.abs().max())))


Product = Exact | Apart | Rounded


def side_by_side(products: list[Affine]) -> Affine:
    """Products with the same vector as one."""
    weights, biases = zip(*products, strict=True)
    return Affine(torch.cat(weights, dim=1), torch.cat(biases))


class Kind(NamedTuple):
    """What a cell is."""

    layer: type[nn.RNNBase]
    size: int
    """hidden units"""
    width: int
    """of all gates"""

    @classmethod
    def of(cls, cell: CellStep) -> "Kind":
        return cls(cell.kind, cell.size, cell.across.weight.shape[1])


class Cells:
    """D cells of a kind in step, with their states."""

    def __init__(self, kind: Kind, across: Product, count: int = 1) -> None:
        """`across` may be wider than the gates: what is left of it is `beyond`."""
        self.kind, self.size, width = kind
        size = kind.size
        hidden, gates, product = torch.zeros(count, size), torch.empty(count, width), torch.empty(count, across.outputs)
        self.multiply = across.onto(hidden, product)
        """the product with the hidden states"""
        self.hidden: Floats = hidden.numpy()
        self.across: Floats = product.numpy()[:, :width]
        """(D, G)"""
        self.beyond: Floats = product.numpy()[:, width:]
        self.gates: Floats = gates.numpy()
        """(D, G), the inputs' share, which a step uses up"""
        self.cell: Floats | None = np.zeros((count, size), np.float32) if self.kind is nn.LSTM else None
        # NumPy has no sigmoid, but torch
        self.opened_tensor, self.give_tensor = gates[:, : 2 * size], gates[:, 3 * size :]
        self.opened, self.reset, self.update = (
            self.gates[:, begin:end] for begin, end in ((0, 2 * size), (0, size), (size, 2 * size))
        )
        self.candidate, self.give = self.gates[:, 2 * size : 3 * size], self.gates[:, 3 * size :]
        self.opening, self.inner = self.across[:, : 2 * size], self.across[:, 2 * size :]

    def clear(self) -> None:
        """Stand before the first input."""
        self.hidden.fill(0.0)
        if self.cell is not None:
            self.cell.fill(0.0)

    def advance(self) -> None:
        """The next states, from the inputs' share of the gates and the product with the states."""
        if self.kind is nn.GRU:
            self.opened += self.opening
            self.opened_tensor.sigmoid_()
            self.inner *= self.reset
            self.candidate += self.inner
            np.tanh(self.candidate, out=self.candidate)
            self.hidden -= self.candidate
            self.hidden *= self.update
            self.hidden += self.candidate
            return
        self.gates += self.across
        if self.cell is None:
            np.tanh(self.gates, out=self.hidden)
            return
        self.opened_tensor.sigmoid_()
        self.give_tensor.sigmoid_()
        np.tanh(self.candidate, out=self.candidate)
        self.candidate *= self.reset  # of an LSTM, the input gate; its update is the forget gate
        self.cell *= self.update
        self.cell += self.candidate
        np.tanh(self.cell, out=self.hidden)
        self.hidden *= self.give
