"""Beam search over any function that gives log-probabilities; knows no model.

The search sees a `Step`: last tokens (B, K) and a state in, log-probabilities (B, K, V) and the next state out.
B sentences, K hypotheses of each, V vocabulary entries, S source positions. Only (B, K, V) numbers stay on the device:
what was chosen is small and is followed in numpy, so a step costs few transfers and a Python loop over what ends.

The beam shrinks: a sentence has `beam` slots, a hypothesis that ends leaves its slot for good, and the sentence is over
when no slot is left. So beam 1 is greedy search, and a beam as wide as the space enumerates it.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from s2s.errors import RunError
from s2s.translation.search.hypotheses import Booleans, Choice, Floats, Hypothesis, Integers, Live, SearchOptions

__all__ = [
    "AnyState",
    "Hypothesis",
    "JointState",
    "SearchOptions",
    "SearchState",
    "Step",
    "StepOutput",
    "beam_search",
    "combine",
]


NOT_NUMBERS = (
    "the model gives probabilities that are not numbers (nan), so nothing can be chosen;"
    " its weights are damaged, or training diverged: translate with another run"
)


class SearchState(Protocol):
    """What a model carries from step to step for the hypotheses of a batch: tensors that start with (B, K, ...)."""

    def reorder(self, parents: Tensor) -> Self:
        """Give each new hypothesis the state of the one it continues: parents (B, K') are indices below K."""

    def keep(self, sentences: Tensor) -> Self:
        """Keep the given sentences, indices (b,), and forget the others."""


AnyState = TypeVar("AnyState", bound=SearchState)


Exact: TypeAlias = Callable[[Integers, Integers], Floats]
"""rows (R,), tokens (R, N) -> their logits (R, N), as exact as float32 is"""


class StepOutput(NamedTuple, Generic[AnyState]):
    """What one step of a model gives the search."""

    log_probabilities: Tensor
    """(B, K, V), of the next token; the search may write into it."""
    attention: Tensor | None
    """(B, K, S) weights over the source, or None for a model without attention."""
    state: AnyState
    exact: Exact | None = None
    """Where the log-probabilities are rounded, the way to tell close ones apart."""


Step: TypeAlias = Callable[[Tensor, AnyState], StepOutput[AnyState]]
"""Last tokens (B, K) and a state to a StepOutput; START is the last token of the first step, where K is 1."""


class JointState(Generic[AnyState]):
    """The states of the members of an ensemble, moved together."""

    def __init__(self, members: Sequence[AnyState]) -> None:
        self.members = tuple(members)

    def reorder(self, parents: Tensor) -> Self:
        """Reorder every member."""
        return type(self)([member.reorder(parents) for member in self.members])

    def keep(self, sentences: Tensor) -> Self:
        """Keep the given sentences of every member."""
        return type(self)([member.keep(sentences) for member in self.members])


def combine(steps: Sequence[Step[AnyState]]) -> Step[JointState[AnyState]]:
    """Make an ensemble: one step whose probabilities are the mean of those of the given steps.

    So is its attention where every step gives one of the same shape. It starts from JointState of their states.
    """

    if len(steps) == 1:
        return _alone(steps[0])

    def step(tokens: Tensor, state: JointState[AnyState]) -> StepOutput[JointState[AnyState]]:
        outputs = [member(tokens, each) for member, each in zip(steps, state.members, strict=True)]
        together = torch.stack([output.log_probabilities.float() for output in outputs])
        attentions = [output.attention for output in outputs if output.attention is not None]
        alike = len(attentions) == len(outputs) and len({attention.shape for attention in attentions}) == 1
        return StepOutput(
            together.logsumexp(0) - float(np.log(len(outputs))),
            torch.stack([attention.float() for attention in attentions]).mean(0) if alike else None,
            JointState([output.state for output in outputs]),
        )

    return step


def _alone(step: Step[AnyState]) -> Step[JointState[AnyState]]:
    """An ensemble of one."""

    def alone(tokens: Tensor, state: JointState[AnyState]) -> StepOutput[JointState[AnyState]]:
        output = step(tokens, state.members[0])
        return StepOutput(output.log_probabilities, output.attention, JointState([output.state]), output.exact)

    return alone


def _mask(candidates: Tensor, live: Live, options: SearchOptions) -> None:
    """Set what may not come next to -inf, in place: candidates (b, K, V)."""
    device, length, size = candidates.device, live.tokens.shape[2], options.no_repeat_ngram
    if options.forbidden:
        candidates.index_fill_(2, torch.tensor(options.forbidden, device=device), -torch.inf)
    early = np.flatnonzero(live.minimum > length)
    if early.size:
        candidates[torch.from_numpy(early).to(device), :, options.end] = -torch.inf
    if size and length >= size:
        tokens = torch.from_numpy(live.tokens).to(device)
        windows = tokens.unfold(2, size, 1)
        repeated = (windows[..., :-1] == tokens[:, :, None, length - size + 1 :]).all(-1)
        penalty = torch.zeros((), device=device).where(~repeated, -torch.inf)
        candidates.scatter_add_(2, windows[..., -1], penalty)


def _top(scores: Tensor, offsets: Tensor, count: int, block: int = 64) -> tuple[Floats, Integers]:
    """The best of scores (b, K, V) + offsets (b, K) over each sentence, (b, count), best first, and their indices.

    An index counts through K x V; of equal scores the lowest is taken. The best n lie in the n blocks with the best
    maxima; looking only there is several times faster on a processor.
    """
    device, (hypotheses, entries) = scores.device, scores.shape[1:]
    blocks = entries // block
    whole = blocks * block
    wanted = min(count + 1, hypotheses * entries)  # one more, to see ties at the edge
    indices = torch.arange(hypotheses * entries, device=device).expand(len(scores), -1)
    if hypotheses * blocks > wanted:
        maxima = scores[:, :, :whole].reshape(-1, hypotheses, blocks, block).amax(3) + offsets[:, :, None]
        best = maxima.flatten(1).topk(wanted, dim=1).indices
        first = best // blocks * entries + best % blocks * block
        inside = (first[:, :, None] + torch.arange(block, device=device)).flatten(1)
        beyond = indices.view(-1, hypotheses, entries)[:, :, whole:].flatten(1)
        indices = torch.cat([inside, beyond], dim=1)
    pool = scores.flatten(1).gather(1, indices) + offsets.gather(1, indices // entries)
    values, places = pool.topk(wanted, dim=1)
    chosen = indices.gather(1, places)[:, :count].cpu().numpy()
    top: Floats = values.cpu().numpy()
    if np.isnan(top).any():
        raise RunError(NOT_NUMBERS)
    tied = ((top[:, 1:] == top[:, :-1]) & np.isfinite(top[:, 1:])).any(1)
    for row in np.flatnonzero(tied).tolist():  # topk orders equal values as it likes
        lowest = float(top[row, :count][np.isfinite(top[row, :count])][-1])
        sums = (scores[row] + offsets[row, :, None]).flatten()
        pool = (sums >= lowest).nonzero()[:, 0]
        order = sums[pool].sort(descending=True, stable=True).indices[:count]
        chosen[row, : len(order)] = pool[order].cpu().numpy()
    return top[:, :count], chosen


def _choose(log_probabilities: Tensor, live: Live, options: SearchOptions) -> Choice:
    """Choose the best continuations of each sentence over all its hypotheses, one for each slot."""
    vocabulary = log_probabilities.shape[2]
    # Relative to the best hypothesis: long sums would swallow small differences between tokens.
    offsets = (live.totals - live.totals.max(1, keepdims=True)).astype(np.float32)
    candidates = log_probabilities.float()
    _mask(candidates, live, options)
    count = min(int(live.slots.max()), candidates.shape[1] * vocabulary)
    scores, indices = _top(candidates, torch.from_numpy(offsets).to(candidates.device), count)
    taken = candidates.flatten(1).gather(1, torch.from_numpy(indices).to(candidates.device))
    return Choice(
        parents=indices // vocabulary,
        tokens=indices % vocabulary,
        log_probabilities=taken.cpu().numpy(),
        valid=(scores > -np.inf) & (np.arange(count) < live.slots[:, None]),
    )


def _collect(choice: Choice, live: Live, options: SearchOptions) -> Booleans:
    """Take up what ended or reached its maximum, and tell what goes on growing: (b, n)."""
    ended = choice.valid & (choice.tokens == options.end)
    cut = choice.valid & ~ended & (live.tokens.shape[2] + 1 >= live.maximum)[:, None]
    stuck = [row for row in np.flatnonzero(~choice.valid.any(1)).tolist() if not live.found[live.sentences[row]]]
    if stuck or ended.any() or cut.any():
        penalties = live.penalties(options)
        for row, rank in np.argwhere(ended | cut).tolist():
            slot = int(choice.parents[row, rank])
            last = (int(choice.tokens[row, rank]), float(choice.log_probabilities[row, rank]))
            live.finish(row, slot, last, options, float(penalties[row, slot]))
        for row in stuck:  # nothing may follow and nothing has ended: better what there is than no output
            for slot in np.flatnonzero(np.isfinite(live.totals[row])).tolist():
                live.finish(row, slot, None, options, float(penalties[row, slot]))
    live.slots = live.slots - ended.sum(1)
    growing: Booleans = choice.valid & ~ended & ~cut
    return growing


def _advance(choice: Choice, growing: Booleans, live: Live, state: AnyState, device: torch.device) -> AnyState:
    """Continue what goes on growing; sentences of which nothing does leave the batch."""
    staying = np.flatnonzero(growing.any(1))
    if staying.size < len(growing):
        live.keep(staying)
        if not staying.size:
            return state
        state = state.keep(torch.from_numpy(staying).to(device))
    width = int(growing.sum(1).max())
    before = live.totals.shape[1]
    choice = choice._replace(valid=growing)
    choice = choice.select(staying, np.argsort(~growing[staying], axis=1, kind="stable")[:, :width])
    live.extend(choice)
    if width != before or (choice.parents != np.arange(before)).any():
        state = state.reorder(torch.from_numpy(choice.parents).to(device))
    return state


def beam_search(
    step: Step[AnyState],
    state: AnyState,
    options: SearchOptions,
    *,
    beam: int,
    max_lengths: Tensor,
    min_lengths: Tensor | None = None,
    source_lengths: Tensor | None = None,
    nbest: int = 1,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Search the best outputs of each sentence: at most nbest hypotheses, best first, never none.

    Lengths are (B,) on the CPU and count tokens without END: END is not allowed before the minimum, and a hypothesis
    that reaches the maximum (at least 1) is finished as truncated. With source_lengths the coverage term and the
    attention see valid positions only. A sentence's result does not depend on the others. The caller wraps this in
    torch.inference_mode.

    Raises RunError when the probabilities are not numbers, or a coverage penalty finds no attention.
    """
    assert 1 <= nbest <= beam
    device = torch.device(device)
    live = Live.begin(beam, max_lengths, min_lengths, source_lengths)
    while live.sentences.size:
        output = step(live.last(options.start, device), state)
        live.attend(output.attention, options)
        choice = _choose(output.log_probabilities, live, options)
        growing = _collect(choice, live, options)
        state = _advance(choice, growing, live, output.state, device)
    return [sorted(found, key=lambda hypothesis: -hypothesis.score)[:nbest] for found in live.found]
