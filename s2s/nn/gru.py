"""A GRU layer over whole sequences on a processor, with its own backward pass.

torch steps a GRU on a CPU through some twenty autograd nodes a time step, and adds to the recurrent
matrix's gradient at each of them. Here a time step is one matrix product and a few element-wise passes,
and each weight's gradient is one product over all time steps at the end. Equals torch.nn.GRU in values
and gradients.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CLOSED = 1e4
"""An update gate's input that keeps the state exactly: sigmoid(CLOSED) is 1, and its slope 0, in every float type."""


def run_gru(
    layer: nn.GRU, given: Mapping[str, Tensor] | None, inputs: Tensor, state: Tensor | None, valid: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(B, T, I), (D, B, H), valid (B, T) -> outputs (B, T, D x H), zero where not valid, and the last state (D, B, H).

    The weights are the layer's own, or those `given` by name. Where a position is not valid the state passes through
    unchanged, so that neither direction sees padding.
    """
    timed = inputs.transpose(0, 1)
    closed = None if valid is None else (~valid).t()[:, :, None]
    outputs, last = [], []
    for direction, suffix in enumerate(("_l0", "_l0_reverse")[: 2 if layer.bidirectional else 1]):
        names = [name + suffix for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
        weights = [getattr(layer, name) if given is None else given[name] for name in names]
        if direction == 1:
            timed, closed = timed.flip(0), None if closed is None else closed.flip(0)
        gates = functional.linear(timed, weights[0], weights[1])
        begin = gates.new_zeros(inputs.shape[0], layer.hidden_size) if state is None else state[direction]
        hidden = _Recurrence.apply(  # type: ignore[no-untyped-call]
            gates, begin.to(gates.dtype), weights[2].to(gates.dtype), weights[3].to(gates.dtype), closed
        )
        last.append(hidden[-1])
        outputs.append(hidden.flip(0) if direction == 1 else hidden)
    joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 2)
    joined = joined.transpose(0, 1)
    if valid is not None:
        joined = joined * valid[:, :, None]
    return joined, torch.stack(last)


class _Recurrence(torch.autograd.Function):
    """gates of the inputs (T, B, 3H), first state (B, H), recurrent weight (3H, H) and bias (3H,) -> states (T, B, H).

    Where `closed` (T, B, 1) is true the state passes through.

    Cho et al. (2014) in torch's order and form: r, z, n; n = tanh(x_n + r (W_n h + b_n)); h' = n + z (h - n).
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, begin: Tensor, weight: Tensor, bias: Tensor, closed: Tensor | None) -> Tensor:
        if closed is not None:
            # In place: the product before keeps its inputs for its gradient, not these. Where the update gate is
            # one its own slope, and that of the candidate, is zero, so the gradient needs no mask.
            gates[:, :, begin.shape[1] : 2 * begin.shape[1]].masked_fill_(closed, CLOSED)
        steps, rows, size = gates.shape[0], gates.shape[1], begin.shape[1]
        opened = gates.new_empty(steps, rows, 2 * size)
        candidate, inner = gates.new_empty(steps, rows, size), gates.new_empty(steps, rows, size)
        hidden = gates.new_empty(steps + 1, rows, size)
        hidden[0] = begin
        transposed = weight.t()
        product = gates.new_empty(rows, 3 * size)
        with torch.autocast(gates.device.type, enabled=False):
            for step in range(steps):
                torch.addmm(bias, hidden[step], transposed, out=product)
                torch.add(gates[step, :, : 2 * size], product[:, : 2 * size], out=opened[step]).sigmoid_()
                inner[step] = product[:, 2 * size :]
                reset, update = opened[step, :, :size], opened[step, :, size:]
                torch.addcmul(gates[step, :, 2 * size :], reset, inner[step], out=candidate[step]).tanh_()
                torch.lerp(candidate[step], hidden[step], update, out=hidden[step + 1])
        ctx.save_for_backward(opened, candidate, inner, hidden, weight)
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        opened, candidate, inner, hidden, weight = ctx.saved_tensors
        steps, rows, size = candidate.shape
        reset, update = opened[:, :, :size], opened[:, :, size:]
        # The slopes of the three gates' inputs are these factors times the slope of the new state.
        into_candidate = (1 - update) * (1 - candidate * candidate)
        factors = torch.stack(
            [
                into_candidate * inner * reset * (1 - reset),
                (hidden[:-1] - candidate) * update * (1 - update),
                into_candidate * reset,
            ],
            dim=2,
        )
        into_hidden = torch.empty_like(candidate)
        into_gates = torch.empty_like(factors)
        carried = torch.zeros_like(candidate[0])
        with torch.autocast(candidate.device.type, enabled=False):
            for step in range(steps - 1, -1, -1):
                slope = torch.add(slopes[0][step], carried, out=into_hidden[step])
                torch.mul(factors[step], slope[:, None, :], out=into_gates[step])
                torch.mm(into_gates[step].view(rows, 3 * size), weight, out=carried)
                carried.addcmul_(slope, update[step])
            flat = into_gates.view(steps * rows, 3 * size)
            into_weight = flat.t() @ hidden[:-1].reshape(steps * rows, size)
            into_bias = flat.sum(dim=0)
        into_gates[:, :, 2] = into_hidden * into_candidate
        return into_gates.view(steps, rows, 3 * size), carried, into_weight, into_bias, None
