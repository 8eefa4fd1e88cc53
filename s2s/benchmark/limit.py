"""Matrix products of a training step, and the seconds of the machine for these alone."""

from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from s2s.benchmark.rates import seconds_of
from s2s.device import Compute

REPEATS = 3
aten = torch.ops.aten
FACTORS = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.addmm_: 1, aten.baddbmm: 1, aten.baddbmm_: 1}
"""Operators of matrix products, and the position of the left factor among their arguments."""


class Product(NamedTuple):
    """A product of (rows, inner) by (inner, columns), or a batch of them."""

    rows: int
    inner: int
    columns: int
    batch: int = 1

    @property
    def multiply_adds(self) -> int:
        """Multiplications of the whole batch, each with an addition."""
        return self.batch * self.rows * self.inner * self.columns


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counter of the matrix products that are computed inside, by shape."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[Product] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        """Note the operator's product, if it is one, and run it."""
        operator = function.overloadpacket
        if operator in FACTORS:
            left, right = given[FACTORS[operator] :][:2]
            batch = left.shape[0] if left.dim() == 3 else 1
            self.found[Product(left.shape[-2], left.shape[-1], right.shape[-1], batch)] += 1
        elif operator is aten._cudnn_rnn:  # always with the batch first, or packed
            self._add_recurrent(given[0], given[1], len(given[14]) or given[0].shape[1])
        elif operator is aten.mkldnn_rnn_layer:
            self._add_recurrent(given[0], given[1:3], given[0].shape[0])
        return function(*given, **(named or {}))

    def _add_recurrent(self, inputs: Tensor, weights: list[Tensor], steps: int) -> None:
        """Add the products of a fused recurrent layer and its gradients: the inputs' at once, the state's by step."""
        positions = inputs.numel() // inputs.shape[-1]
        matrices = [weight for weight in weights if weight.dim() == 2]
        for rows, times, own in ((positions, 1, matrices[::2]), (positions // steps, steps, matrices[1::2])):
            for columns, inner in (weight.shape for weight in own):
                self.found[Product(rows, inner, columns)] += times
                self.found[Product(rows, columns, inner)] += times
                self.found[Product(inner, positions, columns)] += 1


def seconds_of_product(product: Product, compute: Compute) -> float:
    """Seconds of the machine for one product alone: the median of several runs."""
    shapes = ((product.rows, product.inner), (product.inner, product.columns), (product.rows, product.columns))
    lead = () if product.batch == 1 else (product.batch,)
    left, right, out = (torch.randn(*lead, *shape, device=compute.device).to(compute.dtype) for shape in shapes)
    multiply: Callable[..., Tensor] = torch.bmm if lead else torch.mm
    repeats = min(max(1, int(2e8 / product.multiply_adds)), 50)  # so that the clock sees more than itself

    def run() -> None:
        for _ in range(repeats):
            multiply(left, right, out=out)

    return median(seconds_of(run, compute) for _ in range(REPEATS)) / repeats
