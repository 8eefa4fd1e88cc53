"""A GRU layer over whole sequences on a processor, with its own backward pass.

torch steps a GRU on a CPU through some twenty autograd nodes a time step, and adds to the recurrent matrix's gradient
at each of them. Here both directions take a step together, a matrix product each and a few element-wise passes. What
of the backward pass is the same for every slope is computed for all steps at once, and so is each weight's gradient.
Equals torch.nn.GRU in values and gradients.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from s2s.device import product_type
from s2s.nn.linear import filled_up

CLOSED = 1e4
"""An update gate's input that keeps the state exactly: sigmoid(CLOSED) is 1, and its slope 0, in every float type."""
aten = torch.ops.aten
WEIGHTS = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
"""Of a direction, in torch's names."""


def run_gru(
    layer: nn.GRU, given: Mapping[str, Tensor] | None, inputs: Tensor, state: Tensor | None, valid: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(B, T, I), (D, B, H), valid (B, T) -> outputs (B, T, D x H), zero where not valid, and the last state (D, B, H).

    The weights are the layer's own, or those `given` by name. Where a position is not valid the state passes through
    unchanged, so that neither direction sees padding.
    """
    suffixes = ("_l0", "_l0_reverse")[: 2 if layer.bidirectional else 1]
    names = [name + suffix for suffix in suffixes for name in WEIGHTS]
    weights = [getattr(layer, name) if given is None else given[name] for name in names]
    if state is None:
        state = inputs.new_zeros(len(suffixes), inputs.shape[0], layer.hidden_size)
    outputs, last = _Gru.apply(inputs, state, valid, *weights)  # type: ignore[no-untyped-call]
    return outputs, last


class _Gru(torch.autograd.Function):
    """Inputs (B, T, I), first state (D, B, H), valid (B, T), WEIGHTS of each direction -> outputs and last state.

    Cho et al. (2014) in torch's order and form: r, z, n; n = tanh(x_n + r (W_n h + b_n)); h' = n + z (h - n).
    Inside, time comes before the batch: a step is then contiguous, and all steps are the rows of one matrix.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, begin: Tensor, valid: Tensor | None, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        dtype, (directions, rows, size), steps = product_type(weights[0]), begin.shape, inputs.shape[1]
        with torch.autocast(inputs.device.type, enabled=False):
            count = steps * rows
            timed = filled_up(inputs.new_empty(0, inputs.shape[2], dtype=dtype), count)
            timed[:count].view(steps, rows, -1).copy_(inputs.transpose(0, 1))
            into, across = ([weight.to(dtype) for weight in weights[first::4]] for first in (0, 2))
            flat = timed.new_empty(directions, len(timed), 3 * size)
            for direction, (into_bias, across_bias) in enumerate(zip(weights[1::4], weights[3::4], strict=True)):
                # of the recurrent biases only the candidate's stands inside a product, with the reset gate
                bias = into_bias + nn.functional.pad(across_bias[: 2 * size], (0, size))
                torch.addmm(bias.to(dtype), timed, into[direction].t(), out=flat[direction])
            gates = flat[:, :count].view(directions, steps, rows, 3 * size)
            if valid is not None:
                # Where the update gate is one its own slope, and the candidate's, is zero: the gradient needs no mask.
                gates[..., size : 2 * size].masked_fill_(~valid.t()[:, :, None], CLOSED)
            inner = torch.stack([bias[None, 2 * size :] for bias in weights[3::4]]).to(dtype)
            states = filled_up(gates.new_empty(directions, 0, size), count, more=rows)
            hidden = states[:, : count + rows].view(directions, steps + 1, rows, size)
            _paired(hidden)[0].copy_(begin)
            products = gates.new_empty(directions, steps, rows, size)
            _run(gates, products, hidden, across, inner)
            parts = [hidden[0, 1:].transpose(0, 1)]
            if directions == 2:
                parts.append(hidden[1, :-1].transpose(0, 1))
            outputs = torch.cat(parts, dim=2)
            if valid is not None:
                outputs.mul_(valid[:, :, None])
        ctx.save_for_backward(timed, gates, products, states, valid, *into, *across)
        return outputs, _paired(hidden)[-1].contiguous()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        timed, gates, products, states, valid, *weights = ctx.saved_tensors
        directions, steps, rows, size = products.shape
        count = steps * rows
        into, across = weights[:directions], weights[directions:]
        with torch.autocast(timed.device.type, enabled=False):
            # contiguous, (D, T, B, H), and a copy: what the states' slopes are added to
            slope = (
                slopes[0]
                .reshape(rows, steps, directions, size)
                .permute(2, 1, 0, 3)
                .clone(memory_format=torch.contiguous_format)
            )
            if valid is not None:
                slope.mul_(valid.t()[:, :, None])
            flat = filled_up(gates.new_empty(directions, 0, 3 * size), count)
            into_gates = flat[:, :count].view(gates.shape)
            hidden = states[:, : count + rows].view(directions, steps + 1, rows, size)
            inside = _slopes_of_gates(gates, products, hidden, into_gates)
            carried = _run_back(into_gates, slope, gates[..., size : 2 * size], across, slopes[1])
            # the rows behind all steps', which have no slope, stand before some state all the same
            before = (states[0, : len(timed)], states[-1, rows : rows + len(timed)])[:directions]
            into_across = [one.t() @ state for one, state in zip(flat, before, strict=True)]
            inner = flat[:, :, 2 * size :].sum(dim=1)
            # that was of the recurrent products; into the inputs' share of the candidate leads no reset gate
            torch.mul(inside, slope, out=into_gates[..., 2 * size :])
            biases = flat.sum(dim=1)
            found = []
            for direction in range(directions):
                outer = biases[direction]
                across_bias = torch.cat([outer[: 2 * size], inner[direction]])
                found += [
                    flat[direction].t() @ timed,
                    outer,
                    into_across[direction],
                    across_bias,
                ]
            into_inputs = flat[0] @ into[0]
            if directions == 2:
                into_inputs.addmm_(flat[1], into[1])
        return into_inputs[:count].view(steps, rows, -1).transpose(0, 1), carried, None, *found


def _paired(tensor: Tensor) -> list[Tensor]:
    """(D, N, ...) -> what the directions see at the same step, N times (D, ...): the second begins at the end.

    D and N are laid out one within the other, as in a contiguous tensor: so a view holds both.
    """
    directions, count, *rest = tensor.shape
    if directions == 1:
        return list(tensor.unbind(1))
    across, along, *inner = tensor.stride()
    return [
        tensor.as_strided(
            (directions, *rest),
            (across + (count - 1 - 2 * number) * along, *inner),
            tensor.storage_offset() + number * along,
        )
        for number in range(count)
    ]


def _by_direction(tensor: Tensor) -> list[tuple[Tensor, ...]]:
    """(D, N, ...) -> the same, N times D tensors (...)."""
    ordered = [part.unbind(0) if direction == 0 else part.unbind(0)[::-1] for direction, part in enumerate(tensor)]
    return list(zip(*ordered, strict=True))


def _run(gates: Tensor, products: Tensor, hidden: Tensor, across: list[Tensor], inner: Tensor) -> None:
    """Fill the states (D, T + 1, B, H) behind the first.

    `gates` (D, T, B, 3H) come as the inputs' share and are activated in place; `products` (D, T, B, H) receive
    W_n h + b_n.
    """
    size, transposed = hidden.shape[3], [weight.t() for weight in across]
    product = gates.new_empty(gates.shape[0], gates.shape[2], 3 * size)
    opening, inside, outs = product[:, :, : 2 * size], product[:, :, 2 * size :], product.unbind(0)
    wide = torch.empty_like(inside, dtype=torch.promote_types(gates.dtype, torch.float32))
    states = _paired(hidden)
    views = (gates[..., : 2 * size], gates[..., :size], gates[..., size : 2 * size], gates[..., 2 * size :], products)
    steps = zip(_by_direction(hidden)[:-1], states[:-1], states[1:], *map(_paired, views), strict=True)
    for each, before, after, opened, reset, update, candidate, kept in steps:
        for state, weight, out in zip(each, transposed, outs, strict=True):
            torch.mm(state, weight, out=out)
        opened.add_(opening).sigmoid_()
        torch.add(inside, inner, out=kept)
        candidate.addcmul_(reset, kept)
        candidate.copy_(wide.copy_(candidate).tanh_())  # bfloat16 has no fast one
        torch.lerp(candidate, before, update, out=after)


def _slopes_of_gates(gates: Tensor, products: Tensor, hidden: Tensor, found: Tensor) -> Tensor:
    """Fill `found` (D, T, B, 3H) with the derivative of each state by what went into its gates.

    Returned is that by the candidate's share of the inputs, (D, T, B, H), (1 - n^2) (1 - z).
    """
    reset, update, candidate = gates.chunk(3, dim=3)
    into_reset, into_update, into_candidate = found.chunk(3, dim=3)
    inside = torch.rsub(update, 1.0)
    _times_slope(aten.tanh_backward, inside, candidate)
    # the same times r, and the same times W h r (1 - r)
    torch.mul(inside, reset, out=into_candidate)
    torch.mul(inside, products, out=into_reset)
    _times_slope(aten.sigmoid_backward, into_reset, reset)
    # (h - n) z (1 - z)
    for direction, states in enumerate((hidden[0, :-1], hidden[-1, 1:])[: len(gates)]):
        torch.sub(states, candidate[direction], out=into_update[direction])
    _times_slope(aten.sigmoid_backward, into_update, update)
    return inside


def _times_slope(backward: Any, values: Tensor, activated: Tensor) -> None:
    """Multiply values by the slope of the function that gave `activated`: one pass, by torch's own derivative of it."""
    backward.grad_input(values, activated, grad_input=values)


def _run_back(into_gates: Tensor, slope: Tensor, update: Tensor, across: list[Tensor], carried: Tensor) -> Tensor:
    """From derivatives to slopes (D, T, B, 3H), in place, and to that of the first state (D, B, H).

    `slope` (D, T, B, H) comes as that of the outputs and becomes that of the states; `carried` is the last state's.
    """
    carried = carried.clone()
    into, gates = carried.unbind(0), into_gates.view(*slope.shape[:3], 3, -1)
    steps = zip(
        _by_direction(into_gates), _paired(gates), _paired(slope), _paired(slope[:, :, :, None]), _paired(update),
        strict=True,
    )  # fmt: skip
    for each, together, here, spread, kept in reversed(list(steps)):
        here.add_(carried)
        together.mul_(spread)
        torch.mul(here, kept, out=carried)
        for state, part, weight in zip(into, each, across, strict=True):
            state.addmm_(part, weight)
    return carried
