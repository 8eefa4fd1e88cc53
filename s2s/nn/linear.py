"""Linear layers over all positions of a batch, whose number is another in almost every batch.

In bfloat16 on a CPU oneDNN compiles a kernel for each number of rows that it meets: some milliseconds the first time,
and 1.4 to 2 MB for as long as it is kept. So rows are padded there to one of few numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from s2s.device import product_type

WHOLE = 64
"""The rows of a product are padded to a multiple of this."""


def linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """(..., I) -> (..., O), as the layer gives it."""
    step = inputs.shape[-2] == 1
    if step or inputs.device.type != "cpu" or product_type(layer.weight) != torch.bfloat16:
        return nn.functional.linear(inputs, layer.weight, layer.bias)
    outputs: Tensor = _Linear.apply(inputs.flatten(0, -2), layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return outputs.view(*inputs.shape[:-1], -1)


def padded(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows (N, F) in a type, followed by rows of zero up to a multiple of WHOLE."""
    room = empty_padded(rows.new_empty(0, rows.shape[1], dtype=dtype), len(rows))
    room[: len(rows)] = rows
    return room


def empty_padded(like: Tensor, count: int, *, more: int = 0) -> Tensor:
    """Memory like (..., 0, F) for `count` rows, rounded up to a multiple of WHOLE, and `more`; zero after both."""
    *lead, _, size = like.shape
    room = like.new_empty(*lead, count + -count % WHOLE + more, size)
    room[..., count + more :, :] = 0.0
    return room


class _Linear(torch.autograd.Function):
    """Rows (N, I), weight (O, I) and bias (O,) or None -> (N, O), in the type of products."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype, count = product_type(weight), len(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            rows, matrix = padded(inputs, dtype), weight.to(dtype)
            ctx.save_for_backward(rows, matrix)
            ctx.biased = bias is not None
            return nn.functional.linear(rows, matrix, None if bias is None else bias.to(dtype))[:count]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        rows, matrix = ctx.saved_tensors
        gradient = padded(grad_outputs, matrix.dtype)
        grad_bias = gradient.sum(dim=0) if ctx.biased else None
        return (gradient @ matrix)[: len(grad_outputs)], gradient.t() @ rows, grad_bias
