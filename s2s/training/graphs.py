"""A decoder's stepped pass in training as CUDA graphs.

A pass over T steps launches some thirty kernels a step from Python, and as many for its gradients; a GPU waits for that
most of the time. A graph launches them together. It holds for one combination of shapes, so a batch's widths are
rounded up (`Batch.widened`), and a pass is captured when its shapes come again. Its slow twin is `Decoder.stepped`.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor

from s2s.nn.attention import Memory
from s2s.nn.decoder import Choose, Decoder, DecoderMasks, DecoderOutput, DecoderState
from s2s.nn.graphs import Graphs, Rebuild, capturing, flat, require_same
from s2s.training.forcing import ScheduledSampling

Pass = Callable[..., tuple[Tensor, ...]]
Capture = Callable[[Pass, tuple[Tensor, ...]], Pass]
"""A function and tensors that it is called with -> the same for other tensors, which it may copy into those first."""

LARGEST_GRAPHS = 32


def capture_cuda(function: Pass, samples: tuple[Tensor, ...]) -> Pass:
    """A CUDA graph of the forward pass, and one of its gradients."""
    with capturing(samples[0].device, lambda: _values_and_gradients(function, samples)):
        # torch's own warm-up keeps parts of the autograd graph, and with them its stream, to the capture
        return torch.cuda.make_graphed_callables(  # type: ignore[return-value]
            function, samples, num_warmup_iters=0, allow_unused_input=True
        )


class ReplayedPass:
    """The output of `Decoder.stepped`, from a graph where its shapes have come before.

    All random numbers come from outside: the masks are given, and the choices are made before a pass.
    """

    def __init__(self, decoder: Decoder, capture: Capture = capture_cuda) -> None:
        self.decoder = decoder
        self.capture = capture
        self.graphs: Graphs[tuple[Pass, Rebuild]] = Graphs("stepped training", largest=LARGEST_GRAPHS)
        self.weights = tuple(decoder.parameters())
        for weight in self.weights:
            # A graph writes each gradient to the same place; that must not become the parameter's own.
            weight.register_hook(lambda given: None if given is None else given.clone())  # type: ignore[no-untyped-call]

    def __call__(
        self, inputs: Tensor, state: DecoderState, memory: Memory, masks: DecoderMasks, choose: Choose | None
    ) -> DecoderOutput:
        """As `Decoder.stepped`; `choose` must be a `ScheduledSampling`."""
        assert choose is None or isinstance(choose, ScheduledSampling)
        rows, steps = inputs.shape
        choices = None if choose is None else choose.choices(steps - 1, rows, inputs.device)
        tensors, rebuild = flat((inputs, state, memory, masks, choices))
        device = inputs.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        shapes = tuple((tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in tensors)
        key = (None if choose is None else choose.feed, dtype, shapes)
        captured = self.graphs.get(key, lambda: self._captured(tensors, rebuild, dtype))
        if captured is None:
            return self.decoder.stepped(inputs, state, memory, masks, None if choices is None else choices.chooser())
        graph, rebuild_output = captured
        output: DecoderOutput = rebuild_output(graph(*tensors, *self.weights))
        return output

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        """A copied decoder begins without graphs, which read and write memory of the one that they were made for."""

    def _captured(self, tensors: list[Tensor], rebuild: Rebuild, dtype: torch.dtype | None) -> tuple[Pass, Rebuild]:
        """A graph of the pass, and the function from its tensors to an output; RuntimeError where values differ."""
        twin = self._twin()
        plain, captured = (_Function(decoder, rebuild, dtype) for decoder in (self.decoder, twin))
        leaves = (tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in tensors)
        given = (*leaves, *self.weights)
        # zeros: a graph that computes nothing is then found out, since it does not give what the pass gives
        zeros = (torch.zeros_like(tensor, requires_grad=tensor.requires_grad) for tensor in tensors)
        with torch.autocast(tensors[0].device.type, enabled=False):  # the function enters its own
            expected = _values_and_gradients(plain, given)
            graph = self.capture(captured, (*zeros, *twin.parameters()))
            require_same(_values_and_gradients(graph, given), expected)
        return graph, captured.rebuild_output

    def _twin(self) -> Decoder:
        """The decoder with weights that are other leaves in the same memory, for one capture.

        Autograd may hold a node of the decoder's own, as where the encoder shares one of them. It belongs to the stream
        on which the encoder ran, and a capture on another stream fails there.
        """
        twin = deepcopy(self.decoder).train()
        for own, shared in zip(twin.parameters(), self.weights, strict=True):
            own.data = shared.data
        return twin


class _Function:
    """A decoder's stepped pass, from tensors to those of its output.

    Its arguments are the tensors of which `rebuild` makes the decoder's, and its weights, which only are there for
    gradients; `dtype` is autocast's, or None.
    """

    def __init__(self, decoder: Decoder, rebuild: Rebuild, dtype: torch.dtype | None) -> None:
        self.decoder, self.rebuild, self.dtype = decoder, rebuild, dtype
        self.rebuild_output: Rebuild

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs, state, memory, masks, choices = self.rebuild(tensors)
        # a graph must not read the copy of a weight that was cast for another pass
        with torch.autocast(inputs.device.type, self.dtype, enabled=self.dtype is not None, cache_enabled=False):
            choose = None if choices is None else choices.chooser()
            found, self.rebuild_output = flat(self.decoder.stepped(inputs, state, memory, masks, choose))
        return tuple(found)


def _values_and_gradients(function: Pass, given: tuple[Tensor, ...]) -> list[Tensor]:
    """Outputs of a function, and the gradients of their sum by its arguments."""
    outputs = function(*given)
    wanted = [each for each in given if each.requires_grad]
    total = torch.stack([output.float().sum() for output in outputs if output.requires_grad]).sum()
    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    return [part.detach().clone() for part in (*outputs, *gradients) if part is not None]
