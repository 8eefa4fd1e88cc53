"""Teacher forcing: how often a decoder in training is fed the gold token instead of its own."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from s2s.nn.rows import for_rows

Schedule = Literal["constant", "linear", "exponential", "inverse_sigmoid"]


def forcing_rate(step: int, schedule: Schedule, *, rate: float, floor: float, steps: int) -> float:
    """The probability of the gold token at a step, as Bengio et al. (2015, section 2.4) let it decay.

    linear: rate - (rate - floor) step / steps; exponential: rate exp(-step / steps); inverse_sigmoid:
    rate k / (k + exp(step / k)) with k = steps. Never below `floor`.
    """
    if schedule == "constant":
        return rate
    if schedule == "linear":
        return max(floor, rate - (rate - floor) * min(step / steps, 1.0))
    if schedule == "exponential":
        return max(floor, rate * math.exp(-step / steps))
    # exp overflows where the rate is zero to machine precision
    return max(floor, rate * steps / (steps + math.exp(min(step / steps, 700.0))))


class Choices(NamedTuple):
    """Random choices of the tokens that are fed at T steps."""

    forced: Tensor
    """(T, B, 1), True where the gold token is fed"""
    uniform: Tensor | None
    """(T, B, 1) in [0, 1), by which the model's own token is sampled; None where it is its best"""

    def chooser(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Gold (B, 1), logits (B, 1, V) -> tokens to feed (B, 1); the first call is for the first step."""
        uniform = [None] * len(self.forced) if self.uniform is None else self.uniform
        steps = iter(zip(self.forced, uniform, strict=True))
        return lambda gold, logits: _choose(gold, logits, *next(steps))


@dataclass(frozen=True)
class ScheduledSampling:
    """Random choice between gold and model's token for each sentence and position (Bengio et al. 2015)."""

    rate: float
    feed: Literal["greedy", "sampled"] = "greedy"

    def __call__(self, gold: Tensor, logits: Tensor) -> Tensor:
        """Gold (B, 1), logits (B, 1, V) -> tokens to feed (B, 1); no gradient passes through the choice."""
        return self.choices(1, len(gold), gold.device).chooser()(gold, logits)

    def choices(self, steps: int, rows: int, device: torch.device) -> Choices:
        """Choices of some steps at once: on a CPU the same numbers as one step after the other."""
        sampled = self.feed == "sampled"
        numbers = for_rows(lambda rows: torch.rand(steps, 1 + sampled, rows, 1, device=device), rows, dim=2)
        return Choices(numbers[:, 0] < self.rate, numbers[:, 1] if sampled else None)


@torch.no_grad()
def _choose(gold: Tensor, logits: Tensor, forced: Tensor, uniform: Tensor | None) -> Tensor:
    if uniform is None:
        own = logits.argmax(dim=2)
    else:  # the first token whose cumulative probability exceeds the number; sums round, so there may be none
        cumulative = logits[:, 0].float().softmax(dim=1).cumsum(dim=1)
        own = torch.searchsorted(cumulative, uniform, right=True).clamp_(max=logits.shape[2] - 1)
    return torch.where(forced, gold, own)
