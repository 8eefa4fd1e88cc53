"""Beam search over any function that gives log-probabilities; knows no model.

The search sees a `Step`: last tokens (B, K) and a state in, log-probabilities (B, K, V) and the next state out.
B sentences, K hypotheses of each, V vocabulary entries, S source positions. Only (B, K, V) numbers stay on the device:
what was chosen is small and is followed in NumPy. Each step chooses a `Plan`, and `Live.apply` carries it out.

The beam shrinks: a sentence has `beam` slots, a hypothesis that ends leaves its slot for good, and the sentence is
finished when no slot is left. So beam 1 is greedy search, and a beam as wide as the space enumerates it.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from s2s.translation.search.hypotheses import (
    UNSURE,
    Exact,
    Floats,
    Hypothesis,
    Integers,
    SearchOptions,
    require_numbers,
)
from s2s.translation.search.live import Chosen, Live, Plan

BLOCK = 64
"""Candidates whose maximum is looked at before they are."""
LEAST = np.finfo(np.float32).min


class SearchState(Protocol):
    """What a model carries from step to step for the hypotheses of a batch: tensors that start with (B, K, ...)."""

    def reorder(self, parents: Tensor) -> Self:
        """Give each new hypothesis the state of the one it continues: parents (B, K') are indices below K."""

    def keep(self, sentences: Tensor) -> Self:
        """Keep the given sentences, indices (b,), and forget the others."""


AnyState = TypeVar("AnyState", bound=SearchState)


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
    """Ensemble of several steps: one whose probabilities are the mean of theirs, from the JointState of their states.

    So is its attention where every step gives one of the same shape.
    """

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
    attention see valid positions only. A sentence's result does not depend on the others. With a beam of 1, close
    tokens are told apart by their exact logits where a step's are rounded. The caller wraps this in
    torch.inference_mode.

    Raises RunError when the probabilities are not numbers, or a coverage penalty finds no attention.
    """
    device = torch.device(device)
    live = Live(options, max_lengths, min_lengths, source_lengths, beam, nbest)
    forbidden = torch.tensor(options.forbidden, dtype=torch.long, device=device)
    while live.slots.any():
        output = step(torch.from_numpy(live.last).to(device), state)
        live.attend(output.attention)
        candidates = output.log_probabilities.float().index_fill_(2, forbidden, -torch.inf)
        plan = _choose(candidates, live, output.exact if beam == 1 else None)
        kept, parents = live.apply(plan, device)
        state = output.state
        if kept is not None:
            state = state.keep(torch.from_numpy(kept).to(device))
        if parents is not None:
            state = state.reorder(torch.from_numpy(parents).to(device))
    return live.hypotheses()


def _choose(candidates: Tensor, live: Live, exact: Exact | None) -> Plan:
    """The best continuations of each sentence, as many as it has slots, out of (b, K, V), which it writes into."""
    _mask(candidates, live)
    count = int(live.slots.max())
    if candidates.shape[1] == count == 1:
        best, values = best_of(candidates[:, 0], exact)
        require_numbers(values[live.slots > 0])
        parents, tokens, log_probabilities = np.zeros_like(best)[:, None], best[:, None], values[:, None]
    else:
        # Relative to the best hypothesis: long sums would swallow small differences between tokens.
        most = np.where(live.slots > 0, live.totals.max(1), 0.0)
        offsets: Floats = np.asarray(live.totals - most[:, None], np.float32)
        parents, tokens, log_probabilities = _top(candidates, offsets, count)
    valid = (log_probabilities > -np.inf) & (np.arange(tokens.shape[1]) < live.slots[:, None])
    ended = (tokens == live.options.end) | (live.length + 1 >= live.maximum)[:, None]
    return Plan(parents, tokens, log_probabilities, valid & ended, valid & ~ended)


def _mask(candidates: Tensor, live: Live) -> None:
    """Set an END that comes too early and repeated n-grams to -inf, in place: candidates (b, K, V).

    Where a token of the prefix must follow, all others.
    """
    device, options = candidates.device, live.options
    if (forced := options.forced(live.length)) is not None:
        others = torch.arange(candidates.shape[2], device=device) != forced
        candidates.masked_fill_(others, -torch.inf)
        return
    early = np.flatnonzero(live.minimum > live.length)
    if early.size:
        candidates[torch.from_numpy(early).to(device), :, options.end] = -torch.inf
    size = options.no_repeat_ngram
    if size and live.length >= size:
        tokens = torch.from_numpy(live.tokens()).to(device)
        windows = tokens.unfold(2, size, 1)
        repeated = (windows[..., :-1] == tokens[:, :, None, live.length - size + 1 :]).all(-1)
        penalty = torch.zeros((), device=device).where(~repeated, -torch.inf)
        candidates.scatter_add_(2, windows[..., -1], penalty)


class Likely(NamedTuple):
    """Continuations among which the best of each sentence are, (n,) each; hypotheses, then tokens rise."""

    sums: Floats
    """log-probabilities with the offset of the hypothesis"""
    rows: Integers
    """b x K + k for hypothesis k of sentence b"""
    tokens: Integers
    log_probabilities: Floats


def likely(candidates: Tensor, offsets: Floats, count: int) -> Likely:
    """All continuations by candidates (b, K, V) + offsets (b, K) that are not below the best `count` of a sentence.

    They are not below the `count`-th best maximum of a block either, so only blocks whose maximum is not are looked at.
    Raises RunError where a candidate is not a number.
    """
    sentences, width, vocabulary = candidates.shape
    if vocabulary % BLOCK:
        candidates = nn.functional.pad(candidates, (0, -vocabulary % BLOCK), value=-torch.inf)
    blocks = candidates.view(sentences * width, -1, BLOCK)
    each, beside = blocks.shape[1], offsets.reshape(-1, 1)
    maxima = (blocks.amax(2).cpu().numpy() + beside).reshape(sentences, -1)
    require_numbers(maxima)
    if maxima.shape[1] > count:
        lowest = np.maximum(np.partition(maxima, -count, axis=1)[:, -count, None], LEAST)
    else:
        lowest = np.full((sentences, 1), LEAST)
    picked = np.flatnonzero(maxima >= lowest)
    flat, rows = blocks.view(-1, BLOCK), picked // each
    inside: Floats = (
        flat.numpy()[picked] if flat.is_cpu else flat[torch.from_numpy(picked).to(flat.device)].cpu().numpy()
    )
    sums = inside + beside[rows]
    looked, columns = (sums >= (lowest if sentences == 1 else lowest[rows // width])).nonzero()
    tokens = picked[looked] % each * BLOCK + columns
    return Likely(sums[looked, columns], rows[looked], tokens, inside[looked, columns])


def _top(candidates: Tensor, offsets: Floats, count: int) -> Chosen:
    """The best `count` continuations of each sentence, best first; of equals the lowest hypothesis, then token."""
    found = likely(candidates, offsets, count)
    sentences = found.rows // candidates.shape[1]
    order = np.lexsort((-found.sums, sentences))  # stable
    ranks = np.arange(len(order)) - np.searchsorted(sentences, np.arange(len(candidates)))[sentences]
    order, to = order[ranks < count], (sentences[ranks < count], ranks[ranks < count])
    shape = len(candidates), count
    top = Chosen(np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, -np.inf, np.float32))
    top.parents[to], top.tokens[to] = found.rows[order] % candidates.shape[1], found.tokens[order]
    top.log_probabilities[to] = found.log_probabilities[order]
    return top


def best_of(candidates: Tensor, exact: Exact | None) -> tuple[Integers, Floats]:
    """(b, V) -> the best token of each row and its log-probability; the lowest of equal ones."""
    values: Floats
    tokens: Integers
    if candidates.device.type == "cpu":  # NumPy finds them in a sixth of the time that torch takes
        entries = candidates.numpy()
        tokens = entries.argmax(axis=1)
        values = entries[np.arange(len(tokens)), tokens]
        if exact is not None:
            _settle(entries, tokens, values, exact)
    else:
        values, tokens = (part.cpu().numpy() for part in candidates.max(dim=1))
    return tokens, values


def _settle(entries: Floats, tokens: Integers, values: Floats, exact: Exact) -> None:
    """Where the best token of (b, V) is not far ahead, take the second if its exact logit is larger; in place.

    In bfloat16, logits above 8 are spaced 1/16 apart.
    """
    rows = np.flatnonzero((values < UNSURE) & (values > -np.inf))
    if not rows.size:
        return
    others, first = entries[rows], tokens[rows]
    others[np.arange(len(rows)), first] = -np.inf
    second = others.argmax(axis=1)
    logits = exact(rows, np.stack([first, second], axis=1))
    better = (logits[:, 1] > logits[:, 0]) & (others[np.arange(len(rows)), second] > -np.inf)
    tokens[rows[better]], values[rows[better]] = second[better], others[better, second[better]]
