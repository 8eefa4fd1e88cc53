"""Linear layers over all positions of a batch, whose number is another in almost every batch.

In bfloat16 on a processor oneDNN prepares code for each number of rows that it meets: some milliseconds the first time,
and a tenth of a megabyte for as long as it is kept. So rows are filled up there to one of few numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from s2s.device import product_type

WHOLE = 64
"""Rows of a product are filled up to a multiple of this."""


def linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """(..., I) -> (..., O), as the layer gives it."""
    step = inputs.shape[-2] == 1
    if step or inputs.device.type != "cpu" or product_type(layer.weight) != torch.bfloat16:
        plain: Tensor = layer(inputs)
        return plain
    outputs: Tensor = _Linear.apply(inputs.flatten(0, -2), layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return outputs.view(*inputs.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    """Rows (N, I), weight (O, I) and bias (O,) or None -> (N, O), in the type of products."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype, count = product_type(weight), len(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            rows, matrix = _filled(inputs, dtype), weight.to(dtype)
            ctx.save_for_backward(rows, matrix)
            ctx.biased = bias is not None
            if bias is None:
                return (rows @ matrix.t())[:count]
            return torch.addmm(bias.to(dtype), rows, matrix.t())[:count]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, matrix = ctx.saved_tensors
        slope = _filled(slopes[0], matrix.dtype)
        into_bias = slope.sum(dim=0) if ctx.biased else None
        return (slope @ matrix)[: len(slopes[0])], slope.t() @ rows, into_bias


def _filled(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, F) -> the same of that type, N filled up with rows of zero."""
    room = filled_up(rows.new_empty(0, rows.shape[1], dtype=dtype), len(rows))
    room[: len(rows)] = rows
    return room


def filled_up(like: Tensor, count: int, *, more: int = 0) -> Tensor:
    """(..., 0, F) -> room for `count` rows, filled up to a multiple of WHOLE, and `more`; zero behind both."""
    *lead, _, size = like.shape
    room = like.new_empty(*lead, count + -count % WHOLE + more, size)
    room[..., count + more :, :] = 0.0
    return room
