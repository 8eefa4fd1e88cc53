"""Layers between the recurrent ones: token embeddings, linear layers over all positions of a batch, and dropout.

The number of positions is another in almost every batch. In bfloat16 on a CPU oneDNN compiles a kernel for each number
of rows that it meets: some milliseconds the first time, and 0.6 to 1.5 MB for as long as it is kept. So rows are padded
there to one of few numbers. Dropout masks are sampled once for a whole sequence, so that every way of running it sees
the same ones.
"""

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from s2s.device import product_type
from s2s.nn.rows import for_rows

WHOLE = 64
"""The rows of a product are padded to a multiple of this, and from 1,024 on to one of eight numbers an octave."""


class Embedding(nn.Embedding):
    """A table of token vectors, read out times sqrt(E) (Vaswani et al. 2017, section 3.4).

    Small weights suit the output layer that shares them; unit-sized values suit the recurrent layer that reads them.
    Without the factor the first thousand steps learn little but word frequencies.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) -> (..., E), in the type of the products that read them."""
        return (super().forward(tokens) * math.sqrt(self.embedding_dim)).to(product_type(self.weight))

    def reset_parameters(self) -> None:
        """Sample the weights, but on the meta device: for `normal_` there torch imports its compiler, in seconds."""
        if not self.weight.is_meta:
            super().reset_parameters()


def linear(layer: nn.Module, inputs: Tensor) -> Tensor:
    """(..., I) -> (..., O), as the layer gives it."""
    assert isinstance(layer, nn.Linear)
    step = inputs.shape[-2] == 1
    if step or inputs.device.type != "cpu" or product_type(layer.weight) != torch.bfloat16:
        return nn.functional.linear(inputs, layer.weight, layer.bias)
    outputs: Tensor = _Linear.apply(inputs.flatten(0, -2), layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return outputs.view(*inputs.shape[:-1], -1)


def padded(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows (N, F) in a type, followed by rows of zero."""
    room = empty_padded(rows.new_empty(0, rows.shape[1], dtype=dtype), len(rows))
    room[: len(rows)] = rows
    return room


def empty_padded(like: Tensor, count: int, *, more: int = 0) -> Tensor:
    """Memory like (..., 0, F) for `count` rows, rounded up, and `more`; zero after both."""
    *lead, _, size = like.shape
    multiple = max(WHOLE, 1 << count.bit_length() >> 4)
    room = like.new_empty(*lead, count + -count % multiple + more, size)
    room[..., count + more :, :] = 0.0
    return room


Backward = Callable[..., tuple[Tensor | None, ...]]


def once_differentiable(name: str, remedy: str) -> Callable[[Backward], Backward]:
    """Decorator of the backward pass of a function that has no second derivative; the remedy is told with its name.

    torch's own refuses only where the incoming gradient has a derivative: that of a loss is the constant 1, and a
    second derivative would be zero without a word. Gradients are on in a backward pass with create_graph=True alone.
    """

    def decorated(backward: Backward) -> Backward:
        @wraps(backward)
        def run(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
            if torch.is_grad_enabled():
                raise RuntimeError(f"{name} has no second derivative (create_graph=True); {remedy}")
            return backward(ctx, *gradients)

        return run

    return decorated


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
    @once_differentiable("linear", "in bfloat16 on a CPU use torch.nn.functional.linear, which has one")
    def backward(ctx: Any, grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        rows, matrix = ctx.saved_tensors
        gradient = padded(grad_outputs, matrix.dtype)
        grad_bias = gradient.sum(dim=0) if ctx.biased else None
        return (gradient @ matrix)[: len(grad_outputs)], gradient.t() @ rows, grad_bias


def dropout_mask(like: Tensor, probability: float, *, shape: tuple[int, ...], by_row: bool = True) -> Tensor:
    """A mask of 0 and 1 / (1 - probability), exact to 1/65536, in the type and on the device of `like`.

    The first of its dimensions is of rows of the batch, unless it is a mask of weights and not `by_row`.
    """
    sample = partial(_sampled, each=math.prod(shape[1:]), device=like.device)
    sampled = for_rows(sample, shape[0]) if by_row else sample(shape[0])
    threshold = min(round(probability * 65536) - 32768, 32767)  # one more would wrap around to the lowest
    kept = torch.ge(sampled, threshold, out=torch.empty_like(sampled))  # a bool is several times slower to convert
    scale = torch.tensor(1.0 / (1.0 - probability), dtype=like.dtype)
    if like.dtype == torch.bfloat16:  # as wide as the numbers: its bits, or none
        return kept.mul_(int(scale.view(torch.int16))).view(like.dtype).view(shape)
    return kept.view(shape).to(like.dtype).mul_(float(scale))


def _sampled(rows: int, *, each: int, device: torch.device) -> Tensor:
    """(rows, each) random 16-bit numbers.

    Sampling is what dropout costs on a CPU: each 64-bit random number gives four 16-bit ones, there by NumPy's SFC64,
    in a third of the time that torch takes, from a seed that torch samples.
    """
    count = rows * each
    words = (count + 3) // 4
    if device.type == "cpu":
        seed = int(torch.randint(2**63 - 1, ()))
        return torch.from_numpy(np.random.SFC64(seed).random_raw(words).view(np.int16))[:count].view(rows, each)
    numbers = torch.empty(words, dtype=torch.int64, device=device).random_(-(2**63), None)
    return numbers.view(torch.int16)[:count].view(rows, each)


class Dropout(NamedTuple):
    """Probabilities of zero in training, by the place of a value."""

    embedding: float = 0.0
    layers: float = 0.0
    output: float = 0.0
    words: float = 0.0
    variational: bool = False

    def mask(self, like: Tensor, probability: float, size: int, *, steps: int) -> Tensor | None:
        """A mask for values (B, steps, size), one for all steps if variational; None when it is off."""
        shape = (like.shape[0], 1 if self.variational else steps, size)
        return dropout_mask(like, probability, shape=shape) if probability else None

    def between_layers(self, like: Tensor, size: int, *, steps: int, layers: int) -> list[Tensor]:
        """Masks (B, steps, size) for what each of some layers passes to the next; an empty list when it is off."""
        masks = (self.mask(like, self.layers, size, steps=steps) for _ in range(layers - 1))
        return [mask for mask in masks if mask is not None]

    def on_values(self, values: Tensor, probability: float) -> Tensor:
        """(B, T, F) -> the same times a mask."""
        return times(values, self.mask(values, probability, values.shape[2], steps=values.shape[1]))

    def on_embedded(self, embedded: Tensor, *, training: bool) -> Tensor:
        """(B, T, E) -> the same, with whole words and single units dropped in training."""
        if not training:
            return embedded
        if self.words:
            embedded = embedded * dropout_mask(embedded, self.words, shape=(*embedded.shape[:2], 1))
        return self.on_values(embedded, self.embedding)


def times(values: Tensor, mask: Tensor | None) -> Tensor:
    """Values times a mask, if there is one."""
    return values if mask is None else values * mask
