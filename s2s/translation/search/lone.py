"""Beam search of one sentence on a CPU, where calls take longer than arithmetic: in plain Python, as textbooks have it.

Finds what `beam_search`, its slow twin, finds. Knows no model, and does not need torch.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from s2s.translation.search.hypotheses import (
    UNSURE,
    Exact,
    Floats,
    Hypothesis,
    SearchOptions,
    require_attention,
    require_numbers,
)


class State(Protocol):
    """What a model carries from step to step for the hypotheses of a sentence."""

    def reorder(self, parents: list[int]) -> Self:
        """K', for each new hypothesis the old one that it continues."""


AnyState = TypeVar("AnyState", bound=State)


class LoneStep(Protocol[AnyState]):
    """A model as the search sees it."""

    def begin_lone(self, source: Sequence[int]) -> AnyState:
        """The S tokens of a sentence -> where its search starts."""

    def lone(self, tokens: list[int], state: AnyState) -> tuple[Floats, Floats | None, Any, AnyState]:
        """Last tokens (K,) -> log-probabilities (K, V), to be written into, attention (K, S), readouts, next state."""

    def exact_of(self, readout: Any) -> Exact | None:
        """Readouts -> the way to their exact logits, where the step's are rounded."""


class _Node(NamedTuple):
    """The last token of a hypothesis that grows, and the way back."""

    before: "_Node | None"
    token: int
    log_probability: float
    total: float
    attention: Floats | None
    """(S,)"""


def lone_search(
    stepper: LoneStep[AnyState],
    source: Sequence[int],
    options: SearchOptions,
    *,
    beam: int,
    nbest: int,
    longest: int,
    shortest: int,
) -> list[Hypothesis]:
    """The S tokens of a sentence -> at most nbest hypotheses, best first; lengths as for `beam_search`."""
    state, live = stepper.begin_lone(source), [_Node(None, options.start, 0.0, 0.0, None)]
    found: list[tuple[float, _Node]] = []  # by score
    slots, reached, largest, banned = beam, -inf, options.normalizer(longest), options.forbidden
    coverage: Floats | None = None
    for length in range(1, longest + 1):
        table, attention, readout, state = stepper.lone([node.token for node in live], state)
        if options.coverage_penalty:
            coverage = require_attention(options, attention) + (0 if coverage is None else coverage)
        if (forced := options.forced(length - 1)) is not None:
            table[:, np.arange(table.shape[1]) != forced] = -inf
        elif 0 < options.no_repeat_ngram < length:
            for node, entries in zip(live, table, strict=True):
                entries[_repeating(node, options.no_repeat_ngram)] = -inf
        forbidden = banned if length > shortest else (*banned, options.end)
        exact = stepper.exact_of(readout) if beam == 1 else None
        ranked = _ranked(table, [node.total for node in live], slots + (exact is not None), forbidden)
        if exact is not None:
            ranked = _surer(ranked, exact)
        parents: list[int] = []
        growing: list[_Node] = []
        for parent, token, log_probability in ranked:
            weights = attention[parent] if attention is not None and options.keep_attention else None
            total = live[parent].total + log_probability
            node = _Node(live[parent], token, log_probability, total, weights)
            if token == options.end or length == longest:
                found.append((total / options.normalizer(length) + _penalty(coverage, parent, options), node))
                slots -= token == options.end
            else:
                parents.append(parent)
                growing.append(node)
        if not ranked and not found:  # nothing may follow: better what there is than no output
            normalizer = options.normalizer(length - 1)
            found = [
                (each.total / normalizer + _penalty(coverage, row, options), each) for row, each in enumerate(live)
            ]
        if len(found) >= nbest:
            reached = sorted((score for score, _ in found), reverse=True)[nbest - 1]
        # were all that follows certain, a total would be divided by the most that it can be
        if not growing or max(node.total for node in growing) / largest <= reached:
            break
        if parents != list(range(len(live))):
            state = state.reorder(parents)
        coverage = None if coverage is None else coverage[parents]
        live = growing
    best = sorted(found, key=lambda each: -each[0])[:nbest]
    return [_hypothesis(score, node, options) for score, node in best]


Ranked = list[tuple[int, int, float]]
"""hypothesis, next token and its log-probability, best first"""


def _surer(ranked: Ranked, exact: Exact) -> Ranked:
    """Of the best two tokens of the only hypothesis the one of the larger exact logit, if the best is not far ahead."""
    if len(ranked) == 2 and ranked[0][2] < UNSURE:
        logits = exact(np.zeros(1, np.int64), np.array([[token for _, token, _ in ranked]]))[0]
        if logits[1] > logits[0]:
            return ranked[1:]
    return ranked[:1]


def _ranked(table: Floats, totals: Sequence[float], count: int, forbidden: Sequence[int]) -> Ranked:
    """Of (K, V), which is written into, the best `count` continuations; of equals the lowest hypothesis, then token."""
    best: Ranked = []
    heads: list[tuple[float, int, int, float]] = []  # of each hypothesis the best token left, by its total negated
    for row, token in enumerate(table.argmax(axis=1).tolist()):
        _push(heads, table[row], row, token, totals[row])
    while heads and len(best) < count:
        _, row, token, value = heappop(heads)
        if token not in forbidden:
            best.append((row, token, value))
        table[row, token] = -inf
        _push(heads, table[row], row, int(table[row].argmax()), totals[row])
    return best


def _push(heads: list[tuple[float, int, int, float]], entries: Floats, row: int, token: int, total: float) -> None:
    """Add a hypothesis with the best token of (V,), if there is one, to the heap."""
    value = float(entries[token])
    if value > -inf:
        heappush(heads, (-total - value, row, token, value))
    else:
        require_numbers(entries)


def _repeating(node: _Node, size: int) -> list[int]:
    """Tokens with which an n-gram of this size would stand twice."""
    tokens = [each.token for each in _nodes(node)]
    last = tokens[len(tokens) - size + 1 :]
    return [tokens[at + size - 1] for at in range(len(tokens) - size + 1) if tokens[at : at + size - 1] == last]


def _penalty(coverage: Floats | None, row: int, options: SearchOptions) -> float:
    """Coverage term of a hypothesis, whose sums of attention are a row of (K, S) (Wu et al. 2016, equation 14)."""
    if coverage is None:
        return 0.0
    return float(options.coverage_penalty * np.log(coverage[row].clip(np.finfo(np.float32).tiny, 1.0)).sum())


def _nodes(node: _Node) -> list[_Node]:
    """Those of a hypothesis, from its first token on."""
    nodes = []
    while node.before is not None:
        nodes.append(node)
        node = node.before
    return nodes[::-1]


def _hypothesis(score: float, node: _Node, options: SearchOptions) -> Hypothesis:
    truncated, nodes = node.token != options.end, _nodes(node)
    log_probabilities = [each.log_probability for each in nodes]
    weights = [each.attention for each in nodes if each.attention is not None]
    return Hypothesis(
        [each.token for each in nodes if each.token != options.end],
        log_probabilities,
        score,
        truncated,
        np.stack(weights) if weights else None,
    )
