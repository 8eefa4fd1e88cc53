"""Cross-entropy of a linear output layer, in chunks that never keep all logits."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_POSITIONS = 512
"""Positions whose logits exist at one time; 512 x 4,000 floats stay in the cache of a processor core."""
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


def _chunks(positions: int) -> Iterator[slice]:
    """All positions in whole chunks, then in powers of two: few shapes, for which a library has code ready."""
    begin = 0
    while begin < positions:
        size = CHUNK_POSITIONS
        while size > max(positions - begin, SMALLEST_CHUNK):
            size //= 2
        yield slice(begin, min(begin + size, positions))
        begin += size


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        needs_gradient = any(ctx.needs_input_grad[:3])
        with torch.autocast(device, enabled=False):
            inputs, matrix, offset = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
            wide = torch.promote_types(dtype, torch.float32)
            sums = torch.zeros(2, dtype=wide, device=hidden.device)
            grad_hidden = torch.empty_like(inputs) if needs_gradient else None
            grad_weight = torch.zeros_like(weight) if needs_gradient else None
            grad_bias = torch.zeros_like(bias) if needs_gradient else None
            for rows in _chunks(targets.shape[0]):
                chunk, wanted = inputs[rows], targets[rows, None]
                logits = torch.addmm(offset, chunk, matrix.t()).to(wide)
                normalizer = logits.logsumexp(dim=1, keepdim=True)
                nats = (normalizer - logits.gather(1, wanted)).sum()
                uniform = (normalizer[:, 0] - logits.mean(dim=1)).sum() if smoothing else nats
                sums += torch.stack([(1.0 - smoothing) * nats + smoothing * uniform, nats])
                if grad_hidden is None or grad_weight is None or grad_bias is None:
                    continue
                slope = logits.sub_(normalizer).exp_()
                if smoothing:
                    slope.sub_(smoothing / weight.shape[0])
                slope.scatter_add_(1, wanted, slope.new_full(wanted.shape, smoothing - 1.0))
                grad_bias += slope.sum(dim=0)
                slope = slope.to(dtype)
                torch.mm(slope, matrix, out=grad_hidden[rows])
                grad_weight += torch.mm(slope.t(), chunk)
        if grad_hidden is not None and grad_weight is not None and grad_bias is not None:
            ctx.save_for_backward(grad_hidden.to(hidden.dtype), grad_weight, grad_bias)
        ctx.mark_non_differentiable(sums_nats := sums[1].clone())
        return sums[0].clone(), sums_nats

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        slope = slopes[0]
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return grad_hidden * slope.to(grad_hidden.dtype), grad_weight * slope, grad_bias * slope, None, None
