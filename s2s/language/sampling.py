"""How tokens are sampled: the numbers that a user gives, and the token of each row."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import NamedTuple

import torch
from torch import Tensor


class Sampling(NamedTuple):
    """How texts are written; of each number the meaning is that of the command line."""

    length: int = 200
    """tokens to write, at most"""
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: Sequence[str] = ()
    """texts before which a continuation ends"""
    seed: int = 1

    def require(self) -> None:
        """ValueError for a number out of its range."""
        for name in ("length", "top_k", "seed"):
            require_whole(name, getattr(self, name), 0)
        if not (isinstance(self.temperature, Real) and (self.temperature == 0 or 1e-6 <= self.temperature <= 1e6)):
            rule = "must be 0, which is greedy, or from 1e-6 to 1e6"  # below, dividing by it would overflow
            raise ValueError(f"temperature: {rule} (given {self.temperature!r})")
        if not (isinstance(self.top_p, Real) and 0 < self.top_p <= 1):
            raise ValueError(f"top_p: must be above 0 and at most 1, where 1 is off (given {self.top_p!r})")
        if not (isinstance(self.min_p, Real) and 0 <= self.min_p <= 1):
            raise ValueError(f"min_p: must be from 0, which is off, to 1 (given {self.min_p!r})")
        if isinstance(self.stop, str) or not all(isinstance(each, str) and each for each in self.stop):
            raise ValueError(f"stop: must be a list of texts that are not empty (given {self.stop!r})")

    def sample(self, logits: Tensor, draws: Tensor) -> Tensor:
        """(N, V), (N,) -> (N,), a token for each row, sampled from softmax(logits / temperature) without unlikely ones.

        `draws` are uniform in [0, 1), in float64: a row's token does not depend on the other rows. Temperature 0, or
        one that float32 takes for it, is the most likely token, of equal ones the lowest. `top_k` keeps the k most
        likely tokens, 0 all (Fan et al. 2018); `top_p` the fewest whose probabilities reach p together (Holtzman et al.
        2020); `min_p` those of at least that share of the highest probability (Nguyen et al. 2024).
        """
        if self.temperature < torch.finfo(torch.float32).tiny:
            return logits.argmax(dim=1)
        # the largest is taken off first, or a low temperature would overflow
        scaled = (logits - logits.max(dim=1, keepdim=True).values) / self.temperature
        if self.min_p > 0.0:
            scaled = scaled.masked_fill(scaled < math.log(self.min_p), -torch.inf)
        if 0 < self.top_k < scaled.shape[1]:
            scaled = scaled.masked_fill(scaled < scaled.topk(self.top_k, dim=1).values[:, -1:], -torch.inf)
        if self.top_p < 1.0:
            ranked, order = scaled.sort(dim=1, descending=True, stable=True)
            before = ranked.softmax(dim=1).cumsum(dim=1) - ranked.softmax(dim=1)
            cut = torch.zeros_like(scaled, dtype=torch.bool).scatter(1, order, before >= self.top_p)
            scaled = scaled.masked_fill(cut, -torch.inf)
        reached = scaled.double().exp().cumsum(dim=1)
        # a little less than the total, which rounding could reach: no token that adds nothing to it is sampled
        wanted = draws[:, None] * (reached[:, -1:] * (1 - 2**-50))
        return torch.searchsorted(reached, wanted, right=True)[:, 0]


def require_whole(name: str, value: int, least: int) -> None:
    """ValueError for what is no whole number of at least so much."""
    if not isinstance(value, Integral) or not least <= value < 2**63:
        raise ValueError(f"{name}: must be a whole number of at least {least} (given {value!r})")
