"""The hypotheses of a beam that still grow, and those that it has found."""

from heapq import heappush, heappushpop
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s2s.translation.search.hypotheses import (
    Booleans,
    Floats,
    Hypothesis,
    Integers,
    SearchOptions,
    require_attention,
)

SHRINK_AT = 0.75
"""Finished sentences leave the batch when at most this share of it is left: moving the others costs as much as a step.

On a GPU they leave when a power of two holds the others: a CUDA graph is captured for each size.
"""


class Plan(NamedTuple):
    """The continuations chosen at a step for each sentence, best first: (b, n) each."""

    parents: Integers
    """the hypothesis that is continued, below K"""
    tokens: Integers
    log_probabilities: Floats
    ended: Booleans
    """finished with this token: it is END, or the longest output is reached"""
    growing: Booleans
    """goes on; where neither stands, nothing was chosen"""


class Chosen(NamedTuple):
    """Continuations by rank, or of a step by row: then the parents are rows of the step before."""

    parents: Integers
    tokens: Integers
    log_probabilities: Floats


class _Ended(NamedTuple):
    """A hypothesis that was found, as far as the way back from its end needs it; they are in the order of scores."""

    score: float
    order: int
    """falls from one that was found to the next, so that of equals the first is the best"""
    steps: int
    """before the last token"""
    row: int
    """after these steps"""
    last: tuple[int, float] | None
    """last token and its log-probability, where one followed"""


class Live:
    """The hypotheses still growing, and the way back to their beginning.

    Shapes: b sentences still in the batch, K hypotheses of each.
    """

    def __init__(
        self,
        options: SearchOptions,
        maximum: Tensor,
        minimum: Tensor | None,
        sources: Tensor | None,
        beam: int,
        nbest: int,
    ) -> None:
        """One empty hypothesis for each sentence; lengths (B,) on the CPU."""
        count = len(maximum)
        assert 1 <= nbest <= beam
        assert count == 0 or int(maximum.min()) >= 1
        self.options, self.nbest = options, nbest
        self.sentences = np.arange(count)
        """(b,) index in the caller's batch"""
        self.slots = np.full(count, beam)
        """(b,) hypotheses that may still grow or end; a sentence without any is finished"""
        self.maximum: Integers = maximum.numpy()
        """(b,) tokens"""
        self.minimum: Integers = np.zeros(count, np.int64) if minimum is None else minimum.numpy()
        """(b,) tokens before END is allowed"""
        self.source_lengths: Integers = np.full(count, 1 << 60) if sources is None else sources.numpy()
        """(B,) of the caller's batch"""
        self.largest = np.array([options.normalizer(length) for length in maximum.tolist()])
        """(b,) largest divisor of a score"""
        self.reached = np.full(count, -np.inf)
        """(b,) score of the last of the best hypotheses that are wanted, -inf while fewer are found"""
        self.totals = np.zeros((count, 1))
        """(b, K) log-probability; -inf marks an empty slot"""
        self.found: list[list[_Ended]] = [[] for _ in range(count)]
        """of each sentence of the caller's batch the best that are wanted, a heap"""
        self.ends = 0
        """hypotheses found so far"""
        self.last = np.full((count, 1), options.start)
        """(b, K) last tokens"""
        self.steps: list[Chosen] = []
        """of each step what its rows (b x K,) continue"""
        self.attention: list[Floats] = []
        """of each step (b x K, S), by the rows before it"""
        self.coverage: Tensor | None = None
        """(b, K, S) attention summed over the tokens"""

    @property
    def length(self) -> int:
        """Tokens of each hypothesis."""
        return len(self.steps)

    def tokens(self) -> Integers:
        """All tokens (b, K, t)."""
        rows, columns = np.arange(self.totals.size), []
        for parents, tokens, _ in reversed(self.steps):
            columns.append(tokens[rows])
            rows = parents[rows]
        return np.stack(columns[::-1], axis=1).reshape(*self.totals.shape, -1)

    def attend(self, attention: Tensor | None) -> None:
        """Take up the attention (b, K, S) with which the next tokens are chosen, where the options need it."""
        if self.options.coverage_penalty:
            self.coverage = require_attention(self.options, attention).float() + (
                0 if self.coverage is None else self.coverage
            )
        if self.options.keep_attention and attention is not None:
            self.attention.append(attention.flatten(0, 1).float().cpu().numpy().copy())

    def penalties(self) -> Floats:
        """Coverage term of every hypothesis, (b, K) (Wu et al. 2016, equation 14)."""
        if self.coverage is None:
            return np.zeros(self.totals.shape, np.float32)
        logs = self.coverage.clamp(torch.finfo(torch.float32).tiny, 1.0).log()
        lengths = torch.from_numpy(self.source_lengths[self.sentences]).to(logs.device)
        valid = torch.arange(logs.shape[2], device=logs.device) < lengths[:, None]
        logs = logs * valid[:, None]
        penalties: Floats = (self.options.coverage_penalty * logs.sum(2)).cpu().numpy()
        return penalties

    def hypotheses(self) -> list[list[Hypothesis]]:
        """The best that were found of each sentence of the caller's batch, best first."""
        return [
            [self._followed_back(each, length) for each in sorted(found, reverse=True)]
            for found, length in zip(self.found, self.source_lengths.tolist(), strict=True)
        ]

    def _followed_back(self, ended: _Ended, source_length: int) -> Hypothesis:
        rows, tokens, values = [ended.row], list[int](), list[float]()
        if ended.last:
            tokens, values = [ended.last[0]], [ended.last[1]]
        for parents, step_tokens, step_values in reversed(self.steps[: ended.steps]):
            row = rows[-1]
            tokens.append(int(step_tokens[row]))
            values.append(float(step_values[row]))
            rows.append(int(parents[row]))
        truncated = not ended.last or tokens[0] != self.options.end
        attention = None
        if self.attention:
            weighted = zip(reversed(rows), self.attention, strict=False)
            attention = np.stack([weights[row] for row, weights in weighted])[: len(values), :source_length]
        return Hypothesis(tokens[: None if truncated else 0 : -1], values[::-1], ended.score, truncated, attention)

    def _end(self, row: int, slot: int, last: tuple[int, float] | None, score: float) -> None:
        """Take up a hypothesis of a sentence as found, if it is among the best that are wanted."""
        found = self.found[self.sentences[row]]
        self.ends += 1
        ended = _Ended(score, -self.ends, self.length, row * self.totals.shape[1] + slot, last)
        (heappush if len(found) < self.nbest else heappushpop)(found, ended)
        if len(found) == self.nbest:
            self.reached[row] = found[0].score

    def apply(self, plan: Plan, device: torch.device) -> tuple[Integers | None, Integers | None]:
        """Take up what ended, continue what grows, and let finished sentences leave the batch.

        Returned is what the model's state has to follow: the sentences (b',) that stay, and of these the parents
        (b', K') of the new hypotheses; None where nothing moves.
        """
        self._finish_ended(plan)
        totals = np.take_along_axis(self.totals, plan.parents, 1) + plan.log_probabilities
        # Were all that follows certain, a total would be divided by the most that it can be: no score can be higher.
        # What is left out so gives its slots to others that are worse still.
        growing = plan.growing & (totals / self.largest[:, None] > self.reached[:, None])
        self.slots[~growing.any(1)] = 0
        alive = self.slots > 0
        kept = _kept(alive, device)
        staying = np.arange(len(alive)) if kept is None else kept
        width, before = int(growing[staying].sum(1).max(initial=0)), self.totals.shape[1]
        if not width:
            return None, None
        totals[~growing] = -np.inf
        chosen = staying[:, None], np.argsort(~growing[staying], axis=1, kind="stable")[:, :width]
        parents = plan.parents[chosen]
        rows = (staying[:, None] * before + parents).ravel()
        self.totals = totals[chosen]
        self.last = plan.tokens[chosen]
        self.steps.append(Chosen(rows, self.last.ravel(), plan.log_probabilities[chosen].ravel()))
        if self.coverage is not None:
            moved_rows = torch.from_numpy(rows).to(device)
            self.coverage = self.coverage.flatten(0, 1).index_select(0, moved_rows).view(len(staying), width, -1)
        if kept is not None:
            for name in ("sentences", "slots", "minimum", "maximum", "largest", "reached"):
                setattr(self, name, getattr(self, name)[kept])
        return kept, parents if width != before or (parents != np.arange(before)).any() else None

    def _finish_ended(self, plan: Plan) -> None:
        growing, ended = plan.growing.any(1), plan.ended.any(1)
        if ended.any():
            rows, ranks = plan.ended.nonzero()
            slots, tokens, values = (each[rows, ranks] for each in plan[:3])
            totals, penalties = self.totals[rows, slots] + values, self.penalties()[rows, slots]
            scores = totals / self.options.normalizer(self.length + 1) + penalties
            columns = (each.tolist() for each in (rows, slots, tokens, values, scores))
            for row, slot, token, value, score in zip(*columns, strict=True):
                self._end(row, slot, (token, value), score)
            self.slots -= (plan.ended & (plan.tokens == self.options.end)).sum(1)
        elif growing.all():
            return
        for row in np.flatnonzero((self.slots > 0) & ~growing).tolist():
            if not self.found[self.sentences[row]]:
                # nothing may follow and nothing has ended: better what there is than no output
                scores = self.totals[row] / self.options.normalizer(self.length) + self.penalties()[row]
                for slot in np.flatnonzero(np.isfinite(self.totals[row])).tolist():
                    self._end(row, slot, None, float(scores[slot]))
            self.slots[row] = 0


def _kept(live: Booleans, device: torch.device) -> Integers | None:
    """The sentences (b',) to go on with, in their order, or None while all stay."""
    count = int(live.sum())
    if device.type == "cpu":
        size = count if count <= SHRINK_AT * len(live) else len(live)
    else:
        size = 1 << (count - 1).bit_length()
    if not count or size >= len(live):
        return None
    return np.sort(np.argsort(~live, kind="stable")[:size])
