"""Steps of Elman, GRU and LSTM layers, forth and back, for `s2s.nn.whole`.

Steps (D, T, B, ...) follow one another in the order in which each direction takes them. Of G gates (D, T, B, GH) come
W x + b and are activated in place; U and c are the recurrent weights, (D, GH, H) and (D, 1, H).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

aten = torch.ops.aten
Kept = Sequence[Tensor]


class Last:
    """Gradients that are carried from step to step back; those of the last state join where its row ends."""

    def __init__(self, gradients: Kept, ends: Mapping[int, Any]) -> None:
        """(D, B, H) each; `ends` are the rows that end after a number of steps."""
        self._gradients, self._ends = gradients, ends
        self.carried = [torch.zeros_like(gradient) for gradient in gradients]

    def join(self, step: int) -> None:
        """Add those of the rows that end after so many steps."""
        if (rows := self._ends.get(step)) is not None:
            for carried, gradient in zip(self.carried, self._gradients, strict=True):
                carried[:, rows] += gradient[:, rows]


class Steps:
    """Elman's step (1990), of one gate: h' = tanh(W x + b + U h)."""

    order: ClassVar[tuple[int, ...]] = (0,)
    """torch's gates, in the order in which they are kept here"""
    inner_gates: ClassVar[int] = 0
    """of these the last, whose recurrent bias is inside a product"""
    parts: ClassVar[int] = 1
    """of a State"""

    @staticmethod
    def run(gates: Tensor, states: Tensor, weight_hh: Tensor, bias: Tensor, *more: Tensor) -> Kept:
        """Fill the states (D, T + 1, B, H) after the first; `more` is the rest of the first State.

        Returned are the other parts of the states, and what the way back needs.
        """
        for before, after, gate in zip(states[:, :-1].unbind(1), states[:, 1:].unbind(1), gates.unbind(1), strict=True):
            torch.tanh(torch.baddbmm(gate, before, weight_hh.mT), out=after)
        return []

    @staticmethod
    def derivatives(gates: Tensor, states: Tensor, kept: Kept, found: Tensor) -> Kept:
        """Fill `found` (D, T, B, GH) with derivatives by the gates' shares of U h; returned is what else is needed."""
        _multiply(aten.tanh_backward, found.fill_(1.0), states[:, 1:])
        return []

    @staticmethod
    def run_back(grad_gates: Tensor, grad_states: Tensor, through: Kept, weight_hh: Tensor, last: Last) -> None:
        """From derivatives to gradients (D, T, B, GH), in place.

        `grad_states` (D, T, B, H) come as those of the outputs and become those of the states.
        """
        (carried,) = last.carried
        for step, gradient, grad_after in _backwards(grad_gates, grad_states):
            last.join(step)
            grad_after.add_(carried)
            torch.bmm(gradient.mul_(grad_after), weight_hh, out=carried)

    @staticmethod
    def leave(grad_gates: Tensor, grad_states: Tensor, through: Kept) -> None:
        """From gradients by U h + c to those by W x + b, in place."""


class GruSteps(Steps):
    """Step of Cho et al. (2014) in torch's form, with a third of W, U and b for each of r, z and n, in that order:

    r, z = sigmoid(W x + b + U h)    p = U h + c    n = tanh(W x + b + r p)    h' = n + z (h - n)
    """

    order = (0, 1, 2)
    inner_gates = 1

    @staticmethod
    def run(gates: Tensor, states: Tensor, weight_hh: Tensor, bias: Tensor, *more: Tensor) -> Kept:
        """Kept is p (D, T, B, H)."""
        size, inner = states.shape[3], torch.empty_like(states[:, 1:])
        product = torch.empty_like(gates[:, 0])
        of_gates, of_candidate = product[..., : 2 * size], product[..., 2 * size :]
        wide = torch.empty_like(of_candidate, dtype=torch.promote_types(gates.dtype, torch.float32))
        steps = (states[:, :-1], states[:, 1:], gates[..., : 2 * size], *gates.chunk(3, dim=3), inner)
        for before, after, opened, reset, update, candidate, p in zip(*(each.unbind(1) for each in steps), strict=True):
            torch.bmm(before, weight_hh.mT, out=product)
            opened.add_(of_gates).sigmoid_()
            torch.add(of_candidate, bias, out=p)
            candidate.addcmul_(reset, p)
            candidate.copy_(wide.copy_(candidate).tanh_())  # bfloat16 has no fast one
            torch.lerp(candidate, before, update, out=after)
        return [inner]

    @staticmethod
    def derivatives(gates: Tensor, states: Tensor, kept: Kept, found: Tensor) -> Kept:
        """Returned are z and the derivative by W_n x; each is an element-wise factor of dL/dh'.

        by W_n x    (1 - z) (1 - n^2)
        by U_n h    (1 - z) (1 - n^2) r
        by U_r h    (1 - z) (1 - n^2) p r (1 - r)
        by U_z h    (h - n) z (1 - z)
        """
        reset, update, candidate = gates.chunk(3, dim=3)
        by_reset, by_update, by_candidate = found.chunk(3, dim=3)
        through_candidate = torch.rsub(update, 1.0)
        _multiply(aten.tanh_backward, through_candidate, candidate)
        torch.mul(through_candidate, reset, out=by_candidate)
        torch.mul(through_candidate, kept[0], out=by_reset)
        _multiply(aten.sigmoid_backward, by_reset, reset)
        torch.sub(states[:, :-1], candidate, out=by_update)
        _multiply(aten.sigmoid_backward, by_update, update)
        return [update, through_candidate]

    @staticmethod
    def run_back(grad_gates: Tensor, grad_states: Tensor, through: Kept, weight_hh: Tensor, last: Last) -> None:
        """A step back is dL/dh = z dL/dh' + Uᵀ dL/d(U h)."""
        (carried,) = last.carried
        for step, gradient, grad_after, kept in _backwards(grad_gates, grad_states, through[0]):
            last.join(step)
            grad_after.add_(carried)
            gradient.view(*carried.shape[:2], 3, -1).mul_(grad_after[:, :, None])
            torch.mul(grad_after, kept, out=carried)
            carried.baddbmm_(gradient, weight_hh)

    @staticmethod
    def leave(grad_gates: Tensor, grad_states: Tensor, through: Kept) -> None:
        """The candidate's has passed the reset gate on the way to U h."""
        torch.mul(through[1], grad_states, out=grad_gates.chunk(3, dim=3)[2])


class LstmSteps(Steps):
    """Step of Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000); gates are o, i, f, g:

        o, i, f = sigmoid(W x + b + U h)    g = tanh(W x + b + U h)    c' = f c + i g    h' = o tanh(c')

    The cells c are in float32 where the gates are in bfloat16, whose eight bits would lose what is added to them.
    """

    order = (3, 0, 1, 2)
    parts = 2

    @staticmethod
    def run(gates: Tensor, states: Tensor, weight_hh: Tensor, bias: Tensor, *more: Tensor) -> Kept:
        """Kept are c (D, T + 1, B, H) and tanh(c') (D, T, B, H)."""
        size, product = states.shape[3], torch.empty_like(gates[:, 0])
        cells = torch.empty_like(states, dtype=torch.promote_types(gates.dtype, torch.float32))
        cells[:, 0], shown, wide = more[0], torch.empty_like(states[:, 1:]), torch.empty_like(cells[:, 0])
        steps = (states[:, :-1], states[:, 1:], cells[:, :-1], cells[:, 1:], shown, gates, gates[..., : 3 * size])
        for before, after, cell, next_cell, bounded, gate, opened, output, inside, forget, candidate in zip(
            *(each.unbind(1) for each in (*steps, *gates.chunk(4, dim=3))), strict=True
        ):
            torch.bmm(before, weight_hh.mT, out=product)
            gate.add_(product)
            opened.sigmoid_()
            candidate.copy_(wide.copy_(candidate).tanh_())
            torch.mul(cell, forget, out=next_cell).addcmul_(inside, candidate)
            bounded.copy_(torch.tanh(next_cell, out=wide))
            torch.mul(output, bounded, out=after)
        return [cells, shown]

    @staticmethod
    def derivatives(gates: Tensor, states: Tensor, kept: Kept, found: Tensor) -> Kept:
        """Returned are f and the derivative of h' by c'; each is an element-wise factor of dL/dh' or dL/dc'.

        of h' by o's share    tanh(c') o (1 - o)
        of h' by c'           o (1 - tanh(c')^2)
        of c' by the shares of i, f and g    g i (1 - i)    c f (1 - f)    i (1 - g^2)
        """
        output, inside, forget, candidate = gates.chunk(4, dim=3)
        by_output, by_inside, by_forget, by_candidate = found.chunk(4, dim=3)
        cells, shown = kept
        for by, factor, gate in (
            (by_output, shown, output),
            (by_inside, candidate, inside),
            (by_forget, cells[:, :-1], forget),
        ):
            _multiply(aten.sigmoid_backward, by.copy_(factor), gate)
        _multiply(aten.tanh_backward, by_candidate.copy_(inside), candidate)
        through = output.contiguous()
        _multiply(aten.tanh_backward, through, shown)
        return [forget, through]

    @staticmethod
    def run_back(grad_gates: Tensor, grad_states: Tensor, through: Kept, weight_hh: Tensor, last: Last) -> None:
        """A step back is dL/dc = f (dL/dc' + o (1 - tanh(c')^2) dL/dh') and dL/dh = Uᵀ dL/d(U h)."""
        carried, carried_cell = last.carried
        size = carried.shape[2]
        steps = (grad_gates, grad_states, *through, grad_gates[..., :size], grad_gates[..., size:])
        for step, gradient, grad_after, kept, by_cell, by_output, others in _backwards(*steps):
            last.join(step)
            grad_after.add_(carried)
            by_output.mul_(grad_after)
            carried_cell.addcmul_(grad_after, by_cell)
            others.view(*carried.shape[:2], 3, -1).mul_(carried_cell[:, :, None])
            carried_cell.mul_(kept)
            torch.bmm(gradient, weight_hh, out=carried)


STEPS: dict[type[nn.RNNBase], type[Steps]] = {nn.RNN: Steps, nn.GRU: GruSteps, nn.LSTM: LstmSteps}


def _multiply(backward: Any, values: Tensor, activated: Tensor) -> None:
    """Multiply values by the derivative of the function that gave `activated`: one pass, by torch's own backward."""
    backward.grad_input(values, activated, grad_input=values)


def _backwards(*steps: Tensor) -> list[tuple[Any, ...]]:
    """Numbers of the steps, from 1, and tensors (D, T, ...) of each, the last first."""
    every = zip(*(each.unbind(1) for each in steps), strict=True)
    return [(number, *each) for number, each in enumerate(every, start=1)][::-1]
