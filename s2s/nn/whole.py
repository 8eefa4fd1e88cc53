"""A recurrent layer over whole sequences on a CPU, with its own backward pass.

torch steps a layer on a CPU through some twenty autograd nodes a time step, and adds to the recurrent matrix's gradient
at each of them; sequences of unequal lengths it packs. Here a step is one batched product for both directions and a few
element-wise passes; local derivatives and each weight's gradient are computed for all steps at once. Equals torch's
layers in values and gradients.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from s2s.device import product_type
from s2s.nn.layers import empty_padded, once_differentiable
from s2s.nn.steps import STEPS, Last, Steps


def run_whole(
    layer: nn.RNNBase,
    given: Mapping[str, Tensor] | None,
    inputs: Tensor,
    state: tuple[Tensor, ...] | None,
    lengths: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(B, T, I), (D, B, H) each, (B,) -> outputs (B, T, D x H), zero beyond each length, and the last state.

    The weights are the layer's own, or those `given` by name. Neither direction sees what is beyond a length; the
    second begins with the last position of each row.
    """
    suffixes = ("_l0", "_l0_reverse")[: 2 if layer.bidirectional else 1]
    weights, steps = given or dict(layer.named_parameters()), STEPS[type(layer)]
    dtype, size = product_type(weights["weight_hh_l0"]), layer.hidden_size

    def stacked(name: str) -> Tensor:
        every = torch.stack([weights[name + suffix] for suffix in suffixes])
        return torch.cat([every.narrow(1, gate * size, size) for gate in steps.order], dim=1)

    matrices = [stacked(name).to(dtype) for name in ("weight_ih", "weight_hh")]
    bias, inner_bias = stacked("bias_ih")[:, None], stacked("bias_hh")[:, None]
    outside = len(steps.order) - steps.inner_gates  # gates whose recurrent bias is as good as one of the inputs
    bias = bias + nn.functional.pad(inner_bias[..., : outside * size], (0, steps.inner_gates * size))
    biases = bias.to(dtype), inner_bias[..., outside * size :].to(dtype)
    if state is None:
        state = (inputs.new_zeros(len(suffixes), inputs.shape[0], size),) * steps.parts
    outputs, *last = _Whole.apply(steps, lengths, inputs, *matrices, *biases, *state)  # type: ignore[no-untyped-call]
    return outputs, tuple(last)


class _Whole(torch.autograd.Function):
    """Lengths (B,), inputs (B, T, I), weights, first state (D, B, H) each -> outputs (B, T, D x H), last state.

    The weights of G gates are W (D, GH, I), U (D, GH, H), b (D, 1, GH), and c (D, 1, H) of a GRU's candidate.

    Inside, the steps (D, T, B, ...) of each direction follow one another in the order in which it takes them: the
    second's are reversed, each row's within its length, so that what is beyond a length comes last in both. A step is
    then a batch of D matrices, and all steps are the rows (D, T x B, ...) of D. Beyond a length steps are computed in
    vain; no gradient comes from there.
    """

    @staticmethod
    def forward(ctx: Any, steps: Steps, lengths: Tensor | None, inputs: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        weight_ih, weight_hh, bias, inner_bias, first, *more = given
        (directions, batch, size), length = first.shape, inputs.shape[1]
        shape, count = (directions, length, batch, -1), length * batch
        places = _Places(lengths, batch, length)
        with torch.autocast(inputs.device.type, enabled=False):
            rows = empty_padded(weight_ih.new_empty(directions, 0, inputs.shape[2]), count)
            turned = places.turned([inputs.transpose(0, 1)] * directions)
            for place, timed in zip(rows[:, :count].view(shape), turned, strict=True):
                place.copy_(timed)
            gates = torch.baddbmm(bias, rows, weight_ih.mT)[:, :count].view(shape)
            state_rows = empty_padded(gates.new_empty(directions, 0, size), count, more=batch)
            states = state_rows[:, : count + batch].view(directions, length + 1, batch, size)
            states[:, 0] = first
            kept = steps.run(gates, states, weight_hh, inner_bias, *more)
            outputs = torch.cat([part.transpose(0, 1) for part in places.turned(states[:, 1:].unbind(0))], dim=2)
            if places.valid is not None:
                outputs.mul_(places.valid[:, :, None])
            last = [places.last(part) for part in (states, *kept[: len(more)])]
        ctx.steps, ctx.places = steps, places
        ctx.save_for_backward(rows, gates, state_rows, weight_ih, weight_hh, *kept)
        return outputs, *last

    @staticmethod
    @once_differentiable("run_whole", "use torch's own layer, which has one")
    def backward(ctx: Any, grad_outputs: Tensor, *grad_last: Tensor) -> tuple[Tensor | None, ...]:
        rows, gates, state_rows, weight_ih, weight_hh, *kept = ctx.saved_tensors
        steps, places = ctx.steps, ctx.places
        directions, length, batch, wide = gates.shape
        shape, count = (directions, length, batch, -1), length * batch
        inner = wide - steps.inner_gates * weight_hh.shape[2]
        with torch.autocast(rows.device.type, enabled=False):
            if places.valid is not None:
                grad_outputs = grad_outputs * places.valid[:, :, None]
            turned = places.turned(grad_outputs.transpose(0, 1).chunk(directions, dim=2))
            grad_states = torch.stack(turned).to(gates.dtype)
            grad_rows = empty_padded(gates.new_empty(directions, 0, wide), count)
            grad_gates = grad_rows[:, :count].view(shape)
            states = state_rows[:, : count + batch].view(directions, length + 1, batch, -1)
            through = steps.derivatives(gates, states, kept, grad_gates)
            last = Last(grad_last, places.ends)
            steps.run_back(grad_gates, grad_states, through, weight_hh, last)
            # the gradient by U h + c, ...
            grad_weight_hh = _products(grad_rows, state_rows)
            grad_inner_bias = grad_rows[..., inner:].sum(dim=1, keepdim=True)
            steps.leave(grad_gates, grad_states, through)  # ... and by W x + b
            grad_weight_ih, grad_bias = _products(grad_rows, rows), grad_rows.sum(dim=1, keepdim=True)
            forth, *back = places.turned(torch.bmm(grad_rows, weight_ih)[:, :count].view(shape))
            grad_inputs = sum(back, forth).transpose(0, 1)
        weights = grad_weight_ih, grad_weight_hh, grad_bias, grad_inner_bias
        return None, None, grad_inputs, *weights, *last.carried


class _Places:
    """Where the rows of a batch begin and end."""

    def __init__(self, lengths: Tensor | None, batch: int, size: int) -> None:
        """Lengths (B,) of a batch of `size` steps, if they differ."""
        self._lengths, self._rows = lengths, torch.arange(batch)
        self.valid: Tensor | None = None
        self.ends: dict[int, Any] = {size: slice(None)}
        """rows that end after so many steps, by that number"""
        if lengths is not None:
            steps = torch.arange(size)
            self.valid = steps < lengths[:, None]
            self._reversed = (lengths - 1 - steps[:, None]) % size
            self.ends = {length: (lengths == length).nonzero()[:, 0] for length in set(lengths.tolist())}

    def turned(self, directions: Sequence[Tensor]) -> list[Tensor]:
        """The steps (T, B, ...) of each direction, the second's reversed; the same again turns them back."""
        first, *second = directions
        if self._lengths is None:
            return [first, *(steps.flip(0) for steps in second)]
        return [first, *(steps[self._reversed, self._rows] for steps in second)]

    def last(self, states: Tensor) -> Tensor:
        """(D, T + 1, B, H) -> those (D, B, H) at the end of each row."""
        return states[:, -1].contiguous() if self._lengths is None else states[:, self._lengths, self._rows]


def _products(gradients: Tensor, factors: Tensor) -> Tensor:
    """(D, N, O), (D, N or more, I) -> a weight's gradient (D, O, I); in bfloat16 faster than batched."""
    products = gradients.new_empty(len(gradients), gradients.shape[2], factors.shape[2])
    for gradient, factor, product in zip(gradients, factors, products, strict=True):
        torch.mm(gradient.t(), factor[: len(gradient)], out=product)
    return products
