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
    # Contiguous, as the outputs are: torch multiplies what is not as a batch of matrices, with a copy of the weight
    # for each.
    timed = inputs.transpose(0, 1).contiguous()
    closed = None if valid is None else (~valid).t()[:, :, None]
    outputs, last = [], []
    for direction, suffix in enumerate(("_l0", "_l0_reverse")[: 2 if layer.bidirectional else 1]):
        names = [name + suffix for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
        into, into_bias, across, across_bias = [getattr(layer, n) if given is None else given[n] for n in names]
        if direction == 1:
            timed, closed = timed.flip(0), None if closed is None else closed.flip(0)
        # only the candidate's second bias stands inside a product with the reset gate
        outer, inner = across_bias[: 2 * layer.hidden_size], across_bias[2 * layer.hidden_size :]
        gates = functional.linear(timed, into, into_bias + functional.pad(outer, (0, layer.hidden_size)))
        begin = gates.new_zeros(inputs.shape[0], layer.hidden_size) if state is None else state[direction]
        hidden = _Recurrence.apply(  # type: ignore[no-untyped-call]
            gates, begin.to(gates.dtype), across.to(gates.dtype), inner.to(gates.dtype), closed
        )
        last.append(hidden[-1])
        outputs.append(hidden.flip(0) if direction == 1 else hidden)
    joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 2)
    joined = joined.transpose(0, 1).contiguous()
    if valid is not None:
        joined = joined * valid.to(joined.dtype)[:, :, None]
    return joined, torch.stack(last)


class _Recurrence(torch.autograd.Function):
    """gates of the inputs (T, B, 3H), first state (B, H), recurrent weight (3H, H), bias of n (H,) -> states (T, B, H).

    Where `closed` (T, B, 1) is true the state passes through.

    Cho et al. (2014) in torch's order and form: r, z, n; n = tanh(x_n + r (W_n h + b_n)); h' = n + z (h - n). The
    biases of r and z are in the gates already.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, begin: Tensor, weight: Tensor, bias: Tensor, closed: Tensor | None) -> Tensor:
        size = begin.shape[1]
        # In place, here and below: the product before keeps its inputs for its gradient, not these.
        if closed is not None:
            # Where the update gate is one its own slope, and the candidate's, is zero: the gradient needs no mask.
            gates[:, :, size : 2 * size].masked_fill_(closed, CLOSED)
        products = torch.empty_like(gates)
        hidden = gates.new_empty(gates.shape[0] + 1, *begin.shape)
        hidden[0] = begin
        transposed, wide = weight.t(), torch.promote_types(gates.dtype, torch.float32)
        with torch.autocast(gates.device.type, enabled=False):
            for gate, product, before, after in zip(gates, products, hidden[:-1], hidden[1:], strict=True):
                torch.mm(before, transposed, out=product)
                opened, candidate = gate[:, : 2 * size], gate[:, 2 * size :]
                opened.add_(product[:, : 2 * size]).sigmoid_()
                candidate.addcmul_(opened[:, :size], product[:, 2 * size :].add_(bias))
                candidate.copy_(candidate.to(wide).tanh_())  # bfloat16 has no fast one
                torch.lerp(candidate, before, opened[:, size:], out=after)
        ctx.save_for_backward(gates, products, hidden, weight)
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        gates, products, hidden, weight = ctx.saved_tensors
        steps, rows, size = gates.shape[0], gates.shape[1], hidden.shape[2]
        into_gates = torch.empty_like(gates)  # of the recurrent products, till the end
        into_candidates = torch.empty_like(hidden[1:])  # of the inputs: without the reset gate
        carried = torch.zeros_like(hidden[0])
        one = carried.new_ones(())
        slope = torch.empty_like(carried)
        with torch.autocast(gates.device.type, enabled=False):
            for step in range(steps - 1, -1, -1):
                reset, update, candidate = gates[step].chunk(3, dim=1)
                into_reset, into_update, into_candidate = into_gates[step].chunk(3, dim=1)
                torch.add(slopes[0][step], carried, out=slope)
                # (1 - n^2) (1 - z) slope
                inside = torch.addcmul(one, candidate, candidate, value=-1, out=into_candidates[step])
                inside.addcmul_(inside, update, value=-1).mul_(slope)
                # the same times r, and that times W h (1 - r)
                torch.mul(inside, reset, out=into_candidate)
                torch.mul(into_candidate, products[step, :, 2 * size :], out=into_reset)
                into_reset.addcmul_(into_reset, reset, value=-1)
                # (h - n) z (1 - z) slope
                slope.mul_(update)
                torch.sub(hidden[step], candidate, out=into_update)
                into_update.mul_(slope)
                into_update.addcmul_(into_update, update, value=-1)
                torch.addmm(slope, into_gates[step], weight, out=carried)
            flat = into_gates.view(steps * rows, 3 * size)
            into_weight = flat.t() @ hidden[:-1].view(steps * rows, size)
            into_bias = flat[:, 2 * size :].sum(dim=0)
        into_gates[:, :, 2 * size :] = into_candidates
        return into_gates, carried, into_weight, into_bias, None
