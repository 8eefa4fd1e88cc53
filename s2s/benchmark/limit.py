"""The matrix products of a training step, and how long the machine takes for these alone."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from s2s.device import Compute
from s2s.nn.recurrent import Recurrent
from s2s.translation.model import Seq2Seq

REPEATS = 7
GATES = {nn.GRU: 3, nn.LSTM: 4, nn.RNN: 1}


class Product(NamedTuple):
    """`times` products of (rows, inner) by (inner, columns), `batch` of them side by side."""

    name: str
    rows: int
    inner: int
    columns: int
    times: int = 1
    batch: int = 1

    @property
    def multiply_adds(self) -> int:
        """Of all of them together."""
        return self.batch * self.times * self.rows * self.inner * self.columns

    def backward(self) -> "list[Product]":
        """Those of its gradients; that of a weight used at every step is one product over all steps."""
        into_inputs = self._replace(inner=self.columns, columns=self.inner)
        into_weight = self._replace(rows=self.inner, inner=self.rows * self.times, times=1)
        return [into_inputs, into_weight]


def products_of(model: Seq2Seq, rows: int, source: int, target: int) -> list[Product]:
    """The products of a forward pass over B rows of S source and T target positions."""
    decoder = model.decoder
    found = _of_stack(model.encoder.recurrent, rows, source, 0)
    found += [Product("bridge", rows, linear.in_features, linear.out_features) for linear in _linears(decoder.bridge)]
    found += _of_stack(decoder.asking, rows, target, 0)
    context = 0
    if decoder.attention is not None:
        context = model.encoder.recurrent.output_size
        query = decoder.asking.output_size
        keys = 0
        for name, part in decoder.attention.named_children():
            assert isinstance(part, nn.Linear)
            positions = {"key": source, "combine": source * target}.get(name, target)
            found.append(Product(name, rows * positions, part.in_features, part.out_features))
            keys = part.out_features if name == "key" else keys
        if decoder.attention.score in ("dot", "scaled_dot", "general"):
            found.append(Product("scores", target, keys or query, source, batch=rows))
        found.append(Product("context", target, source, context, batch=rows))
    if decoder.above is not None:
        found += _of_stack(decoder.above, rows, target, context)
    for name, linear in (("readout", decoder.readout), ("output", decoder.output)):
        found.append(Product(name, rows * target, linear.in_features, linear.out_features))
    return found


def _of_stack(recurrent: Recurrent, rows: int, steps: int, context: int) -> list[Product]:
    found = []
    for layer in recurrent.layers:
        assert isinstance(layer, nn.RNNBase)
        columns = GATES[type(layer)] * layer.hidden_size
        for _ in range(recurrent.directions):
            found.append(Product("inputs", rows * steps, layer.input_size, columns))
            found.append(Product("recurrence", rows, layer.hidden_size, columns, times=steps))
    return found


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def seconds_of(products: list[Product], compute: Compute) -> float:
    """How long the machine takes for some products alone: medians of several runs at each shape."""
    known: dict[tuple[int, ...], float] = {}
    for product in products:
        shape = (product.rows, product.inner, product.columns, product.batch)
        if shape not in known:
            known[shape] = _seconds_of_one(product, compute)
    shapes = ((p.rows, p.inner, p.columns, p.batch) for p in products)
    return sum(known[shape] * product.times for shape, product in zip(shapes, products, strict=True))


def _seconds_of_one(product: Product, compute: Compute) -> float:
    device = compute.device
    left = torch.randn(product.batch, product.rows, product.inner, device=device).to(compute.dtype)
    right = torch.randn(product.batch, product.inner, product.columns, device=device).to(compute.dtype)
    out = left.new_empty(product.batch, product.rows, product.columns)
    if product.batch == 1:
        left, right, out = left[0], right[0], out[0]
    multiply: Callable[..., torch.Tensor] = torch.mm if product.batch == 1 else torch.bmm
    least = max(1, int(2e8 / (product.multiply_adds / product.times)))  # so that the clock sees more than itself
    repeats = min(least, 50)
    found = []
    for _ in range(REPEATS):
        synchronize(compute)
        begin = time.perf_counter()
        for _ in range(repeats):
            multiply(left, right, out=out)
        synchronize(compute)
        found.append((time.perf_counter() - begin) / repeats)
    return median(found)


def synchronize(compute: Compute) -> None:
    """Wait for what a GPU was told to do."""
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
