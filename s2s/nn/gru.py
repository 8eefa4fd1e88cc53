"""A GRU layer over whole sequences on a CPU, with its own backward pass.

torch steps a GRU on a CPU through some twenty autograd nodes a time step, and adds to the recurrent matrix's gradient
at each of them. Here a step is one batched product for both directions and a few element-wise passes; local derivatives
and each weight's gradient are computed for all steps at once. Equals torch.nn.GRU in values and gradients.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from s2s.device import product_type
from s2s.nn.layers import empty_padded, once_differentiable

CLOSED = 1e4
"""An update gate's input that keeps the state exactly: its sigmoid is 1, and the derivative 0, in every float type."""
aten = torch.ops.aten


def run_gru(
    layer: nn.GRU, given: Mapping[str, Tensor] | None, inputs: Tensor, state: Tensor | None, valid: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(B, T, I), (D, B, H), valid (B, T) -> outputs (B, T, D x H), zero where not valid, and the last state (D, B, H).

    The weights are the layer's own, or those `given` by name. Where a position is not valid the state passes through
    unchanged, so that neither direction sees padding; the second starts with it.
    """
    suffixes = ("_l0", "_l0_reverse")[: 2 if layer.bidirectional else 1]
    weights = given or dict(layer.named_parameters())
    dtype, size = product_type(weights["weight_hh_l0"]), layer.hidden_size
    matrices = [torch.stack([weights[f"weight_{of}{suffix}"].to(dtype) for suffix in suffixes]) for of in ("ih", "hh")]
    bias_ih, bias_hh = (torch.stack([weights[f"bias_{of}{suffix}"] for suffix in suffixes]) for of in ("ih", "hh"))
    # of the recurrent biases only the candidate's is inside a product, with the reset gate
    bias = bias_ih + nn.functional.pad(bias_hh[:, : 2 * size], (0, size))
    biases = (bias[:, None].to(dtype), bias_hh[:, None, 2 * size :].to(dtype))
    if state is None:
        state = inputs.new_zeros(len(suffixes), inputs.shape[0], size)
    return _Gru.apply(inputs, state, valid, *matrices, *biases)  # type: ignore[no-any-return, no-untyped-call]


class _Gru(torch.autograd.Function):
    """Inputs (B, T, I), first state (D, B, H), valid (B, T), weights -> outputs (B, T, D x H), last state (D, B, H).

    The weights are W (D, 3H, I), U (D, 3H, H), b (D, 1, 3H) and c (D, 1, H). A step is that of Cho et al. (2014) in
    torch's form, with a third of W, U and b for each of r, z and n, in that order:

        r, z = sigmoid(W x + b + U h)    p = U h + c    n = tanh(W x + b + r p)    h' = n + z (h - n)

    Inside, the steps (D, T, B, ...) of each direction follow one another in the order in which it takes them: the
    second's are reversed. A step is then a batch of D matrices, and all steps are the rows (D, T x B, ...) of D.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, first: Tensor, valid: Tensor | None, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        weight_ih, weight_hh, bias, inner_bias = weights
        (directions, batch, size), steps = first.shape, inputs.shape[1]
        shape, count = (directions, steps, batch, -1), steps * batch
        with torch.autocast(inputs.device.type, enabled=False):
            rows = empty_padded(weight_ih.new_empty(directions, 0, inputs.shape[2]), count)
            turned = _turned([inputs.transpose(0, 1)] * directions)
            for place, timed in zip(rows[:, :count].view(shape), turned, strict=True):
                place.copy_(timed)
            gates = torch.baddbmm(bias, rows, weight_ih.mT)[:, :count].view(shape)
            if valid is not None:
                # Where the update gate is one, no gradient reaches a gate: the backward pass needs no mask for them.
                closed = torch.stack(_turned([~valid.t()] * directions))
                gates[..., size : 2 * size].masked_fill_(closed[..., None], CLOSED)
            state_rows = empty_padded(gates.new_empty(directions, 0, size), count, more=batch)
            states = state_rows[:, : count + batch].view(directions, steps + 1, batch, size)
            states[:, 0] = first
            inner = _run(gates, states, weight_hh, inner_bias)
            outputs = torch.cat([part.transpose(0, 1) for part in _turned(states[:, 1:])], dim=2)
            if valid is not None:
                outputs.mul_(valid[:, :, None])
        ctx.save_for_backward(rows, gates, inner, state_rows, valid, weight_ih, weight_hh)
        return outputs, states[:, -1].contiguous()

    @staticmethod
    @once_differentiable("run_gru", "use torch.nn.GRU, which has one")
    def backward(ctx: Any, grad_outputs: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
        rows, gates, inner, state_rows, valid, weight_ih, weight_hh = ctx.saved_tensors
        directions, steps, batch, size = inner.shape
        shape, count = (directions, steps, batch, -1), steps * batch
        with torch.autocast(rows.device.type, enabled=False):
            if valid is not None:
                grad_outputs = grad_outputs * valid[:, :, None]
            grad_states = torch.stack(_turned(grad_outputs.transpose(0, 1).chunk(directions, dim=2)))
            grad_rows = empty_padded(gates.new_empty(directions, 0, 3 * size), count)
            grad_gates = grad_rows[:, :count].view(shape)
            before = state_rows[:, :count].view(shape)
            through_candidate = _derivatives(gates, inner, before, grad_gates)
            grad_first = _run_back(grad_gates, grad_states, gates[..., size : 2 * size], weight_hh, grad_last)
            # the gradient by U h + c, whose part for the candidate has passed the reset gate ...
            grad_weight_hh = _products(grad_rows, state_rows)
            grad_inner_bias = grad_rows[..., 2 * size :].sum(dim=1, keepdim=True)
            # ... and by W x + b
            torch.mul(through_candidate, grad_states, out=grad_gates[..., 2 * size :])
            grad_weight_ih, grad_bias = _products(grad_rows, rows), grad_rows.sum(dim=1, keepdim=True)
            grad_timed = torch.bmm(grad_rows, weight_ih)[:, :count].view(shape)
            forth, *back = _turned(grad_timed)
            grad_inputs = sum(back, forth).transpose(0, 1)
        return grad_inputs, grad_first, None, grad_weight_ih, grad_weight_hh, grad_bias, grad_inner_bias


def _turned(directions: Iterable[Tensor]) -> list[Tensor]:
    """The steps (T, ...) of each direction, the second's reversed; the same again turns them back."""
    return [steps.flip(0) if number == 1 else steps for number, steps in enumerate(directions)]


def _products(gradients: Tensor, factors: Tensor) -> Tensor:
    """(D, N, O), (D, N or more, I) -> a weight's gradient (D, O, I); in bfloat16 faster than batched."""
    products = gradients.new_empty(len(gradients), gradients.shape[2], factors.shape[2])
    for gradient, factor, product in zip(gradients, factors, products, strict=True):
        torch.mm(gradient.t(), factor[: len(gradient)], out=product)
    return products


def _run(gates: Tensor, states: Tensor, weight_hh: Tensor, inner_bias: Tensor) -> Tensor:
    """Fill the states (D, T + 1, B, H) after the first; returned is p (D, T, B, H).

    The gates (D, T, B, 3H) come as W x + b and are activated in place.
    """
    size, inner = states.shape[3], torch.empty_like(states[:, 1:])
    product = torch.empty_like(gates[:, 0])
    of_gates, of_candidate = product[..., : 2 * size], product[..., 2 * size :]
    wide = torch.empty_like(of_candidate, dtype=torch.promote_types(gates.dtype, torch.float32))
    steps = (states[:, :-1], states[:, 1:], gates[..., : 2 * size], *gates.chunk(3, dim=3), inner)
    for before, after, opened, reset, update, candidate, p in zip(*(each.unbind(1) for each in steps), strict=True):
        torch.bmm(before, weight_hh.mT, out=product)
        opened.add_(of_gates).sigmoid_()
        torch.add(of_candidate, inner_bias, out=p)
        candidate.addcmul_(reset, p)
        candidate.copy_(wide.copy_(candidate).tanh_())  # bfloat16 has no fast one
        torch.lerp(candidate, before, update, out=after)
    return inner


def _derivatives(gates: Tensor, inner: Tensor, before: Tensor, found: Tensor) -> Tensor:
    """Fill `found` (D, T, B, 3H) with the derivatives of h' by the gates' shares of U h; returned is that by W_n x.

        by W_n x    (1 - z) (1 - n^2)
        by U_n h    (1 - z) (1 - n^2) r
        by U_r h    (1 - z) (1 - n^2) p r (1 - r)
        by U_z h    (h - n) z (1 - z)

    Each is an element-wise factor, (D, T, B, H).
    """
    reset, update, candidate = gates.chunk(3, dim=3)
    by_reset, by_update, by_candidate = found.chunk(3, dim=3)
    through_candidate = torch.rsub(update, 1.0)
    _multiply(aten.tanh_backward, through_candidate, candidate)
    torch.mul(through_candidate, reset, out=by_candidate)
    torch.mul(through_candidate, inner, out=by_reset)
    _multiply(aten.sigmoid_backward, by_reset, reset)
    torch.sub(before, candidate, out=by_update)
    _multiply(aten.sigmoid_backward, by_update, update)
    return through_candidate


def _multiply(backward: Any, values: Tensor, activated: Tensor) -> None:
    """Multiply values by the derivative of the function that gave `activated`: one pass, by torch's own backward."""
    backward.grad_input(values, activated, grad_input=values)


def _run_back(grad_gates: Tensor, grad_states: Tensor, update: Tensor, weight_hh: Tensor, grad_last: Tensor) -> Tensor:
    """From derivatives to gradients (D, T, B, 3H), in place, and to that of the first state (D, B, H).

    `grad_states` (D, T, B, H) come as those of the outputs and become those of the states. A step back is

        dL/dh = z dL/dh' + Uᵀ dL/d(U h)
    """
    carried = grad_last.clone()
    steps = (grad_gates, grad_states, update)
    for gradient, grad_after, kept in reversed(list(zip(*(each.unbind(1) for each in steps), strict=True))):
        grad_after.add_(carried)
        gradient.view(*carried.shape[:2], 3, -1).mul_(grad_after[:, :, None])
        torch.mul(grad_after, kept, out=carried)
        carried.baddbmm_(gradient, weight_hh)
    return carried
