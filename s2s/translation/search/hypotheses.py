"""Hypotheses: what a search returns, and what it may produce. Without torch, as all that a bundle is read with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from s2s.errors import RunError
from s2s.text.special import END, PAD, START

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Booleans: TypeAlias = NDArray[np.bool_]
Exact: TypeAlias = Callable[[Integers, Integers], Floats]
"""rows (R,), tokens (R, N) -> their logits (R, N), as exact as float32 is"""
Normalization: TypeAlias = Literal["none", "average", "gnmt"]
Weights = TypeVar("Weights")

UNSURE = float(np.log(0.55))
"""A token of a higher log-probability is ahead of all others by more than the rounding of bfloat16."""


class Hypothesis(NamedTuple):
    """One output of a search, complete or cut off."""

    tokens: list[int]
    """Without START and END."""
    log_probabilities: list[float]
    """One per token in nats, that of END last unless truncated."""
    score: float
    """What hypotheses are ranked by: log-probability over the length normaliser, plus the coverage term."""
    truncated: bool
    """Cut off before END, by the maximum length or since nothing else was allowed."""
    attention: Floats | None = None
    """(len(log_probabilities), S) where it was asked for."""

    @property
    def log_probability(self) -> float:
        """Of the whole hypothesis, in nats."""
        return sum(self.log_probabilities)


class Sampling(NamedTuple):
    """Random numbers by which a sentence's tokens are sampled, so that it does not depend on the others."""

    draws: NDArray[np.float64]
    """(B, T), from 0 to below 1"""
    temperature: float


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a search may produce and how it ranks."""

    start: int = START
    end: int = END
    forbidden: tuple[int, ...] = (PAD, START)
    """Tokens that never appear."""
    prefix: tuple[int, ...] = ()
    """Tokens that each output begins with; the other rules hold after them."""
    no_repeat_ngram: int = 0
    """No n-gram of this many tokens appears twice in a hypothesis; 0 is off."""
    length_normalization: Normalization = "none"
    length_alpha: float = 0.6
    """Exponent of gnmt."""
    coverage_penalty: float = 0.0
    """Beta of gnmt's coverage term; needs a step that gives attention; 0 is off."""
    keep_attention: bool = False
    """Put the attention of each hypothesis into the result."""

    def forced(self, length: int) -> int | None:
        """The token that must follow the first `length` tokens of an output; None where the model is free."""
        return self.prefix[length] if length < len(self.prefix) else None

    def normalizer(self, length: int) -> float:
        """Divisor for a hypothesis of so many tokens, END counted (gnmt: Wu et al. 2016, equation 14)."""
        if self.length_normalization == "average":
            return max(length, 1)
        if self.length_normalization == "gnmt":
            return float(((5 + length) / 6) ** self.length_alpha)
        return 1.0


def require_attention(options: SearchOptions, attention: Weights | None) -> Weights:
    """The attention of a step; RunError where a coverage penalty finds none."""
    if attention is None:
        raise RunError(
            f"coverage_penalty: needs a model with attention (given {options.coverage_penalty:g}, and the model has"
            " none); set it to 0"
        )
    return attention


def require_numbers(log_probabilities: Floats) -> None:
    """RunError where one is not a number."""
    if log_probabilities.size and np.isnan(log_probabilities.max()):
        raise RunError(
            "the model gives probabilities that are not numbers (nan), so nothing can be chosen;"
            " its weights are damaged, or training diverged: translate with another run"
        )
