"""Products and cells of a single row, where arithmetic is not what takes the time.

A row is multiplied by a matrix as fast as the matrix is read, and what lies between two products takes no longer than
the calls for it. So the products are torch's, and the rest is NumPy on the same memory, whose calls cost a fifth.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from s2s.decoding.hypotheses import Floats
from s2s.decoding.stepper import Affine, CellStep

WHOLE = 64
"""Weights of 8 bits are filled up to a multiple of this, on either side: torch's product of them takes no other."""


class Row:
    """A vector as torch sees it (1, N) and as NumPy does (N,): one memory."""

    def __init__(self, size: int) -> None:
        self.tensor = torch.zeros(1, size)
        self.array: Floats = self.tensor.numpy()[0]


class Exact:
    """x W + b of one row, in float32."""

    def __init__(self, affine: Affine) -> None:
        self.weight, self.bias = affine
        self.outputs = len(self.bias)

    def __call__(self, row: Tensor, out: Tensor) -> None:
        """(1, inputs) -> into (1, outputs)."""
        torch.addmm(self.bias, row, self.weight, out=out)


class Rounded:
    """The same with weights of 8 bits, a scale for each output, and inputs in bfloat16: a quarter to read."""

    def __init__(self, affine: Affine) -> None:
        inputs, outputs = affine.weight.shape
        weight = nn.functional.pad(affine.weight.t(), (0, -inputs % WHOLE, 0, -outputs % WHOLE))
        scale = (weight.abs().amax(dim=1).clamp(min=1e-30) / 127).bfloat16()
        self.weight = (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8).contiguous()
        self.scale, self.bias, self.missing, self.outputs = scale, affine.bias, -inputs % WHOLE, outputs

    def __call__(self, row: Tensor, out: Tensor) -> None:
        """(1, inputs) -> into (1, outputs)."""
        if self.missing:
            row = nn.functional.pad(row, (0, self.missing))
        product = torch._weight_int8pack_mm(row.bfloat16(), self.weight, self.scale)
        out.copy_(product[:, : self.outputs]).add_(self.bias)  # a sum of two types takes twice as long

    @staticmethod
    @cache
    def is_right() -> bool:
        """Whether torch multiplies so on this processor: it has a way of its own for each, and they check nothing."""
        scattered = torch.arange(65.0 * 67).mul(12.9898).sin_()  # no row or column is like another
        affine = Affine(scattered[65:].view(65, 66) * torch.linspace(0.1, 1.0, 66), torch.linspace(0.0, 1.0, 66))
        out, exact = torch.empty(1, 66), torch.empty(1, 66)
        try:
            Rounded(affine)(scattered[None, :65], out)
        except (AttributeError, RuntimeError):  # another torch
            return False
        Exact(affine)(scattered[None, :65], exact)
        return bool(torch.allclose(out, exact, atol=0.02 * float(exact.abs().max())))


Product = Exact | Rounded


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
    """D cells of a kind in step, with their states; each has its own product with its hidden state."""

    def __init__(self, kind: Kind, across: list[Product]) -> None:
        """The products may be wider than the gates: what is left of them is `beyond`."""
        self.kind, self.size, width = kind
        count, size = len(across), kind.size
        hidden, gates = torch.zeros(count, size), torch.empty(count, width)
        product = torch.empty(count, across[0].outputs)
        self.products = [(one, hidden[number, None], product[number, None]) for number, one in enumerate(across)]
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

    def multiply(self) -> None:
        """The products with the hidden states."""
        for multiply, row, out in self.products:
            multiply(row, out)

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
