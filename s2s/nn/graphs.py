"""CUDA graphs by the shapes that they hold for: what captured training passes and captured search steps share.

A graph launches all kernels of a function at once; each time it reads the same tensors and fills the same ones.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

log = logging.getLogger("s2s")

Graph = TypeVar("Graph")
Rebuild = Callable[[Iterable[Tensor]], Any]

CAPTURED_WHEN_SEEN = 3
"""How often a function must be called with some shapes before it is captured for them."""
WARM_UPS = 3
CAPTURES = Lock()
TOLERANCE = 0.02
"""By how much of its largest entry a graph's result may differ: products in bfloat16 are not always summed alike."""


class Graphs(Generic[Graph]):
    """Graphs of one function by key. Once one cannot be captured, or gives other values, none is used any more."""

    def __init__(self, name: str, *, largest: int) -> None:
        """At most `largest` graphs are kept; the oldest is dropped."""
        self.name = name
        self.largest = largest
        self.refused = False
        self.seen: Counter[Hashable] = Counter()
        self.kept: dict[Hashable, Graph] = {}

    def get(self, key: Hashable, capture: Callable[[], Graph]) -> Graph | None:
        """The graph for a key, captured when that comes often; None where the function itself is to be called.

        `capture` raises RuntimeError where there can be no graph, for whatever reason.
        """
        if key in self.kept:
            return self.kept[key]
        self.seen[key] += 1
        if self.refused or self.seen[key] < CAPTURED_WHEN_SEEN:
            return None
        try:
            graph = capture()
        except RuntimeError as error:
            log.warning("%s: no CUDA graphs here, so each kernel is launched from Python: %s", self.name, error)
            self.refused = True
            self.kept.clear()
            return None
        if len(self.kept) >= self.largest:
            oldest = next(iter(self.kept))
            del self.kept[oldest], self.seen[oldest]
        self.kept[key] = graph
        return graph


def flat(tree: Any) -> tuple[list[Tensor], Rebuild]:
    """The tensors of a pytree of tensors and None, and a function from as many others to the same tree of those."""
    leaves, spec = tree_flatten(tree)
    present = [leaf is not None for leaf in leaves]

    def rebuild(others: Iterable[Tensor]) -> Any:
        given = iter(others)
        return tree_unflatten([next(given) if each else None for each in present], spec)

    return [leaf for leaf in leaves if leaf is not None], rebuild


def require_same(found: Iterable[Tensor], expected: Iterable[Tensor]) -> None:
    """Raise RuntimeError where floats differ by more than TOLERANCE of the largest, or are not numbers."""
    for one, other in zip(found, expected, strict=True):
        if other.is_floating_point():
            largest = float(other.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().max())
            if not torch.allclose(one, other, rtol=0.0, atol=TOLERANCE * largest):
                raise RuntimeError("a graph gives other values than the function that was captured")


@contextmanager
def capturing(device: torch.device, function: Callable[[], object]) -> Iterator[None]:
    """Make a CUDA device ready to capture a function, which is run some times first, on a stream aside as torch asks.

    Inside, the device is the current one, since only its streams are captured, and torch captures on its stream aside
    unless told otherwise: torch's own is of the device that was current at the process's first capture. The random
    generator works on a copy of its state, since a capture that fails leaves that unusable; so the function must need
    no random numbers. At the end the streams are restored, which a failed capture does not do. One thread captures at a
    time.
    """
    with CAPTURES, torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        state, stream = generator.graphsafe_get_state(), torch.cuda.graph.default_capture_stream
        generator.graphsafe_set_state(generator.clone_state())
        try:
            aside = torch.cuda.graph.default_capture_stream = side_stream(device)
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    function()
            torch.cuda.current_stream().wait_stream(aside)
            yield
        finally:
            generator.graphsafe_set_state(state)
            torch.cuda.graph.default_capture_stream = stream


@cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The one other stream of a device that is used: matrix products keep a workspace for each stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
