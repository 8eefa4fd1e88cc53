"""Dropout masks, sampled once for a whole sequence, so that every way of running it sees the same ones."""

from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


def dropout_mask(like: Tensor, probability: float, *, shape: tuple[int, ...]) -> Tensor:
    """A mask of 0 and 1 / (1 - probability), exact to 1/65536, in the type and on the device of `like`."""
    count = prod(shape)
    # Sampling is what dropout costs on a CPU: each 64-bit random number gives four 16-bit ones, there by NumPy's SFC64,
    # in a third of the time that torch takes, from a seed that torch samples.
    words = (count + 3) // 4
    if like.device.type == "cpu":
        seed = int(torch.randint(2**63 - 1, ()))
        sampled = torch.from_numpy(np.random.SFC64(seed).random_raw(words).view(np.int16))[:count]
    else:
        numbers = torch.empty(words, dtype=torch.int64, device=like.device).random_(-(2**63), None)
        sampled = numbers.view(torch.int16)[:count]
    threshold = min(round(probability * 65536) - 32768, 32767)  # one more would wrap around to the lowest
    kept = torch.ge(sampled, threshold, out=torch.empty_like(sampled))  # a bool is several times slower to convert
    scale = torch.tensor(1.0 / (1.0 - probability), dtype=like.dtype)
    if like.dtype == torch.bfloat16:  # as wide as the numbers: its bits, or none
        return kept.mul_(int(scale.view(torch.int16))).view(like.dtype).view(shape)
    return kept.view(shape).to(like.dtype).mul_(float(scale))


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
