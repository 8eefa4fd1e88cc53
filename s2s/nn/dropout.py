"""Dropout masks, sampled once for a whole sequence, so that every way of running it sees the same ones."""

from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


def dropout_mask(like: Tensor, probability: float, *, shape: tuple[int, ...]) -> Tensor:
    """A mask of 0 and 1 / (1 - probability), of that shape, in the type and on the device of `like`.

    Each 64-bit random number gives four 16-bit ones, since sampling is what dropout costs on a CPU; the probability is
    exact to 1/65536.
    """
    sampled = _sample(prod(shape), like.device)
    threshold = min(round(probability * 65536) - 32768, 32767)  # one more would wrap around to the lowest
    kept = torch.ge(sampled, threshold, out=torch.empty_like(sampled))  # a bool is several times slower to convert
    scale = torch.tensor(1.0 / (1.0 - probability), dtype=like.dtype)
    if like.dtype == torch.bfloat16:  # as wide as the numbers: its bits, or none
        return kept.mul_(int(scale.view(torch.int16))).view(like.dtype).view(shape)
    return kept.view(shape).to(like.dtype).mul_(float(scale))


def _sample(count: int, device: torch.device) -> Tensor:
    """That many random 16-bit numbers.

    On a CPU by NumPy's SFC64, in a third of the time that torch takes, from a seed that torch samples.
    """
    words = (count + 3) // 4
    if device.type == "cpu":
        seed = int(torch.randint(2**63 - 1, ()))
        return torch.from_numpy(np.random.SFC64(seed).random_raw(words).view(np.int16))[:count]
    return torch.empty(words, dtype=torch.int64, device=device).random_(-(2**63), None).view(torch.int16)[:count]


class Dropout(NamedTuple):
    """Where values are set to zero in training, as probabilities."""

    embedding: float = 0.0
    layers: float = 0.0
    output: float = 0.0
    words: float = 0.0
    variational: bool = False

    def mask(self, like: Tensor, probability: float, size: int, *, steps: int) -> Tensor | None:
        """A mask for values (B, steps, size), one for all steps if variational; None when it is off."""
        if probability == 0.0:
            return None
        shape = (like.shape[0], 1 if self.variational else steps, size)
        return dropout_mask(like, probability, shape=shape)

    def on_embedded(self, embedded: Tensor, *, training: bool) -> Tensor:
        """(B, T, E) -> the same, with whole words and single units dropped in training."""
        if not training:
            return embedded
        if self.words:
            embedded = embedded * dropout_mask(embedded, self.words, shape=(*embedded.shape[:2], 1))
        mask = self.mask(embedded, self.embedding, embedded.shape[2], steps=embedded.shape[1])
        return embedded if mask is None else embedded * mask


def at_step(mask: Tensor | None, step: int) -> Tensor | None:
    """(B, T or 1, F) -> (B, 1, F), the part of a mask at one step."""
    return mask if mask is None or mask.shape[1] == 1 else mask[:, step : step + 1]
