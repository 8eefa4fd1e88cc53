"""A search's step on a GPU as one CUDA graph: its kernels are launched together, not one by one from Python."""

from collections.abc import Callable
from typing import Any, Generic

import torch
from torch import Tensor

from s2s.nn.graphs import Graphs, capturing, flat, require_same
from s2s.translation.search.beam import AnyState, Step, StepOutput

Capture = Callable[[Callable[[], Any], torch.device], tuple[Callable[[], object], Any]]
"""A function and its device -> what computes its result again from the same tensors, and that result, filled anew."""

LARGEST_GRAPHS = 64


def capture_cuda(function: Callable[[], Any], device: torch.device) -> tuple[Callable[[], object], Any]:
    """A CUDA graph of a function's kernels."""
    graph = torch.cuda.CUDAGraph()
    # of this thread alone: what others ask of CUDA meanwhile neither fails nor ends the capture
    with capturing(device, function), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = function()
    return graph.replay, output


class ReplayedStep(Generic[AnyState]):
    """The output of a step, from a graph where its shapes have come before.

    It is overwritten by the next call, since a graph fills the same tensors each time; so threads need one each.
    States are pytrees of tensors and None.
    """

    def __init__(self, step: Step[AnyState], capture: Capture = capture_cuda) -> None:
        self.step = step
        self.capture = capture
        self.graphs: Graphs[_Graph[AnyState]] = Graphs("search", largest=LARGEST_GRAPHS)

    def __call__(self, tokens: Tensor, state: AnyState) -> StepOutput[AnyState]:
        """Last tokens and a state, as the step takes them."""
        tensors, rebuild = flat((tokens, state))
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors)

        def captured() -> _Graph[AnyState]:
            graph = _Graph(lambda given: self.step(*rebuild(given)), tensors, self.capture)
            require_same(flat(graph.replay(tensors))[0], flat(self.step(tokens, state))[0])
            return graph

        graph = self.graphs.get(shapes, captured)
        return self.step(tokens, state) if graph is None else graph.replay(tensors)


class _Graph(Generic[AnyState]):
    """One captured step and the tensors that it reads and fills."""

    def __init__(
        self, step: Callable[[list[Tensor]], StepOutput[AnyState]], given: list[Tensor], capture: Capture
    ) -> None:
        # zeros: a graph that computes nothing is then found out, since it does not give what the step gives
        self.inputs = [torch.zeros_like(tensor) for tensor in given]
        self.run, self.output = capture(lambda: step(self.inputs), given[0].device)

    def replay(self, given: list[Tensor]) -> StepOutput[AnyState]:
        """The output for other tensors."""
        # What a step passes on, as it does a memory, is there already; in another place it would be overwritten.
        moved = [(own, new) for own, new in zip(self.inputs, given, strict=True) if own is not new]
        held = {id(own) for own in self.inputs}
        for own, new in [(own, new.clone() if id(new) in held else new) for own, new in moved]:
            own.copy_(new)
        self.run()
        output: StepOutput[AnyState] = self.output
        return output
