"""Dynamic evaluation: the weights follow a text while it is scored (Krause et al. 2018, arXiv:1709.07432)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from numbers import Integral, Real
from typing import NamedTuple

import torch
from torch import nn

from s2s.language.model import LanguageModel
from s2s.language.text import TextBatch
from s2s.nn.recurrent import State

FLOOR = 0.1
"""Share of the mean root of a matrix that is added to each of its roots, lest a rare gradient move a weight far."""


class Dynamic(NamedTuple):
    """How fast the weights follow; the defaults were chosen on the validation text of shakespeare-char-small."""

    rate: float = 0.0005
    """of learning; 0 is plain evaluation"""
    window: int = 20
    """tokens that are scored, and then learned from, at a time"""
    decay: float = 0.001
    """share of the way back to the trained weights at each step"""

    def require(self) -> None:
        """ValueError for numbers that are none of these."""
        for name, value, least, most in (("rate", self.rate, 0, 1e3), ("decay", self.decay, 0, 1)):
            if not (isinstance(value, Real) and least <= value <= most):
                raise ValueError(f"{name}: must be from {least} to {most:g} (given {value!r})")
        if not (isinstance(self.window, Integral) and self.window >= 1):
            raise ValueError(f"window: must be a whole number of at least 1 (given {self.window!r})")


@contextmanager
def following(model: LanguageModel, settings: Dynamic) -> Iterator[Callable[[TextBatch, State | None], None]]:
    """What learns from each batch, read from a state, after it was scored; in the end the frozen model is as it was.

    A step of the gradient g of a window's mean nats is rate * g / (r + 0.1 mean of r) for each weight, with r the root
    of the mean of g squared over the windows so far, and the mean that of a matrix; where Krause et al. take r from
    the training text, which a run folder need not have.
    """
    for part in model.requires_grad_(True).modules():
        if isinstance(part, nn.RNNBase):  # whose gradients cuDNN has only in training; it has no dropout of its own
            part.train()
    weights = [*model.parameters()]
    trained = [weight.detach().clone() for weight in weights]
    squares = [torch.zeros_like(weight) for weight in weights]
    steps = count(1)

    def learn(batch: TextBatch, state: State | None) -> None:
        device = weights[0].device
        with torch.enable_grad():
            loss, _ = model.loss(batch.inputs.to(device), batch.targets.to(device), state)
            gradients = torch.autograd.grad(loss.smoothed / batch.tokens, weights, materialize_grads=True)
        step = next(steps)
        with torch.no_grad():
            for weight, begun, square, gradient in zip(weights, trained, squares, gradients, strict=True):
                root = square.addcmul_(gradient, gradient).div(step).sqrt_()
                size = root.add_(root.mean(), alpha=FLOOR).clamp_(min=torch.finfo(root.dtype).tiny)
                weight.addcdiv_(gradient, size, value=-settings.rate).lerp_(begun, settings.decay)

    try:
        yield learn
    finally:
        with torch.no_grad():
            for weight, begun in zip(weights, trained, strict=True):
                weight.copy_(begun)
        model.eval().requires_grad_(False)
