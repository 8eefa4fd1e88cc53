"""Greedy search: the most probable token at every step, and nothing else to keep."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.errors import RunError
from s2s.translation.search.beam import NOT_NUMBERS, AnyState, Exact, Step
from s2s.translation.search.hypotheses import Hypothesis, SearchOptions

SHRINK_AT = 0.75
"""Sentences that are over leave the batch when so few of it are left: moving the others costs as much as a step.

On a GPU they leave when a power of two holds the others: a CUDA graph is captured for each size.
"""
UNSURE = float(np.log(0.55))
"""A token of a higher log-probability is ahead of all others by more than rounding makes."""


class _Chosen(NamedTuple):
    """What a step chose for the rows of the batch at that time."""

    sentences: NDArray[np.int64]
    """(b,) index in the caller's batch"""
    tokens: NDArray[np.int64]
    log_probabilities: NDArray[np.float32]
    attention: NDArray[np.float32] | None
    """(b, S)"""


def greedy_search(
    step: Step[AnyState],
    state: AnyState,
    options: SearchOptions,
    *,
    max_lengths: Tensor,
    min_lengths: Tensor | None = None,
    source_lengths: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> list[Hypothesis]:
    """One Hypothesis for each sentence; equals `beam_search` with one slot, its slow twin, and takes the same.

    But where a step's log-probabilities are rounded it tells close tokens apart by their exact logits.

    No n-gram is looked for and no coverage counted: options that ask for these are the beam search's.
    """
    assert not options.no_repeat_ngram
    assert not options.coverage_penalty
    count = len(max_lengths)
    longest = max_lengths.numpy()
    shortest = np.zeros(count, np.int64) if min_lengths is None else min_lengths.numpy()
    rows, live = np.arange(count), np.ones(count, bool)
    last = torch.full((count, 1), options.start, device=device)
    steps: list[_Chosen] = []
    lengths, truncated = np.zeros(count, np.int64), np.ones(count, bool)
    while live.any():
        output = step(last, state)
        state = output.state
        attention = None
        if options.keep_attention and output.attention is not None:
            attention = output.attention[:, 0].float().cpu().numpy()
        early = live & (shortest[rows] > len(steps))
        tokens, chosen = _best(output.log_probabilities[:, 0], early, live, options, output.exact)
        stuck = live & ~np.isfinite(chosen)
        live &= ~stuck
        grown = rows[live]
        steps.append(_Chosen(grown, tokens[live], chosen[live], None if attention is None else attention[live]))
        lengths[grown] += 1
        ended = live & (tokens == options.end)
        truncated[rows[ended]] = False
        live &= ~ended & (len(steps) < longest[rows])
        kept = _kept(live, last.device)
        if kept is not None:
            state = state.keep(torch.from_numpy(kept).to(device))
            rows, live, tokens = rows[kept], live[kept], tokens[kept]
        last = torch.from_numpy(tokens[:, None]).to(device)
    return _hypotheses(steps, lengths, truncated, options, source_lengths)


def _kept(live: NDArray[np.bool_], device: torch.device) -> NDArray[np.int64] | None:
    """The rows to go on with, in their order, or None while all stay."""
    count = int(live.sum())
    if device.type == "cpu":
        size = count if count <= SHRINK_AT * len(live) else len(live)
    else:
        size = 1 << (count - 1).bit_length()
    if not count or size >= len(live):
        return None
    return np.sort(np.argsort(~live, kind="stable")[:size])


def _best(
    log_probabilities: Tensor,
    early: NDArray[np.bool_],
    live: NDArray[np.bool_],
    options: SearchOptions,
    exact: Exact | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(b, V), which rows may not end yet -> the best allowed token of each and its log-probability."""
    values: NDArray[np.float32]
    tokens: NDArray[np.int64]
    if log_probabilities.device.type == "cpu":  # NumPy finds them in a sixth of the time that torch takes
        entries = log_probabilities.detach().float().numpy()
        tokens = entries.argmax(axis=1)
        values = entries[np.arange(len(tokens)), tokens]
        if exact is not None:
            _settle(entries, tokens, values, exact)
    else:
        values, tokens = (part.cpu().numpy() for part in log_probabilities.float().max(dim=1))
    if np.isnan(values[live]).any():
        raise RunError(NOT_NUMBERS)
    wrong = early & (tokens == options.end)
    for token in options.forbidden:
        wrong |= live & (tokens == token)
    for row in np.flatnonzero(wrong):
        allowed = log_probabilities[row].clone()
        allowed[list(options.forbidden)] = -torch.inf
        if early[row]:
            allowed[options.end] = -torch.inf
        value, place = allowed.max(dim=0)
        values[row], tokens[row] = float(value), int(place)
    return tokens, values


def _settle(entries: NDArray[np.float32], tokens: NDArray[np.int64], values: NDArray[np.float32], exact: Exact) -> None:
    """Where the best token of (b, V) is not far ahead, take the second if its exact logit is larger; in place.

    A product in bfloat16 knows a logit of 8 or more to a sixteenth.
    """
    rows = np.flatnonzero(values < UNSURE)
    if not rows.size:
        return
    others, first = entries[rows], tokens[rows]
    others[np.arange(len(rows)), first] = -np.inf
    second = others.argmax(axis=1)
    logits = exact(rows, np.stack([first, second], axis=1))
    better = logits[:, 1] > logits[:, 0]
    tokens[rows[better]], values[rows[better]] = second[better], others[better, second[better]]


def _hypotheses(
    steps: list[_Chosen],
    lengths: NDArray[np.int64],
    truncated: NDArray[np.bool_],
    options: SearchOptions,
    source_lengths: Tensor | None,
) -> list[Hypothesis]:
    """Put together what was chosen step by step."""
    count, longest = len(lengths), len(steps)
    tokens, chosen = np.zeros((count, longest), np.int64), np.zeros((count, longest), np.float32)
    attended: list[list[NDArray[np.float32]]] = [[] for _ in range(count)]
    for number, each in enumerate(steps):
        tokens[each.sentences, number], chosen[each.sentences, number] = each.tokens, each.log_probabilities
        for sentence, weights in zip(each.sentences, () if each.attention is None else each.attention, strict=False):
            attended[sentence].append(weights)
    found = []
    for sentence, (length, cut) in enumerate(zip(lengths.tolist(), truncated.tolist(), strict=True)):
        log_probabilities = chosen[sentence, :length].tolist()
        score = sum(log_probabilities) / options.normalizer(length)
        attention = None
        if attended[sentence]:
            end = None if source_lengths is None else int(source_lengths[sentence])
            attention = np.stack(attended[sentence])[:, :end]
        found.append(
            Hypothesis(
                tokens[sentence, : length if cut else length - 1].tolist(), log_probabilities, score, cut, attention
            )
        )
    return found
