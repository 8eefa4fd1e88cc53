"""Cross-entropy of a linear output layer, in chunks that never keep all logits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from s2s.device import product_type
from s2s.nn.layers import once_differentiable, padded

CHUNK_POSITIONS = {"cpu": 256, "cuda": 4096}
"""Positions whose logits exist at one time; on a CPU so few that they stay in its caches."""
SMALLEST_CHUNK = 64
LARGEST_GRADIENT = 1 << 25
"""Numbers of the logits' gradient that are held for one product with the hidden states."""


class Loss(NamedTuple):
    """Sums over tokens, in nats."""

    smoothed: Tensor
    """the loss to minimise, a scalar with a gradient"""
    nats: Tensor
    """the negative log-likelihood of the targets, a scalar without a gradient"""
    tokens: int


class LineScore(NamedTuple):
    """How well a model predicts the tokens of a given line."""

    nats: float
    """negative log-likelihood of all of them"""
    tokens: int
    unknown_tokens: int
    """of them; one is easier to predict than what stands in its place"""

    def row(self) -> dict[str, float | None]:
        """The counts with the nats of each token, None of a line without any."""
        return {**self._asdict(), "nats_per_token": self.nats / self.tokens if self.tokens else None}


class Scored(NamedTuple):
    """What a distribution over tokens says of each target."""

    log_probability: Tensor
    """of the target, in nats"""
    likeliest: Tensor
    """the token with the highest log-probability"""
    highest: Tensor
    """that log-probability"""


def log_probabilities(logits: Tensor) -> Tensor:
    """(..., V) -> (..., V), in float32 at least, to its rounding: `log_softmax` is off by 1e-4 for a million tokens."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide - wide.logsumexp(dim=-1, keepdim=True)


def scored(logits: Tensor, targets: Tensor) -> Scored:
    """(..., V), (...) -> (...) each, in float32 at least."""
    logged = log_probabilities(logits)
    highest = logged.max(dim=-1)
    return Scored(logged.gather(-1, targets[..., None])[..., 0], highest.indices, highest.values)


def nats_of_each(hidden: Tensor, targets: Tensor, logits: Callable[[Tensor], Tensor]) -> Tensor:
    """(N, E), (N,), a function from (n, E) to (n, V) -> negative log-likelihoods (N,) in float64, chunk by chunk."""
    size = CHUNK_POSITIONS[hidden.device.type]
    parts = zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    return torch.cat([functional.cross_entropy(logits(h).float(), y, reduction="none").double() for h, y in parts])


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float = 0.0, consistency: float = 0.0
) -> Loss:
    """(N, E), (V, E), (V,), (N,) -> the summed cross-entropy of softmax(hidden Wᵀ + b), label-smoothed.

    Equals `torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")` in value and
    gradients; the gradients are made in the forward pass, chunk by chunk, so memory is chunk x V and not N x V. Under
    autocast its products are in the autocast type. Where gradients are off, as in a validation, none are made.

    With `consistency` the rows come in pairs, a position under two dropout masks, and what is minimised has that times
    the Jeffreys divergence of each pair, KL(p || q) + KL(q || p), in it (R-Drop: Wu et al. 2021).
    """
    if not torch.is_grad_enabled():  # which `needs_input_grad` does not know
        hidden, weight, bias = hidden.detach(), weight.detach(), bias.detach()
    smoothed, nats = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, smoothing, consistency
    )
    return Loss(smoothed, nats, targets.numel())


class _LinearCrossEntropy(torch.autograd.Function):
    """The smoothed loss and the nats; the smoothed one has a gradient.

    With logits l = h Wᵀ + b, Z their exponentials' sum, targets y, smoothing s and a vocabulary of V it is

        sum over positions of   log Z - (1 - s) l_y - s / V (sum of l)
        =                       (1 - s) (log Z - l_y) + s log Z - s / V (sum of l)

    where the sum of all l of N positions is one product, (sum of h) · (sum of W's rows) + N (sum of b).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, consistency: float
    ) -> tuple[Tensor, Tensor]:
        count, vocabulary, dtype = len(targets), len(weight), product_type(weight)
        wide = torch.promote_types(dtype, torch.float32)
        needs_gradient = any(ctx.needs_input_grad[:3])
        with torch.autocast(hidden.device.type, enabled=False):
            inputs = padded(hidden, dtype)
            layer = _Layer.of(weight.to(dtype), bias.to(wide), rows=len(inputs))
            sums = torch.zeros(3, dtype=wide, device=hidden.device)
            grad_hidden, grad_bias = torch.empty_like(inputs), torch.zeros_like(layer.bias)
            grad_weight = None if count else torch.zeros_like(layer.weight)
            chunk = len(layer.logits)
            held = max(LARGEST_GRADIENT // vocabulary // chunk, 1) * chunk
            for rows in (slice(begin, begin + held) for begin in range(0, count, held)):
                group = inputs[rows]
                gradient = group.new_empty(len(group), vocabulary) if needs_gradient else None
                sharpness = 1.0 - smoothing
                sums += _sums_and_gradient(layer, group, targets[rows], sharpness, consistency, gradient, grad_bias)
                if gradient is not None:
                    torch.mm(gradient, layer.weight, out=grad_hidden[rows])
                    product = torch.mm(gradient.t(), group)
                    grad_weight = product if grad_weight is None else grad_weight.to(wide).add_(product)
            share = smoothing / vocabulary
            all_weights, all_inputs = weight.sum(dim=0, dtype=wide), inputs.sum(dim=0, dtype=wide)
            logits = all_weights @ all_inputs + count * layer.bias.sum()
            if needs_gradient:
                grad_hidden -= (share * all_weights).to(dtype)
                grad_bias -= share * count
                ctx.save_for_backward(grad_hidden[:count], grad_weight, share * all_inputs, grad_bias)
                ctx.types = hidden.dtype, weight.dtype, bias.dtype
        nats, log_sums, divergence = sums.unbind()
        ctx.mark_non_differentiable(nats := nats.clone())
        smoothed = (1.0 - smoothing) * nats + smoothing * log_sums - share * logits
        return smoothed + consistency * divergence, nats

    @staticmethod
    @once_differentiable("linear_cross_entropy", "use torch.nn.functional.cross_entropy, which has one")
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, share, grad_bias = ctx.saved_tensors
        of_hidden, of_weight, of_bias = ctx.types
        grad_weight = grad_weight.to(of_weight, copy=True).sub_(share).mul_(gradient)
        return grad_hidden.to(of_hidden) * gradient, grad_weight, grad_bias.to(of_bias) * gradient, None, None, None


class _Layer(NamedTuple):
    """The output layer, and memory for the logits of one chunk after another."""

    weight: Tensor
    """(V, E) in the type of products"""
    bias: Tensor
    """(V,) in float32 at least, as the logits"""
    product: Tensor
    """(chunk, V) in the type of products"""
    logits: Tensor
    """(chunk, V)"""

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor, *, rows: int) -> "_Layer":
        # a chunk shrinks where the vocabulary is large: a GPU's soon, a CPU's beyond 131,072
        chunk = min(CHUNK_POSITIONS[weight.device.type], max(LARGEST_GRADIENT // len(weight), SMALLEST_CHUNK))
        even = min(chunk, rows) // 2 * 2  # rows of a pair stay together
        logits = bias.new_empty(max(even, 1), len(weight))
        product = logits if bias.dtype == weight.dtype else torch.empty_like(logits, dtype=weight.dtype)
        return cls(weight, bias, product, logits)


def _sums_and_gradient(
    layer: _Layer,
    inputs: Tensor,
    targets: Tensor,
    sharpness: float,
    consistency: float,
    gradient: Tensor | None,
    grad_bias: Tensor,
) -> Tensor:
    """Positions (N', E), of which the first N have targets -> the sums of log Z - l_y, of log Z, of divergences, (3,).

    Where it is wanted, `gradient` (N', V) is filled with that of log Z - `sharpness` l_y + `consistency` times the
    divergence by the logits, and summed into that of the bias.
    """
    own, likelihoods = (layer.bias.new_empty(len(targets), 1) for _ in range(2))
    divergence = layer.bias.new_zeros(())
    chunk = len(layer.logits)
    for rows in (slice(first, first + chunk) for first in range(0, len(targets), chunk)):
        given, wanted = inputs[rows], targets[rows, None]
        logits = layer.logits[: len(given)]
        logits.copy_(torch.mm(given, layer.weight.t(), out=layer.product[: len(given)])).add_(layer.bias)
        torch.gather(logits[: len(wanted)], 1, wanted, out=own[rows])
        log_probabilities = torch.log_softmax(logits, dim=1, out=logits)
        torch.gather(log_probabilities[: len(wanted)], 1, wanted, out=likelihoods[rows])
        moved = None
        if consistency:
            moved, apart = _divergence(log_probabilities[: len(wanted)])
            divergence += apart
        if gradient is not None:
            probabilities = log_probabilities.exp_()
            if moved is not None:
                probabilities[: len(wanted)].add_(moved, alpha=consistency)
            probabilities.scatter_add_(1, wanted, probabilities.new_full(wanted.shape, -sharpness))
            probabilities[len(wanted) :] = 0.0
            grad_bias += probabilities.sum(dim=0)
            gradient[rows] = probabilities
    return torch.stack([-likelihoods.sum(), (own - likelihoods).sum(), divergence])


def _divergence(log_probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of rows (2 n, V) -> the gradient of their Jeffreys divergences by the logits (2 n, V), and their sum.

    With d = log p - log q the divergence is (sum of (p - q) d), and its gradient by the logits of p is
    p (d - KL(p || q)) + p - q; that by those of q is the same with p and q exchanged.
    """
    pairs = log_probabilities.view(-1, 2, log_probabilities.shape[1])
    probabilities, ratio = pairs.exp(), pairs - pairs.flip(1)
    gap = probabilities - probabilities.flip(1)
    products = probabilities * ratio
    each = products.sum(dim=2, keepdim=True)
    return products.addcmul_(probabilities, each, value=-1.0).add_(gap).flatten(0, 1), each.sum()
