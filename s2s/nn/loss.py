"""Cross-entropy of a linear output layer, in chunks that never keep all logits."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from s2s.nn.precision import product_type

CHUNK_POSITIONS = {"cpu": 256, "cuda": 4096}
"""Positions whose logits exist at one time; on a processor so few that they stay in its caches."""
LARGEST_SLOPES = 1 << 25
"""Entries of the logits' gradient that are held for one product with the hidden states."""
WHOLE = 64
"""Positions are filled up to a multiple of this: matrix products are slow for odd sizes."""


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


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        device, count, entries = hidden.device.type, targets.shape[0], weight.shape[0]
        dtype = product_type(weight)
        needs_gradient = any(ctx.needs_input_grad[:3])
        with torch.autocast(device, enabled=False):
            wide = torch.promote_types(dtype, torch.float32)
            inputs = functional.pad(hidden.to(dtype), (0, 0, 0, -count % WHOLE))
            matrix, offset = weight.to(dtype), bias.to(wide)
            chunk = CHUNK_POSITIONS[device]
            buffer = offset.new_empty(min(chunk, len(inputs)), entries)
            narrow = buffer if dtype == wide else inputs.new_empty(buffer.shape)
            sums = torch.zeros(2, dtype=wide, device=hidden.device)
            grad_hidden, grad_bias = torch.empty_like(inputs), torch.zeros_like(offset)
            grad_weight = None if count else torch.zeros_like(matrix)
            held = max(LARGEST_SLOPES // entries // chunk, 1) * chunk
            for begin in range(0, count, held):
                group = inputs[begin : begin + held]
                slopes = group.new_empty(len(group), entries) if needs_gradient else None
                for first in range(begin, min(begin + held, count), chunk):
                    given = inputs[first : first + chunk]
                    logits = buffer[: len(given)]
                    logits.copy_(torch.mm(given, matrix.t(), out=narrow[: len(given)])).add_(offset)
                    wanted = targets[first : first + chunk, None]
                    sums += _log_softmax(logits, wanted, smoothing)
                    if slopes is not None:
                        _slopes(logits, wanted, smoothing)
                        grad_bias += logits.sum(dim=0)
                        slopes[first - begin :][: len(given)] = logits
                if slopes is not None:
                    torch.mm(slopes, matrix, out=grad_hidden[begin : begin + held])
                    product = torch.mm(slopes.t(), group)
                    grad_weight = product if grad_weight is None else grad_weight.to(wide).add_(product)
            if needs_gradient:
                # every entry's share of the smoothing, which all slopes have alike, in one product and not in each
                share = smoothing / entries
                grad_hidden -= (share * weight.sum(dim=0)).to(dtype)
                grad_bias -= share * count
                ctx.save_for_backward(
                    grad_hidden[:count], grad_weight, share * inputs.sum(dim=0, dtype=wide), grad_bias
                )
                ctx.types = hidden.dtype, weight.dtype, bias.dtype
        ctx.mark_non_differentiable(sums_nats := sums[1].clone())
        return sums[0].clone(), sums_nats

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        slope = slopes[0]
        grad_hidden, grad_weight, share, grad_bias = ctx.saved_tensors
        types = ctx.types
        grad_weight = grad_weight.to(types[1], copy=True).sub_(share).mul_(slope)
        return grad_hidden.to(types[0]) * slope.to(types[0]), grad_weight, grad_bias.to(types[2]) * slope, None, None


def _log_softmax(logits: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """(C, V), in place, and targets (c, 1) of the first c <= C positions -> the smoothed loss and the nats, (2,)."""
    log_probabilities = torch.log_softmax(logits, dim=1, out=logits)[: len(wanted)]
    nats = -log_probabilities.gather(1, wanted).sum()
    uniform = -log_probabilities.sum() / logits.shape[1] if smoothing else nats
    return torch.stack([(1.0 - smoothing) * nats + smoothing * uniform, nats])


def _slopes(log_probabilities: Tensor, wanted: Tensor, smoothing: float) -> None:
    """(C, V) in place -> the loss's gradient by the logits, but for each entry's share of the smoothing."""
    log_probabilities.exp_().scatter_add_(
        1, wanted, torch.full_like(wanted, smoothing - 1.0, dtype=log_probabilities.dtype)
    )
    log_probabilities[len(wanted) :] = 0.0
