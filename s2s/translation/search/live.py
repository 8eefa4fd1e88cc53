"""The hypotheses of a beam that still grow, and those that it has found."""

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
    """Continuations by rank or by row."""

    parents: Integers
    tokens: Integers
    log_probabilities: Floats


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
        """(b,)"""
        self.largest = np.array([options.normalizer(length) for length in maximum.tolist()])
        """(b,) largest divisor of a score"""
        self.reached = np.full(count, -np.inf)
        """(b,) score of the last of the best hypotheses that are wanted, -inf while fewer are found"""
        self.totals = np.zeros((count, 1))
        """(b, K) log-probability; -inf marks an empty slot"""
        self.found: list[list[Hypothesis]] = [[] for _ in range(count)]
        """of each sentence of the caller's batch"""
        self.last = np.full((count, 1), options.start)
        """(b, K) last tokens"""
        self.steps: list[tuple[list[int], list[int], list[float]]] = []
        """of each step the rows of the step before, tokens and log-probabilities of its rows (b x K,)"""
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
            columns.append(np.array(tokens)[rows])
            rows = np.array(parents)[rows]
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
        lengths = torch.from_numpy(self.source_lengths).to(logs.device)
        valid = torch.arange(logs.shape[2], device=logs.device) < lengths[:, None]
        logs = logs * valid[:, None]
        penalties: Floats = (self.options.coverage_penalty * logs.sum(2)).cpu().numpy()
        return penalties

    def finish(self, sentence: int, slot: int, last: tuple[int, float] | None, penalty: float) -> None:
        """Take up a hypothesis as found, continued by the last (token, log-probability)."""
        row = sentence * self.totals.shape[1] + slot
        tokens, log_probabilities, rows = [], [], [row]
        if last is not None:
            tokens.append(last[0])
            log_probabilities.append(last[1])
        for step_parents, step_tokens, step_log_probabilities in reversed(self.steps):
            tokens.append(step_tokens[row])
            log_probabilities.append(step_log_probabilities[row])
            row = step_parents[row]
            rows.append(row)
        tokens.reverse()
        log_probabilities.reverse()
        truncated = last is None or last[0] != self.options.end
        if not truncated:
            tokens.pop()
        score = sum(log_probabilities) / self.options.normalizer(len(log_probabilities)) + penalty
        attention = None
        if self.attention:
            size = int(self.source_lengths[sentence])
            weighted = zip(reversed(rows), self.attention, strict=False)
            attention = np.stack([weights[row] for row, weights in weighted])[: len(log_probabilities), :size]
        found = self.found[self.sentences[sentence]]
        found.append(Hypothesis(tokens, log_probabilities, score, truncated, attention))
        if len(found) >= self.nbest:
            self.reached[sentence] = sorted((each.score for each in found), reverse=True)[self.nbest - 1]

    def apply(self, plan: Plan, device: torch.device) -> tuple[Integers | None, Integers | None]:
        """Take up what ended, continue what grows, and let finished sentences leave the batch.

        Returned is what the model's state has to follow: the sentences (b',) that stay, and of these the parents
        (b', K') of the new hypotheses; None where nothing moves.
        """
        self._finish_ended(plan)
        totals = np.take_along_axis(self.totals, plan.parents, 1) + plan.log_probabilities
        totals[~plan.growing] = -np.inf
        # Were all that follows certain, a total would be divided by the most that it can be: no score can be higher.
        self.slots[totals.max(1, initial=-np.inf) / self.largest <= self.reached] = 0
        alive = self.slots > 0
        kept = _kept(alive, device)
        staying = np.arange(len(alive)) if kept is None else kept
        growing = plan.growing[staying] & alive[staying, None]
        width, before = int(growing.sum(1).max(initial=0)), self.totals.shape[1]
        if not width:
            return None, None
        chosen = staying[:, None], np.argsort(~growing, axis=1, kind="stable")[:, :width]
        parents = plan.parents[chosen]
        rows = (staying[:, None] * before + parents).ravel()
        self.totals = totals[chosen]
        self.last = plan.tokens[chosen]
        made = rows, self.last.ravel(), plan.log_probabilities[chosen].ravel()
        self.steps.append((made[0].tolist(), made[1].tolist(), made[2].tolist()))
        if self.coverage is not None:
            moved_rows = torch.from_numpy(rows).to(device)
            self.coverage = self.coverage.flatten(0, 1).index_select(0, moved_rows).view(len(staying), width, -1)
        if kept is not None:
            for name in ("sentences", "slots", "minimum", "maximum", "largest", "reached", "source_lengths"):
                setattr(self, name, getattr(self, name)[kept])
        return kept, parents if width != before or (parents != np.arange(before)).any() else None

    def _finish_ended(self, plan: Plan) -> None:
        growing, ended = plan.growing.any(1), plan.ended.any(1)
        if ended.any():
            penalties = self.penalties()
            for row, rank in np.argwhere(plan.ended).tolist():
                slot = int(plan.parents[row, rank])
                last = int(plan.tokens[row, rank]), float(plan.log_probabilities[row, rank])
                self.finish(row, slot, last, float(penalties[row, slot]))
            self.slots -= (plan.ended & (plan.tokens == self.options.end)).sum(1)
        elif growing.all():
            return
        for row in np.flatnonzero((self.slots > 0) & ~growing).tolist():
            if not self.found[self.sentences[row]]:
                # nothing may follow and nothing has ended: better what there is than no output
                penalties = self.penalties()
                for slot in np.flatnonzero(np.isfinite(self.totals[row])).tolist():
                    self.finish(row, slot, None, float(penalties[row, slot]))
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
