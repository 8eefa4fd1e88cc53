"""Beam search of one sentence on a CPU, where calls take longer than arithmetic: in plain Python, as textbooks have it.

Finds what `beam_search`, its slow twin, finds (one line of a phrase book at beam 5, one thread: ___ of the time).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s2s.translation.search.beam import best_of, likely, require_numbers
from s2s.translation.search.hypotheses import Floats, Hypothesis, SearchOptions
from s2s.translation.search.step import Stepper


class _Node(NamedTuple):
    """The last token of a hypothesis that grows, and the way back."""

    before: "_Node | None"
    token: int
    log_probability: float
    total: float
    attention: Floats | None
    """(S,)"""


def serves(stepper: Stepper, options: SearchOptions) -> bool:
    """Whether `lone_search` can: on a CPU, in float32 or int8, without n-grams and coverage to look at."""
    return stepper.serves_lone and not options.no_repeat_ngram and not options.coverage_penalty


def lone_search(
    stepper: Stepper,
    source: Sequence[int],
    options: SearchOptions,
    *,
    beam: int,
    nbest: int,
    longest: int,
    shortest: int,
) -> list[Hypothesis]:
    """The S tokens of a sentence -> at most nbest hypotheses, best first; lengths as for `beam_search`."""
    state = stepper.begin_lone(source)
    live, tokens = [_Node(None, options.start, 0.0, 0.0, None)], [options.start]
    found: list[Hypothesis] = []
    slots, reached, largest = beam, -np.inf, options.normalizer(longest)
    for length in range(1, longest + 1):
        log_probabilities, attention, readout, state = stepper.lone(tokens, state)
        table = log_probabilities.numpy()
        for token in options.forbidden + ((options.end,) if length <= shortest else ()):
            table[:, token] = -np.inf
        if beam == 1:
            tokens_of, values = best_of(log_probabilities, stepper.exact_of(readout))
            require_numbers(values)
            ranked = [(0, int(tokens_of[0]), float(values[0]))] if values[0] > -np.inf else []
        else:
            most = max(node.total for node in live)
            offsets = np.array([[node.total - most for node in live]], np.float32)
            rows = likely(log_probabilities[None], offsets, slots)
            best = sorted(zip((-rows.sums).tolist(), *(part.tolist() for part in rows[1:4]), strict=True))[:slots]
            ranked = [each[1:] for each in best]
        parents, growing = [], []
        for parent, token, log_probability in ranked:
            before, weights = (
                live[parent],
                None if attention is None or not options.keep_attention else attention[parent],
            )
            node = _Node(before, token, log_probability, before.total + log_probability, weights)
            if token == options.end or length == longest:
                found.append(_hypothesis(node, options))
                slots -= token == options.end
            else:
                parents.append(parent)
                growing.append(node)
        if not ranked and not found:  # nothing may follow: better what there is than no output
            found = [_hypothesis(node, options) for node in live]
        if len(found) >= nbest:
            reached = sorted((each.score for each in found), reverse=True)[nbest - 1]
        # were all that follows certain, a total would be divided by the most that it can be
        if not growing or max(node.total for node in growing) / largest <= reached:
            break
        if parents != list(range(len(live))):
            state = state.reorder(parents)
        live, tokens = growing, [node.token for node in growing]
    return sorted(found, key=lambda hypothesis: -hypothesis.score)[:nbest]


def _hypothesis(node: _Node, options: SearchOptions) -> Hypothesis:
    truncated, nodes = node.token != options.end, []
    while node.before is not None:
        nodes.append(node)
        node = node.before
    nodes.reverse()
    log_probabilities = [each.log_probability for each in nodes]
    weights = [each.attention for each in nodes if each.attention is not None]
    return Hypothesis(
        [each.token for each in nodes if each.token != options.end],
        log_probabilities,
        sum(log_probabilities) / options.normalizer(len(nodes)),
        truncated,
        np.stack(weights) if weights else None,
    )
