"""Cross-entropy of a linear output layer, in chunks that never keep all logits."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s.nn.precision import product_type

CHUNK_POSITIONS = 256
"""Positions whose logits exist at one time, so that they stay in the caches of a processor."""
PRODUCT_POSITIONS = 1024
"""Positions whose slopes are held for one product with the weight's gradient."""
SMALLEST_CHUNK = 32


class Loss(NamedTuple):
    """Sums over tokens, in nats."""

    smoothed: Tensor
    """the loss to minimise, a scalar with a gradient"""
    nats: Tensor
    """the negative log-likelihood of the targets, a scalar without a gradient"""
    tokens: int


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float = 0.0) -> Loss:
    """(N, E), (V, E), (V,), (N,) -> the summed cross-entropy of softmax(hidden Wᵀ + b), label-smoothed.

    Equals `torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing,
    reduction="sum")` in value and gradients; the gradients are made in the forward pass, chunk by chunk,
    so memory is chunk x V and not N x V. Under autocast its products are in the autocast type.
    """
    smoothed, nats = _LinearCrossEntropy.apply(hidden, weight, bias, targets, smoothing)  # type: ignore[no-untyped-call]
    return Loss(smoothed, nats, targets.numel())


def _chunks(begin: int, end: int, largest: int) -> Iterator[slice]:
    """Positions in whole chunks, then in powers of two: few shapes, for which a library has code ready."""
    while begin < end:
        size = largest
        while size > max(end - begin, SMALLEST_CHUNK):
            size //= 2
        yield slice(begin, min(begin + size, end))
        begin += size


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = product_type(weight)
        needs_gradient = any(ctx.needs_input_grad[:3])
        with torch.autocast(device, enabled=False):
            wide = torch.promote_types(dtype, torch.float32)
            inputs, matrix, offset = hidden.to(dtype), weight.to(dtype), bias.to(wide)
            sums = torch.zeros(2, dtype=wide, device=hidden.device)
            grad_hidden = torch.empty_like(inputs) if needs_gradient else None
            grad_weight = torch.zeros_like(weight) if needs_gradient else None
            grad_bias = torch.zeros_like(bias) if needs_gradient else None
            for group in _chunks(0, targets.shape[0], PRODUCT_POSITIONS):
                slopes = inputs.new_empty(inputs[group].shape[0], weight.shape[0]) if needs_gradient else None
                for rows in _chunks(group.start, group.stop, CHUNK_POSITIONS):
                    wanted = targets[rows, None]
                    logits = torch.mm(inputs[rows], matrix.t()).to(wide).add_(offset)
                    log_probabilities = torch.log_softmax(logits, dim=1)
                    nats = -log_probabilities.gather(1, wanted).sum()
                    uniform = -log_probabilities.sum() / weight.shape[0] if smoothing else nats
                    sums += torch.stack([(1.0 - smoothing) * nats + smoothing * uniform, nats])
                    if slopes is not None and grad_bias is not None:
                        slope = log_probabilities.exp_()
                        slope.scatter_add_(1, wanted, slope.new_full(wanted.shape, smoothing - 1.0))
                        grad_bias += slope.sum(dim=0)
                        slopes[rows.start - group.start : rows.stop - group.start] = slope
                if slopes is not None and grad_hidden is not None and grad_weight is not None:
                    torch.mm(slopes, matrix, out=grad_hidden[group])
                    grad_weight += torch.mm(slopes.t(), inputs[group])
            if smoothing and grad_hidden is not None and grad_weight is not None and grad_bias is not None:
                # every entry's share of the smoothing, which all slopes have alike, in one product and not in each
                share = smoothing / weight.shape[0]
                grad_hidden -= (share * matrix.sum(dim=0, dtype=wide)).to(dtype)
                grad_weight -= share * inputs.sum(dim=0, dtype=wide)
                grad_bias -= share * targets.shape[0]
        if grad_hidden is not None and grad_weight is not None and grad_bias is not None:
            ctx.save_for_backward(grad_hidden.to(hidden.dtype), grad_weight, grad_bias)
        ctx.mark_non_differentiable(sums_nats := sums[1].clone())
        return sums[0].clone(), sums_nats

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        slope = slopes[0]
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return grad_hidden * slope.to(grad_hidden.dtype), grad_weight * slope, grad_bias * slope, None, None
