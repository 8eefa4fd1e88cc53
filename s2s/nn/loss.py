"""Cross-entropy of a linear output layer, in chunks that never keep all logits."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from s2s.device import product_type
from s2s.nn.linear import WHOLE

CHUNK_POSITIONS = {"cpu": 256, "cuda": 4096}
"""Positions whose logits exist at one time; on a processor so few that they stay in its caches."""
SMALLEST_CHUNK = 256
LARGEST_SLOPES = 1 << 25
"""Entries of the logits' gradient that are held for one product with the hidden states."""


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
        count, entries, dtype = len(targets), len(weight), product_type(weight)
        wide = torch.promote_types(dtype, torch.float32)
        needs_gradient = any(ctx.needs_input_grad[:3])
        with torch.autocast(hidden.device.type, enabled=False):
            inputs = functional.pad(hidden.to(dtype), (0, 0, 0, -count % WHOLE))
            layer = _Layer.of(weight.to(dtype), bias.to(wide), rows=len(inputs))
            sums = torch.zeros(2, dtype=wide, device=hidden.device)
            grad_hidden, grad_bias = torch.empty_like(inputs), torch.zeros_like(layer.bias)
            grad_weight = None if count else torch.zeros_like(layer.weight)
            held = max(LARGEST_SLOPES // entries // layer.chunk, 1) * layer.chunk
            for begin in range(0, count, held):
                group = inputs[begin : begin + held]
                slopes = group.new_empty(len(group), entries) if needs_gradient else None
                wanted = targets[begin : begin + held]
                sums += _sums_and_slopes(layer, group, wanted, 1.0 - smoothing, slopes, grad_bias)
                if slopes is not None:
                    torch.mm(slopes, layer.weight, out=grad_hidden[begin : begin + held])
                    product = torch.mm(slopes.t(), group)
                    grad_weight = product if grad_weight is None else grad_weight.to(wide).add_(product)
            # every entry's share of the smoothing, which all positions have alike, in one product and not in each
            share = smoothing / entries
            all_weights, all_inputs = weight.sum(dim=0, dtype=wide), inputs.sum(dim=0, dtype=wide)
            logits = all_weights @ all_inputs + count * layer.bias.sum()
            if needs_gradient:
                grad_hidden -= (share * all_weights).to(dtype)
                grad_bias -= share * count
                ctx.save_for_backward(grad_hidden[:count], grad_weight, share * all_inputs, grad_bias)
                ctx.types = hidden.dtype, weight.dtype, bias.dtype
        nats, log_sums = sums.unbind()
        ctx.mark_non_differentiable(nats := nats.clone())
        return (1.0 - smoothing) * nats + smoothing * log_sums - share * logits, nats

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        slope = slopes[0]
        grad_hidden, grad_weight, share, grad_bias = ctx.saved_tensors
        types = ctx.types
        grad_weight = grad_weight.to(types[1], copy=True).sub_(share).mul_(slope)
        return grad_hidden.to(types[0]) * slope, grad_weight, grad_bias.to(types[2]) * slope, None, None


class _Layer(NamedTuple):
    """The output layer, and memory for one chunk of logits, which is used again for the next."""

    weight: Tensor
    """(V, E) in the type of products"""
    bias: Tensor
    """(V,) in float32 at least, as the logits"""
    chunk: int
    """positions"""
    product: Tensor
    """(chunk, V) in the type of products"""
    logits: Tensor
    """(chunk, V)"""

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor, *, rows: int) -> "_Layer":
        # a GPU's large chunk shrinks where the vocabulary is large
        chunk = min(CHUNK_POSITIONS[weight.device.type], max(LARGEST_SLOPES // len(weight), SMALLEST_CHUNK))
        logits = bias.new_empty(min(chunk, rows), len(weight))
        return cls(
            weight,
            bias,
            chunk,
            logits if bias.dtype == weight.dtype else torch.empty_like(logits, dtype=weight.dtype),
            logits,
        )


def _sums_and_slopes(
    layer: _Layer, inputs: Tensor, targets: Tensor, sharpness: float, slopes: Tensor | None, grad_bias: Tensor
) -> Tensor:
    """Positions (N', E), of which the first N have targets -> the sums of the nats and of log sum exp of logits, (2,).

    Where `slopes` (N', V) are wanted they are filled with the gradient by the logits of log sum exp less `sharpness`
    times the target's logit, and summed into that of the bias.
    """
    own, likelihoods = (layer.bias.new_empty(len(targets), 1) for _ in range(2))
    for first in range(0, len(targets), layer.chunk):
        rows = slice(first, first + layer.chunk)
        given, wanted = inputs[rows], targets[rows, None]
        logits = layer.logits[: len(given)]
        logits.copy_(torch.mm(given, layer.weight.t(), out=layer.product[: len(given)])).add_(layer.bias)
        torch.gather(logits[: len(wanted)], 1, wanted, out=own[rows])
        log_probabilities = torch.log_softmax(logits, dim=1, out=logits)
        torch.gather(log_probabilities[: len(wanted)], 1, wanted, out=likelihoods[rows])
        if slopes is not None:
            probabilities = log_probabilities.exp_()
            probabilities.scatter_add_(1, wanted, probabilities.new_full(wanted.shape, -sharpness))
            probabilities[len(wanted) :] = 0.0
            grad_bias += probabilities.sum(dim=0)
            slopes[rows] = probabilities
    return torch.stack([-likelihoods.sum(), (own - likelihoods).sum()])
