"""A search's step on a GPU as one CUDA graph: its kernels are launched together, not one by one from Python."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic

import torch
from torch import Tensor

from s2s.nn.nest import rebuilt, tensors_of
from s2s.translation.search.beam import AnyState, Step, StepOutput

log = logging.getLogger("s2s")

Capture = Callable[[Callable[[], Any]], tuple[Callable[[], object], Any]]
"""A function of nothing -> what runs its work again on the same tensors, and its result, which that fills anew."""

CAPTURED_WHEN_SEEN = 3
"""How often a step must come in some shapes before it is captured in them."""
LARGEST_GRAPHS = 64
"""Kept at one time; the oldest goes."""
WARM_UPS = 3


def capture_cuda(function: Callable[[], Any]) -> tuple[Callable[[], object], Any]:
    """A CUDA graph of a function's kernels, after the warm-up on a stream of its own that torch asks for."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = function()
    return graph.replay, output


class ReplayedStep(Generic[AnyState]):
    """Gives what the step gives, from a graph where its shapes have come before.

    What a call returns holds until the next one: a graph writes into the same tensors each time. States are tensors,
    None and tuples of these.
    """

    def __init__(self, step: Step[AnyState], capture: Capture = capture_cuda) -> None:
        self.step = step
        self.capture: Capture | None = capture
        self.seen: Counter[Any] = Counter()
        self.graphs: dict[Any, _Graph[AnyState]] = {}

    def __call__(self, tokens: Tensor, state: AnyState) -> StepOutput[AnyState]:
        """Last tokens and a state, as the step takes them."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors_of((tokens, state)))
        if shapes not in self.graphs:
            self.seen[shapes] += 1
            if self.capture is None or self.seen[shapes] < CAPTURED_WHEN_SEEN:
                return self.step(tokens, state)
            try:
                graph = _Graph(self.step, tokens, state, self.capture)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                log.warning("the GPU refuses CUDA graphs, so each step is launched piece by piece: %s", error)
                self.capture = None
                return self.step(tokens, state)
            if len(self.graphs) >= LARGEST_GRAPHS:
                oldest = next(iter(self.graphs))
                del self.graphs[oldest], self.seen[oldest]
            self.graphs[shapes] = graph
        return self.graphs[shapes].replay(tokens, state)


class _Graph(Generic[AnyState]):
    """One captured step and the tensors that it reads and fills."""

    def __init__(self, step: Step[AnyState], tokens: Tensor, state: AnyState, capture: Capture) -> None:
        self.inputs = [tensor.clone() for tensor in tensors_of((tokens, state))]
        own_tokens, own_state = rebuilt((tokens, state), iter(self.inputs))
        self.run, self.output = capture(lambda: step(own_tokens, own_state))

    def replay(self, tokens: Tensor, state: AnyState) -> StepOutput[AnyState]:
        # What a step passes on, as it does a memory, is there already; in another place it would be overwritten.
        moved = [
            (own, given)
            for own, given in zip(self.inputs, tensors_of((tokens, state)), strict=True)
            if own is not given
        ]
        held = {id(own) for own in self.inputs}
        for own, given in [(own, given.clone() if id(given) in held else given) for own, given in moved]:
            own.copy_(given)
        self.run()
        output: StepOutput[AnyState] = self.output
        return output
