"""The encoder: padding changes nothing, and each switch of dropout does what it says."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s2s.nn.dropout import Dropout
from s2s.nn.embedding import Embedding
from s2s.nn.encoder import Encoder
from s2s.nn.recurrent import Cell, initialize, positions_valid

CELLS: tuple[Cell, ...] = get_args(Cell)
VOCABULARY, UNITS, HIDDEN = 9, 3, 4
close = {"rtol": 1e-9, "atol": 1e-12}


def build(cell: Cell = "gru", layers: int = 1, bidirectional: bool = True, dropout: Dropout = Dropout()) -> Encoder:  # noqa: B008
    torch.manual_seed(2)
    encoder = Encoder(
        Embedding(VOCABULARY, UNITS), HIDDEN, layers=layers, cell=cell, bidirectional=bidirectional, dropout=dropout
    )
    initialize(encoder, "orthogonal")
    return encoder.double()


def sampled(lengths: list[int], width: int) -> tuple[Tensor, Tensor]:
    return torch.randint(VOCABULARY, (len(lengths), width)), torch.tensor(lengths)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(CELLS),
    st.integers(1, 3),
    st.booleans(),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 2),
)
def test_a_batch_equals_its_rows_alone_whatever_the_padding(
    cell: Cell, layers: int, bidirectional: bool, lengths: list[int], extra: int
) -> None:
    """With equal lengths and no extra columns this is the path that does not pack."""
    encoder = build(cell, layers, bidirectional)
    tokens, counts = sampled(lengths, max(lengths) + extra)
    values, state = encoder(tokens, counts)
    assert values.shape == (len(lengths), max(lengths) + extra, HIDDEN * (2 if bidirectional else 1))
    for row, length in enumerate(lengths):
        alone, alone_state = encoder(tokens[row : row + 1, :length], counts[row : row + 1])
        torch.testing.assert_close(values[row, :length], alone[0], **close)
        assert not values[row, length:].any()
        for part, other in zip(state, alone_state, strict=True):
            assert part.shape == (layers, len(lengths), values.shape[2])
            torch.testing.assert_close(part[:, row], other[:, 0], **close)


@pytest.mark.parametrize("cell", CELLS)
def test_the_top_state_is_what_the_directions_read_last(cell: Cell) -> None:
    encoder = build(cell, layers=2)
    tokens, lengths = sampled([5, 3], 5)
    values, state = encoder(tokens, lengths)
    for row, length in enumerate([5, 3]):
        torch.testing.assert_close(state[0][1, row, :HIDDEN], values[row, length - 1, :HIDDEN])
        torch.testing.assert_close(state[0][1, row, HIDDEN:], values[row, 0, HIDDEN:])


def test_gradients_of_a_batch_are_the_sum_of_its_rows() -> None:
    encoder = build("lstm", layers=3)
    tokens, lengths = sampled([4, 1, 6], 6)
    values, state = encoder(tokens, lengths)
    together = torch.autograd.grad(values.square().sum() + state[1].sum(), list(encoder.parameters()))
    total = torch.zeros(()).double()
    for row, length in enumerate(lengths.tolist()):
        values, state = encoder(tokens[row : row + 1, :length], lengths[row : row + 1])
        total = total + values.square().sum() + state[1].sum()
    for one, other in zip(together, torch.autograd.grad(total, list(encoder.parameters())), strict=True):
        torch.testing.assert_close(one, other, **close)


SWITCHES = [Dropout(embedding=0.5), Dropout(layers=0.5), Dropout(output=0.5), Dropout(words=0.5)]


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("dropout", SWITCHES, ids=str)
def test_each_dropout_acts_in_training_only_and_a_seed_repeats_it(dropout: Dropout, variational: bool) -> None:
    encoder = build("gru", 2, dropout=dropout._replace(variational=variational))
    plain = build("gru", 2).eval()
    tokens, lengths = sampled([6, 4], 6)

    def values(seed: int) -> Tensor:
        torch.manual_seed(seed)
        produced: Tensor = encoder(tokens, lengths)[0]
        return produced

    assert torch.equal(values(1), values(1))
    assert not torch.equal(values(1), values(2))
    encoder.eval()
    torch.testing.assert_close(values(1), plain(tokens, lengths)[0], rtol=0, atol=0)


def test_output_dropout_zeroes_its_share_of_the_memory_and_keeps_the_state() -> None:
    tokens, lengths = sampled([40] * 20, 40)
    plain, state = build()(tokens, lengths)
    values, same_state = build(dropout=Dropout(output=0.25))(tokens, lengths)
    dropped = values == 0
    assert abs(float(dropped.double().mean()) - 0.25) < 0.03
    torch.testing.assert_close(values[~dropped], plain[~dropped] / 0.75, **close)
    torch.testing.assert_close(same_state[0], state[0], **close)


def test_variational_output_dropout_drops_a_unit_at_every_position() -> None:
    tokens, lengths = sampled([7, 7], 7)
    values, _ = build(dropout=Dropout(output=0.5, variational=True))(tokens, lengths)
    dropped = values == 0
    assert dropped.any()
    assert torch.equal(dropped.all(dim=1), dropped.any(dim=1))


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 6))
def test_positions_are_valid_below_each_length(lengths: list[int], size: int) -> None:
    valid = positions_valid(torch.tensor(lengths), size, torch.device("cpu"))
    assert valid.tolist() == [[position < length for position in range(size)] for length in lengths]
