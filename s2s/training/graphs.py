"""A decoder's stepped pass in training as CUDA graphs.

A pass over T steps launches some thirty kernels a step from Python, and as many for its gradients; a GPU waits for that
most of the time. A graph launches them together. It holds for one combination of shapes, so a batch's widths are
rounded up (`Batch.widened`), and a pass is captured when its shapes come again. Each graph must give what the plain
pass does, values and gradients, before it is used. Its slow twin is `Decoder.stepped`.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from s2s.nn.attention import Memory
from s2s.nn.decoder import Choose, Decoder, DecoderMasks, DecoderOutput, DecoderState
from s2s.nn.nest import rebuilt, tensors_of

log = logging.getLogger("s2s")

Pass = Callable[..., tuple[Tensor, ...]]
Capture = Callable[[nn.Module, tuple[Tensor, ...]], Pass]
"""A module and tensors like its arguments -> the same function, which may compute in memory of its own."""

CAPTURED_WHEN_SEEN = 3
"""How often a pass must come in some shapes before it is captured in them."""
LARGEST_GRAPHS = 32
"""Kept at one time; the oldest goes."""
MOST_SEEN = 1000
"""Combinations of shapes that are counted."""
TOLERANCE = 0.02
"""By how much of its largest entry a graph's result may differ: products in bfloat16 are not always summed alike."""


def capture_cuda(module: nn.Module, samples: tuple[Tensor, ...]) -> Pass:
    """A CUDA graph of the forward pass, and one of its gradients."""
    return torch.cuda.make_graphed_callables(module, samples, allow_unused_input=True)  # type: ignore[return-value]


class ReplayedPass:
    """Gives what `Decoder.stepped` gives, from a graph where its shapes have come before."""

    def __init__(self, decoder: Decoder, capture: Capture = capture_cuda) -> None:
        self.decoder = decoder
        self.capture: Capture | None = capture
        self.seen: Counter[Any] = Counter()
        self.graphs: dict[Any, tuple[Pass, _Plain]] = {}
        for parameter in decoder.parameters():
            # A graph writes each gradient to the same place; that must not become the parameter's own.
            parameter.register_hook(_own)  # type: ignore[no-untyped-call]

    def __call__(
        self, inputs: Tensor, state: DecoderState, memory: Memory, masks: DecoderMasks, choose: Choose | None
    ) -> DecoderOutput:
        """As `Decoder.stepped`; `choose` is told from others by what it equals."""
        nest = (inputs, state, memory, masks)
        tensors = tuple(tensors_of(nest))
        dtype = torch.get_autocast_dtype(inputs.device.type) if torch.is_autocast_enabled(inputs.device.type) else None
        key = (choose, dtype, *((tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in tensors))
        if key not in self.graphs:
            if len(self.seen) > MOST_SEEN:  # a forcing rate that changes with every step is never seen again
                self.seen.clear()
            self.seen[key] += 1
            if self.capture is None or self.seen[key] < CAPTURED_WHEN_SEEN:
                return self.decoder.stepped(*nest, choose)
            plain = _Plain(self.decoder, nest, choose, dtype)
            graph = self._captured(plain, tensors)
            if graph is None:
                return self.decoder.stepped(*nest, choose)
            if len(self.graphs) >= LARGEST_GRAPHS:
                oldest = next(iter(self.graphs))
                del self.graphs[oldest]
                self.seen.pop(oldest, None)
            self.graphs[key] = graph, plain
        graph, plain = self.graphs[key]
        output: DecoderOutput = rebuilt(plain.output, iter(graph(*tensors)))
        return output

    def _captured(self, plain: "_Plain", tensors: tuple[Tensor, ...]) -> Pass | None:
        """A graph of the pass, or None, and no more tries, where the GPU refuses it or it gives something else."""
        assert self.capture is not None
        expected = _values_and_slopes(plain, tensors, plain)
        try:
            # the pass enters its own autocast; and what is tried takes no random numbers from the training
            with torch.autocast(tensors[0].device.type, enabled=False), _forked(tensors[0].device):
                graph = self.capture(plain, _copies(tensors))
            found = _values_and_slopes(graph, tensors, plain)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("the GPU refuses CUDA graphs, so stepped training is launched piece by piece: %s", error)
            self.capture = None
            return None
        for one, other in zip(found, expected, strict=True):
            if not torch.allclose(one, other, rtol=0.0, atol=TOLERANCE * float(other.abs().max())):
                log.warning("CUDA graphs give other gradients here, so stepped training is launched piece by piece")
                self.capture = None
                return None
        return graph


class _Plain(nn.Module):
    """A decoder's stepped pass as a function of tensors: those of a nest, in its order."""

    def __init__(self, decoder: Decoder, nest: Any, choose: Choose | None, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.decoder = decoder
        self.choose, self.dtype = choose, dtype
        self.nest = rebuilt(nest, repeat(torch.empty(0)))
        self.output: Any = None
        """the nest of the outputs, with tensors that say nothing"""

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs, state, memory, masks = rebuilt(self.nest, iter(tensors))
        # a graph must not read the copy of a weight that was cast for another pass
        with torch.autocast(inputs.device.type, self.dtype, enabled=self.dtype is not None, cache_enabled=False):
            output = self.decoder.stepped(inputs, state, memory, masks, self.choose)
        self.output = rebuilt(output, repeat(torch.empty(0)))
        return tuple(tensors_of(output))


def _own(slope: Tensor | None) -> Tensor | None:
    return None if slope is None else slope.clone()


def _copies(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in tensors)


def _forked(device: torch.device) -> AbstractContextManager[None]:
    """Behind it the random numbers come that would have come without it."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _values_and_slopes(function: Pass, tensors: tuple[Tensor, ...], module: nn.Module) -> list[Tensor]:
    """What it gives, and the gradients of the sum of that, with the random numbers that come next and come again."""
    leaves = _copies(tensors)
    with _forked(leaves[0].device):
        outputs = function(*leaves)
        wanted = [leaf for leaf in (*leaves, *module.parameters()) if leaf.requires_grad]
        total = torch.stack([output.float().sum() for output in outputs if output.requires_grad]).sum()
        slopes = torch.autograd.grad(total, wanted, allow_unused=True)
    return [part.detach().clone() for part in (*outputs, *slopes) if part is not None]
