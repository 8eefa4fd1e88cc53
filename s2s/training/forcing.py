"""Teacher forcing: how often a decoder in training is fed the gold token instead of its own."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


def forcing_rate(
    step: int,
    schedule: Literal["constant", "linear", "exponential", "inverse_sigmoid"],
    *,
    rate: float,
    floor: float,
    steps: int,
) -> float:
    """The probability of the gold token at a step, as Bengio et al. (2015, section 2.4) let it decay.

    linear: rate - (rate - floor) step / steps; exponential: rate exp(-step / steps);
    inverse_sigmoid: rate k / (k + exp(step / k)) with k = steps. Never below `floor`.
    """
    if schedule == "constant":
        return rate
    if schedule == "linear":
        return max(floor, rate - (rate - floor) * min(step / steps, 1.0))
    if schedule == "exponential":
        return max(floor, rate * math.exp(-step / steps))
    # exp overflows where the rate is zero to machine precision
    return max(floor, rate * steps / (steps + math.exp(min(step / steps, 700.0))))


@dataclass(frozen=True)
class ScheduledSampling:
    """Chooses for each sentence and position, by its own coin, the gold token or the model's (Bengio et al. 2015)."""

    rate: float
    feed: Literal["greedy", "sampled"] = "greedy"

    def __call__(self, gold: Tensor, logits: Tensor) -> Tensor:
        """Gold (B, 1), logits (B, 1, V) -> tokens to feed (B, 1); no gradient passes through the choice."""
        with torch.no_grad():
            if self.feed == "greedy":
                own = logits.argmax(dim=2)
            else:
                own = torch.multinomial(logits[:, 0].float().softmax(dim=1), 1)
            forced = torch.rand(gold.shape, device=gold.device) < self.rate
            return torch.where(forced, gold, own)
