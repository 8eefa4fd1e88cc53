"""Captured steps give what the steps give. The capturing itself needs a GPU (tests/test_cuda.py); here it is acted."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from s2s.nn.graphs import CAPTURED_WHEN_SEEN, flat
from s2s.translation.search import graphs
from s2s.translation.search.beam import SearchOptions, StepOutput, beam_search
from s2s.translation.search.graphs import Capture, ReplayedStep
from tests.translation.search.test_beam import ToyState, lengths, toy, toy_step


def act(function: Callable[[], Any], device: torch.device) -> tuple[Callable[[], object], Any]:
    """What a CUDA graph does: the same tensors read, and the same ones filled."""
    output = function()

    def again() -> None:
        for own, fresh in zip(flat(output)[0], flat(function())[0], strict=True):
            if own is not fresh:
                own.copy_(fresh.clone())

    return again, output


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("largest", [1, 64])
def test_a_search_over_captured_steps_finds_the_same(beam: int, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "LARGEST_GRAPHS", largest)
    step: ReplayedStep[ToyState] = ReplayedStep(toy_step, act)
    limits = {"max_lengths": lengths(9, 12, 12), "min_lengths": lengths(6, 9, 3)}
    for seed in range(8):
        state = toy(seed, 3)
        if beam == 1:
            found = beam_search(step, state, SearchOptions(), beam=1, **limits)
            expected = beam_search(toy_step, state, SearchOptions(), beam=1, **limits)
            assert found == expected
        else:
            several = beam_search(step, state, SearchOptions(), beam=beam, **limits)
            assert several == beam_search(toy_step, state, SearchOptions(), beam=beam, **limits)
    assert 0 < len(step.graphs.kept) <= largest


def test_a_state_that_is_passed_through_is_copied_once() -> None:
    copied = []

    class Counted(Tensor):
        def copy_(self, *given: Any, **more: Any) -> Any:
            copied.append(self.shape)
            return super().copy_(*given, **more)

    step: ReplayedStep[ToyState] = ReplayedStep(toy_step, act)
    state, tokens = toy(1, 2), torch.zeros(2, 1, dtype=torch.int64)
    for _ in range(CAPTURED_WHEN_SEEN):
        state = step(tokens, state).state
    (graph,) = step.graphs.kept.values()
    graph.inputs = [tensor.as_subclass(Counted) for tensor in graph.inputs]  # no longer what the state holds
    state = step(tokens, state).state
    assert len(copied) == len(graph.inputs)
    table = graph.inputs[1]
    copied.clear()
    step(tokens, state._replace(table=table))
    assert table.shape not in copied


def refused(function: Callable[[], Any], device: torch.device) -> tuple[Callable[[], object], Any]:
    raise RuntimeError("no graphs here")


def empty(function: Callable[[], Any], device: torch.device) -> tuple[Callable[[], object], Any]:
    """What torch captures on another device than the tensors': nothing, so that only the first values remain."""
    output = function()
    return lambda: None, output


@pytest.mark.parametrize(("capture", "said"), [(refused, "no graphs here"), (empty, "other values")])
def test_a_device_that_refuses_or_captures_nothing_is_warned_of_and_stepped(
    capture: Capture, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    step: ReplayedStep[ToyState] = ReplayedStep(toy_step, capture)
    tokens = torch.zeros(2, 1, dtype=torch.int64)
    for seed in range(2 * CAPTURED_WHEN_SEEN):
        state = toy(seed, 2)
        output: StepOutput[ToyState] = step(tokens, state)
        torch.testing.assert_close(output.log_probabilities, toy_step(tokens, state).log_probabilities)
    assert caplog.text.count(said) == 1
