"""The recurrent core against its textbook equations, written out one row and one step at a time."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import s2s
from s2s.nn.layers import Embedding
from s2s.nn.recurrent import Cell, Recurrent, State, initialize, positions_valid
from s2s.nn.whole import run_whole

CELLS: tuple[Cell, ...] = get_args(Cell)
INPUTS, HIDDEN, CONTEXT = 3, 4, 2
close = {"rtol": 1e-9, "atol": 1e-12}


def textbook_step(cell: Cell, weights: list[Tensor], inputs: Tensor, state: State) -> State:
    """One step of one row: (I,), (H,) each -> (H,) each, with torch's names for weights and its order of gates."""
    w, u, b, c = weights
    h = state[0]
    if cell == "elman":  # Elman (1990): h' = tanh(W x + U h)
        return (torch.tanh(w @ inputs + b + u @ h + c),)
    x, r = (w @ inputs + b).view(-1, HIDDEN), (u @ h + c).view(-1, HIDDEN)
    if cell == "gru":  # Cho et al. (2014), with the reset gate after the product, as cuDNN has it
        reset, update = torch.sigmoid(x[0] + r[0]), torch.sigmoid(x[1] + r[1])
        candidate = torch.tanh(x[2] + reset * r[2])
        return ((1 - update) * candidate + update * h,)
    # Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000)
    inside, forget, output = torch.sigmoid(x[0] + r[0]), torch.sigmoid(x[1] + r[1]), torch.sigmoid(x[3] + r[3])
    memory = forget * state[1] + inside * torch.tanh(x[2] + r[2])
    return output * torch.tanh(memory), memory


class Extras(NamedTuple):
    """Arguments of a pass other than its inputs."""

    state: State
    context: Tensor
    masks: list[Tensor]

    def row(self, row: int, length: int) -> "Extras":
        return Extras(
            tuple(part[:, row : row + 1] for part in self.state),
            self.context[row : row + 1, :length],
            [mask[row : row + 1, :length] for mask in self.masks],
        )


def slow(core: Recurrent, cell: Cell, inputs: Tensor, extras: Extras) -> tuple[Tensor, State]:
    """One row (T, I) through all layers and directions, by the textbook."""
    outputs, last = inputs, []
    for index, layer in enumerate(core.layers):
        below = outputs if index == 0 else outputs * extras.masks[index - 1][0]
        inside = torch.cat([below, extras.context[0]], dim=1)
        sides = []
        for direction, suffix in enumerate(("", "_reverse")[: core.directions]):
            names = [f"{name}_l0{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            weights = [getattr(layer, name) for name in names]
            state = tuple(part[index * core.directions + direction, 0] for part in extras.state)
            steps = []
            for vector in inside.flip(0) if direction else inside:
                state = textbook_step(cell, weights, vector, state)
                steps.append(state[0])
            sides.append(torch.stack(steps[::-1] if direction else steps))
            last.append(state)
        outputs = torch.cat(sides, dim=1)
        if index >= core.residual_from:
            outputs = outputs + below
    return outputs, tuple(torch.stack(parts) for parts in zip(*last, strict=True))


def build(cell: Cell, layers: int = 1, *, bidirectional: bool = False, residual_from: int = 2) -> Recurrent:
    torch.manual_seed(layers)
    core = Recurrent(
        INPUTS,
        HIDDEN,
        layers=layers,
        cell=cell,
        bidirectional=bidirectional,
        context_size=CONTEXT,
        residual_from=residual_from,
    )
    for weight in core.double().parameters():
        nn.init.uniform_(weight, -1.0, 1.0)
    return core


def sampled(core: Recurrent, cell: Cell, rows: int, steps: int) -> tuple[Tensor, Extras]:
    parts = 2 if cell == "lstm" else 1
    depth = len(core.layers)
    state = tuple(torch.randn(depth * core.directions, rows, HIDDEN).double() for _ in range(parts))
    masks = [torch.rand(rows, steps, core.output_size).double() for _ in range(depth - 1)]
    return torch.randn(rows, steps, INPUTS).double(), Extras(state, torch.randn(rows, steps, CONTEXT).double(), masks)


def run(core: Recurrent, inputs: Tensor, extras: Extras, lengths: Tensor | None) -> tuple[Tensor, State]:
    outputs: tuple[Tensor, State] = core(
        inputs, extras.state, lengths, context=extras.context, masks=extras.masks or None
    )
    return outputs


@pytest.mark.parametrize("cell", CELLS)
def test_one_step_is_the_textbook_equation(cell: Cell) -> None:
    core = build(cell)
    inputs, extras = sampled(core, cell, 1, 1)
    outputs, state = run(core, inputs, extras, None)
    layer = core.layers[0]
    weights = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]
    expected = textbook_step(
        cell, weights, torch.cat([inputs[0, 0], extras.context[0, 0]]), tuple(part[0, 0] for part in extras.state)
    )
    torch.testing.assert_close(outputs[0, 0], expected[0], **close)
    for part, wanted in zip(state, expected, strict=True):
        torch.testing.assert_close(part[0, 0], wanted, **close)


@pytest.mark.parametrize("residual_from", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("cell", CELLS)
def test_packed_equals_equal_length_equals_the_textbook_row_by_row(
    cell: Cell, layers: int, bidirectional: bool, residual_from: int
) -> None:
    core = build(cell, layers, bidirectional=bidirectional, residual_from=residual_from)
    lengths = [5, 2, 5, 1]
    inputs, extras = sampled(core, cell, len(lengths), max(lengths))
    outputs, state = run(core, inputs, extras, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        own = extras.row(row, length)
        alone, alone_state = run(core, inputs[row : row + 1, :length], own, torch.tensor([length]))
        expected, expected_state = slow(core, cell, inputs[row, :length], own)
        torch.testing.assert_close(alone[0], expected, **close)
        torch.testing.assert_close(outputs[row, :length], expected, **close)
        assert not outputs[row, length:].any()
        for part, one, wanted in zip(state, alone_state, expected_state, strict=True):
            torch.testing.assert_close(one[:, 0], wanted, **close)
            torch.testing.assert_close(part[:, row], wanted, **close)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(CELLS), st.booleans(), st.integers(1, 3), st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_gradients_of_a_batch_are_the_sum_of_its_rows_and_padding_gets_none(
    cell: Cell, bidirectional: bool, layers: int, lengths: list[int]
) -> None:
    core = build(cell, layers, bidirectional=bidirectional)
    inputs, extras = sampled(core, cell, len(lengths), max(lengths))
    inputs.requires_grad_()
    grad_outputs = torch.randn(len(lengths), max(lengths), core.output_size).double()

    outputs, state = run(core, inputs, extras, torch.tensor(lengths))
    total = (outputs * grad_outputs).sum() + sum(part.square().sum() for part in state)
    together = torch.autograd.grad(total, [inputs, *core.parameters()])
    for row, length in enumerate(lengths):
        assert not together[0][row, length:].any()

    total = torch.zeros(()).double()
    for row, length in enumerate(lengths):
        outputs, state = run(core, inputs[row : row + 1, :length], extras.row(row, length), None)
        total = total + (outputs[0] * grad_outputs[row, :length]).sum() + sum(part.square().sum() for part in state)
    alone = torch.autograd.grad(total, [inputs, *core.parameters()])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, **close)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(CELLS), st.integers(1, 3), st.integers(2, 7), st.data())
def test_a_run_resumed_from_its_state_equals_one_run(cell: Cell, layers: int, steps: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, steps - 1))
    core = build(cell, layers)
    inputs, extras = sampled(core, cell, 2, steps)
    whole, end = run(core, inputs, extras, None)
    first, middle = run(core, inputs[:, :cut], Extras(extras.state, *_cut(extras, slice(cut))), None)
    second, resumed = run(core, inputs[:, cut:], Extras(middle, *_cut(extras, slice(cut, None))), None)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **close)
    for part, other in zip(resumed, end, strict=True):
        torch.testing.assert_close(part, other, **close)


def _cut(extras: Extras, steps: slice) -> tuple[Tensor, list[Tensor]]:
    return extras.context[:, steps], [mask[:, steps] for mask in extras.masks]


@pytest.mark.parametrize("cell", CELLS)
def test_under_autocast_values_and_gradients_are_near_those_in_float32(cell: Cell) -> None:
    core = build(cell, 2, bidirectional=True).float()
    inputs, extras = sampled(core, cell, 3, 6)
    lengths = torch.tensor([6, 2, 4])
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs, state = core(inputs.float(), None, lengths, context=extras.context.float())
        total = outputs.float().square().sum() + sum(part.float().sum() for part in state)
        found.append([outputs.float(), *torch.autograd.grad(total, list(core.parameters()))])
    for exact, near in zip(*found, strict=True):
        assert float((exact - near).detach().norm() / exact.detach().norm()) < 0.05
    assert not found[1][0][1, 2:].any()


def test_a_state_has_one_part_and_an_lstm_has_two() -> None:
    for cell in CELLS:
        _, state = Recurrent(INPUTS, HIDDEN, layers=3, cell=cell, bidirectional=True)(torch.zeros(2, 5, INPUTS))
        assert [tuple(part.shape) for part in state] == [(6, 2, HIDDEN)] * (2 if cell == "lstm" else 1)


class Parts(nn.Module):
    """One of every kind of layer that a model has."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.embedding = Embedding(500, 16)
        self.recurrent = Recurrent(16, 24, layers=2, cell=cell, bidirectional=True)
        self.linear = nn.Linear(16, 48)


@pytest.mark.parametrize("kind", ["uniform", "orthogonal"])
@pytest.mark.parametrize("cell", CELLS)
def test_biases_start_at_zero_and_the_forget_gate_at_one(cell: Cell, kind: str) -> None:
    parts = Parts(cell)
    initialize(parts, kind)  # type: ignore[arg-type]
    assert not parts.linear.bias.any()
    for layer in parts.recurrent.layers:
        for suffix in ("l0", "l0_reverse"):
            total = getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")
            gates = total.view(-1, 24)
            for index, gate in enumerate(gates):
                assert (gate == (1.0 if cell == "lstm" and index == 1 else 0.0)).all()


@pytest.mark.parametrize("cell", CELLS)
def test_uniform_fills_every_matrix_in_a_tenth_around_zero(cell: Cell) -> None:
    torch.manual_seed(3)
    parts = Parts(cell)
    initialize(parts, "uniform")
    matrices = [weight for weight in parts.parameters() if weight.dim() == 2]
    assert all(weight.abs().max() <= 0.1 for weight in matrices)
    everything = torch.cat([weight.detach().flatten() for weight in matrices])
    assert abs(float(everything.mean())) < 0.003
    assert float(everything.std()) == pytest.approx(0.1 / math.sqrt(3), rel=0.03)


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_orthogonal_makes_each_recurrent_gate_a_rotation_and_each_input_gate_xavier(cell: Cell) -> None:
    torch.manual_seed(3)
    parts = Parts(cell)
    initialize(parts, "orthogonal")
    for layer in parts.recurrent.layers:
        for suffix in ("l0", "l0_reverse"):
            for gate in getattr(layer, f"weight_hh_{suffix}").chunk({"elman": 1, "gru": 3, "lstm": 4}[cell]):
                torch.testing.assert_close(gate @ gate.T, torch.eye(24), rtol=0, atol=1e-5)
            for gate in getattr(layer, f"weight_ih_{suffix}").view(-1, 24, layer.input_size):
                bound = math.sqrt(6 / (24 + layer.input_size))  # Glorot & Bengio (2010)
                assert 0.9 * bound < float(gate.abs().max()) <= bound
    assert float(parts.linear.weight.abs().max()) <= math.sqrt(6 / (16 + 48))
    assert float(parts.embedding.weight.std()) == pytest.approx(16**-0.5, rel=0.05)


LAYERS = (nn.RNN, nn.GRU, nn.LSTM)


def torchs(layer: nn.RNNBase, inputs: Tensor, state: State | None, lengths: Tensor | None) -> tuple[Tensor, State]:
    """A layer by torch, packed where there are lengths."""
    begin = state if state is None or isinstance(layer, nn.LSTM) else state[0]
    packed = lengths is not None and pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = layer(packed if packed else inputs, begin)
    if packed:
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
    return outputs, last if isinstance(layer, nn.LSTM) else (last,)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_whole_layer_of_a_real_size_equals_torchs(kind: type[nn.RNNBase], bidirectional: bool, ragged: bool) -> None:
    torch.manual_seed(1)
    layer = kind(40, 96, batch_first=True, bidirectional=bidirectional)  # B x H is shared out among threads
    inputs = torch.randn(120, 6, 40, requires_grad=True)
    parts = 2 if kind is nn.LSTM else 1
    state = tuple(torch.randn(1 + bidirectional, 120, 96, requires_grad=True) for _ in range(parts))
    lengths = torch.arange(120) % 5 + 1 if ragged else None  # no row is as long as the batch
    fast, last = run_whole(layer, None, inputs, state, lengths)
    slow, end = torchs(layer, inputs, state, lengths)
    torch.testing.assert_close((fast, *last), (slow, *end), rtol=1e-4, atol=1e-5)
    weights = [inputs, *layer.parameters(), *state]
    grad_outputs = [torch.randn_like(each) for each in (slow, *end)]
    found = torch.autograd.grad([fast, *last], weights, grad_outputs)
    expected = torch.autograd.grad([slow, *end], weights, grad_outputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_whole_layer_in_bfloat16_is_near_torchs_in_float32(kind: type[nn.RNNBase]) -> None:
    torch.manual_seed(1)
    layer = kind(8, 16, batch_first=True, bidirectional=True)
    inputs, lengths = torch.randn(6, 9, 8), torch.tensor([9, 1, 4, 8, 2, 9])
    with torch.autocast("cpu", torch.bfloat16):
        fast, last = run_whole(layer, None, inputs, None, lengths)
    slow, end = torchs(layer, inputs, None, lengths)
    weights = list(layer.parameters())
    found = torch.autograd.grad([each.float().square().sum() for each in (fast, *last)], weights)
    expected = torch.autograd.grad([each.square().sum() for each in (slow, *end)], weights)
    for near, exact in zip((fast, *last, *found), (slow, *end, *expected), strict=True):
        assert float((exact - near.float()).detach().norm() / exact.detach().norm()) < 0.02
    assert kind is not nn.LSTM or last[1].dtype == torch.float32


@pytest.mark.parametrize("of", [lambda outputs: outputs, lambda outputs: outputs / 5, lambda outputs: outputs.square()])
def test_a_second_derivative_of_a_whole_layer_is_refused(of: Callable[[Tensor], Tensor]) -> None:
    inputs = torch.randn(2, 3, 3, requires_grad=True)
    outputs, _ = run_whole(nn.LSTM(3, 4, batch_first=True), None, inputs, None, None)
    torch.autograd.grad(of(outputs).sum(), inputs, retain_graph=True)
    with pytest.raises(RuntimeError, match=r"run_whole has no second derivative .* use torch's own layer"):
        torch.autograd.grad(of(outputs).sum(), inputs, create_graph=True)


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 6))
def test_positions_are_valid_below_each_length(lengths: list[int], size: int) -> None:
    valid = positions_valid(torch.tensor(lengths), size, torch.device("cpu"))
    assert valid.tolist() == [[position < length for position in range(size)] for length in lengths]


@pytest.mark.parametrize("ragged", [False, True])
def test_an_lstm_that_bfloat16_cannot_compute_is_computed_in_float32(
    ragged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s.nn.recurrent.lstm_takes_bfloat16", lambda: False)
    core = Recurrent(3, 4, layers=2, cell="lstm")
    inputs, lengths = torch.randn(2, 5, 3), torch.tensor([5, 3]) if ragged else None
    expected = core(inputs, None, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        found = core(inputs, None, lengths)
        rounded = core(inputs.bfloat16(), tuple(part.bfloat16() for part in found[1]), lengths)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(rounded, core(inputs, expected[1], lengths), rtol=0.1, atol=0.01)


def test_without_a_bfloat16_lstm_in_onednn_no_error_of_a_library_comes_up() -> None:
    """oneDNN can be told to take this machine for one with AVX2, which has none."""
    program = (
        "import torch; from s2s.nn.recurrent import Recurrent, lstm_takes_bfloat16\n"
        "before = torch.get_rng_state()\n"
        "lstm_takes_bfloat16(); assert torch.equal(before, torch.get_rng_state())\n"
        "with torch.autocast('cpu', torch.bfloat16):\n"
        "    Recurrent(3, 4, cell='lstm')(torch.randn(2, 5, 3))[0].sum().backward()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1]), "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
