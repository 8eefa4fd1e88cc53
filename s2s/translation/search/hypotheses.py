"""Hypotheses: what a search returns, what it may produce, and those still growing in the beam."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.errors import RunError
from s2s.text.special import END, PAD, START

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Booleans: TypeAlias = NDArray[np.bool_]


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


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a search may produce and how it ranks; the same for greedy and beam search."""

    start: int = START
    end: int = END
    forbidden: tuple[int, ...] = (PAD, START)
    """Tokens that never appear."""
    no_repeat_ngram: int = 0
    """No n-gram of this many tokens appears twice in a hypothesis; 0 is off."""
    length_normalization: Literal["none", "average", "gnmt"] = "none"
    length_alpha: float = 0.6
    """Exponent of gnmt."""
    coverage_penalty: float = 0.0
    """Beta of gnmt's coverage term; needs a step that gives attention; 0 is off."""
    keep_attention: bool = False
    """Put the attention of each hypothesis into the result."""

    def normalizer(self, length: int) -> float:
        """Divisor for a hypothesis of so many tokens, END counted (gnmt: Wu et al. 2016, equation 14)."""
        if self.length_normalization == "average":
            return max(length, 1)
        if self.length_normalization == "gnmt":
            return float(((5 + length) / 6) ** self.length_alpha)
        return 1.0


class Choice(NamedTuple):
    """The continuations chosen for each sentence, best first: (b, n) each."""

    parents: Integers
    tokens: Integers
    log_probabilities: Floats
    valid: Booleans  # chosen at all: there is a slot for it and its probability is not zero

    def select(self, rows: Integers, ranks: Integers) -> "Choice":
        """Of the given sentences (b,) the continuations at the given ranks (b, n)."""
        index = (rows[:, None], ranks)
        return Choice(self.parents[index], self.tokens[index], self.log_probabilities[index], self.valid[index])


@dataclass
class Live:
    """The hypotheses still growing, with what has been chosen so far.

    Shapes: b sentences still in the batch, K hypotheses of each, t tokens each.
    """

    sentences: Integers  # (b,) index in the caller's batch
    slots: Integers  # (b,) hypotheses that may still be live or end
    minimum: Integers  # (b,) tokens before END is allowed
    maximum: Integers  # (b,) tokens
    source_lengths: Integers | None  # (b,)
    totals: NDArray[np.float64]  # (b, K) log-probability; -inf marks an empty slot
    tokens: Integers  # (b, K, t)
    log_probabilities: Floats  # (b, K, t)
    coverage: Tensor | None = None  # (b, K, S) attention summed over the tokens
    attention: Floats | None = None  # (b, K, t, S)
    found: list[list[Hypothesis]] = field(default_factory=list)  # of each sentence of the caller's batch

    @classmethod
    def begin(cls, beam: int, maximum: Tensor, minimum: Tensor | None, source_lengths: Tensor | None) -> "Live":
        """One empty hypothesis for each sentence."""
        count = len(maximum)
        assert beam >= 1
        assert count == 0 or int(maximum.min()) >= 1
        return cls(
            sentences=np.arange(count),
            slots=np.full(count, beam),
            minimum=np.zeros(count, np.int64) if minimum is None else minimum.cpu().numpy(),
            maximum=maximum.cpu().numpy(),
            source_lengths=None if source_lengths is None else source_lengths.cpu().numpy(),
            totals=np.zeros((count, 1)),
            tokens=np.zeros((count, 1, 0), np.int64),
            log_probabilities=np.zeros((count, 1, 0), np.float32),
            found=[[] for _ in range(count)],
        )

    def last(self, start: int, device: torch.device) -> Tensor:
        """Last tokens (b, K), START at first."""
        tokens = self.tokens[:, :, -1] if self.tokens.shape[2] else np.full(self.totals.shape, start)
        return torch.from_numpy(np.ascontiguousarray(tokens)).to(device)

    def attend(self, attention: Tensor | None, options: SearchOptions) -> None:
        """Add the attention (b, K, S) with which the next tokens are chosen, where the options need it."""
        if options.coverage_penalty:
            if attention is None:
                raise RunError(
                    f"coverage_penalty: needs a model with attention (given {options.coverage_penalty:g}, and the model"
                    " has none); set it to 0"
                )
            self.coverage = attention.float() + (0 if self.coverage is None else self.coverage)
        if options.keep_attention and attention is not None:
            latest = attention.float().cpu().numpy()[:, :, None]
            self.attention = latest if self.attention is None else np.concatenate([self.attention, latest], axis=2)

    def penalties(self, options: SearchOptions) -> Floats:
        """Coverage term of every hypothesis, (b, K) (Wu et al. 2016, equation 14)."""
        if self.coverage is None:
            return np.zeros(self.totals.shape, np.float32)
        logs = self.coverage.clamp(torch.finfo(torch.float32).tiny, 1.0).log()
        if self.source_lengths is not None:
            lengths = torch.from_numpy(self.source_lengths).to(logs.device)
            valid = torch.arange(logs.shape[2], device=logs.device) < lengths[:, None]
            logs = logs * valid[:, None]
        penalties: Floats = (options.coverage_penalty * logs.sum(2)).cpu().numpy()
        return penalties

    def finish(
        self, row: int, slot: int, last: tuple[int, float] | None, options: SearchOptions, penalty: float
    ) -> None:
        """Take up the hypothesis in a slot as found, continued by the last (token, log-probability)."""
        tokens: list[int] = self.tokens[row, slot].tolist()
        log_probabilities: list[float] = self.log_probabilities[row, slot].tolist()
        if last is not None:
            tokens.append(last[0])
            log_probabilities.append(last[1])
        truncated = last is None or last[0] != options.end
        if not truncated:
            tokens.pop()
        score = sum(log_probabilities) / options.normalizer(len(log_probabilities)) + penalty
        attention = None
        if self.attention is not None:
            length = None if self.source_lengths is None else int(self.source_lengths[row])
            attention = self.attention[row, slot, : len(log_probabilities), :length].copy()
        self.found[self.sentences[row]].append(Hypothesis(tokens, log_probabilities, score, truncated, attention))

    def keep(self, rows: Integers) -> None:
        """Keep the given sentences, indices into the present batch."""
        self.sentences, self.slots = self.sentences[rows], self.slots[rows]
        self.minimum, self.maximum = self.minimum[rows], self.maximum[rows]
        self.totals, self.tokens, self.log_probabilities = (
            self.totals[rows],
            self.tokens[rows],
            self.log_probabilities[rows],
        )
        if self.source_lengths is not None:
            self.source_lengths = self.source_lengths[rows]
        if self.coverage is not None:
            self.coverage = self.coverage[torch.from_numpy(rows).to(self.coverage.device)]
        if self.attention is not None:
            self.attention = self.attention[rows]

    def extend(self, choice: Choice) -> None:
        """Continue the chosen parents by one token each; where a choice is not valid the slot is empty."""
        index = (np.arange(len(choice.parents))[:, None], choice.parents)
        self.totals = np.where(choice.valid, self.totals[index] + choice.log_probabilities, -np.inf)
        self.tokens = np.concatenate([self.tokens[index], choice.tokens[:, :, None]], axis=2)
        self.log_probabilities = np.concatenate(
            [self.log_probabilities[index], choice.log_probabilities[:, :, None]], axis=2
        )
        if self.coverage is not None:
            slots = torch.from_numpy(choice.parents).to(self.coverage.device)
            self.coverage = self.coverage.gather(1, slots[:, :, None].expand(-1, -1, self.coverage.shape[2]))
        if self.attention is not None:
            self.attention = self.attention[index]
