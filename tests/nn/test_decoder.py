"""The decoder: whole sentences equal a loop over steps, and hypotheses side by side equal them alone."""

import itertools
from typing import Literal, NamedTuple, get_args

import pytest
import torch
from torch import Tensor

from s2s.nn.attention import Attention, Memory, Score
from s2s.nn.decoder import Bridge, Decoder, DecoderMasks, DecoderOutput, DecoderState
from s2s.nn.layers import Dropout, Embedding
from s2s.nn.recurrent import Cell, initialize

CELLS: tuple[Cell, ...] = get_args(Cell)
ATTENTIONS: tuple[Score | Literal["none"], ...] = (*get_args(Score), "none")
VOCABULARY, UNITS, HIDDEN, SENTENCES, SOURCE, STEPS = 7, 3, 4, 3, 5, 3
near = {"rtol": 1e-5, "atol": 1e-6}
"""attention computes its weights in float32 whatever the type of the model"""


class Wiring(NamedTuple):
    """How the layers of a decoder are put together."""

    kind: Literal["luong", "gnmt"]
    layers: int
    input_feeding: bool

    def __str__(self) -> str:
        return f"{self.kind}-{self.layers}{'-feeding' if self.input_feeding else ''}"


WIRINGS = [
    Wiring(kind, layers, feeding)  # type: ignore[arg-type]
    for kind, layers, feeding in itertools.product(("luong", "gnmt"), (1, 2, 3), (False, True))
    if not (kind == "gnmt" and layers == 1)
]
EVERY_DROPOUT = Dropout(embedding=0.3, layers=0.3, output=0.3, words=0.3)


def build(
    cell: Cell,
    score: Score | Literal["none"],
    wiring: Wiring,
    dropout: Dropout = Dropout(),  # noqa: B008
    tied: bool = True,
) -> Decoder:
    torch.manual_seed(5)
    attention = None
    if score != "none":
        attention = Attention(score, query_size=HIDDEN, memory_size=HIDDEN, attention_size=3, positions=4)
    decoder = Decoder(
        Embedding(VOCABULARY, UNITS),
        HIDDEN,
        memory_size=HIDDEN,
        attention=attention,
        layers=wiring.layers,
        cell=cell,
        wiring=wiring.kind,
        input_feeding=wiring.input_feeding,
        tied=tied,
        dropout=dropout,
    )
    initialize(decoder, "orthogonal")
    return decoder.double()


class Source(NamedTuple):
    """What an encoder would have left, as leaves of the graph."""

    values: Tensor
    state: tuple[Tensor, ...]

    def memory(self, decoder: Decoder) -> Memory:
        valid = torch.arange(SOURCE) < torch.tensor([5, 2, 3])[:, None]
        keys = self.values if decoder.attention is None else decoder.attention.keys(self.values)
        return Memory(keys, self.values, valid)


def encoded(cell: Cell) -> Source:
    parts = 2 if cell == "lstm" else 1
    values = torch.randn(SENTENCES, SOURCE, HIDDEN).double().requires_grad_()
    return Source(values, tuple(torch.randn(2, SENTENCES, HIDDEN).double().requires_grad_() for _ in range(parts)))


def looped(decoder: Decoder, inputs: Tensor, state: DecoderState, memory: Memory, masks: DecoderMasks) -> DecoderOutput:
    """The decoder by nothing but its step."""
    outputs = []
    for step in range(inputs.shape[1]):
        outputs.append(decoder.step(inputs[:, step : step + 1], state, memory, masks.at(step)))
        state = outputs[-1].state
    attention = None
    if decoder.attention is not None:
        attention = torch.cat([output.attention for output in outputs if output.attention is not None], dim=1)
    return DecoderOutput(torch.cat([output.readout for output in outputs], dim=1), attention, state)


def compare(one: DecoderOutput, other: DecoderOutput) -> None:
    torch.testing.assert_close(one.readout, other.readout, **near)
    torch.testing.assert_close(one.attention, other.attention, **near)
    for part, same in zip(one.state.layers, other.state.layers, strict=True):
        torch.testing.assert_close(part, same, **near)
    torch.testing.assert_close(one.state.feed, other.state.feed, **near)


def gradients(decoder: Decoder, source: Source, output: DecoderOutput, grad_outputs: Tensor) -> list[Tensor]:
    total = (decoder.logits(output.readout) * grad_outputs).sum() + sum(part.sum() for part in output.state.layers)
    leaves = [source.values, *source.state, *decoder.parameters()]
    found = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]


@pytest.mark.parametrize("wiring", WIRINGS, ids=str)
@pytest.mark.parametrize("score", ATTENTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_forward_equals_the_loop_over_step(cell: Cell, score: Score | Literal["none"], wiring: Wiring) -> None:
    """Values and gradients in training, with the same masks sampled from the same seed, and values out of it."""
    dropout = EVERY_DROPOUT._replace(variational=wiring.layers == 2)
    decoder, source = build(cell, score, wiring, dropout), encoded(cell)
    inputs = torch.randint(VOCABULARY, (SENTENCES, STEPS))
    memory, start = source.memory(decoder), decoder.start(source.state)
    torch.manual_seed(9)
    whole = decoder(inputs, start, memory)
    torch.manual_seed(9)
    steps = looped(decoder, inputs, start, memory, decoder._sample_masks(inputs))
    compare(whole, steps)
    grad_outputs = torch.randn(SENTENCES, STEPS, VOCABULARY).double()
    mine = gradients(decoder, source, whole, grad_outputs)
    for one, other in zip(mine, gradients(decoder, source, steps, grad_outputs), strict=True):
        torch.testing.assert_close(one, other, **near)
    torch.manual_seed(9)
    compare(whole, decoder(inputs, start, memory, choose=lambda gold, logits: gold))

    decoder.eval()
    compare(decoder(inputs, start, memory), looped(decoder, inputs, start, memory, DecoderMasks()))


def test_the_replayed_pass_takes_the_place_of_steps_in_training_alone() -> None:
    decoder, source = build("gru", "general", Wiring("luong", 1, input_feeding=True)), encoded("gru")
    memory, start, taken = source.memory(decoder), decoder.start(source.state), []
    decoder.replayed = lambda *given: taken.append(decoder.training) or decoder.stepped(*given)  # type: ignore[func-returns-value]
    for training in (True, False):
        decoder.train(training)(torch.zeros(SENTENCES, STEPS, dtype=torch.long), start, memory)
    assert taken == [True]


@torch.no_grad()
@pytest.mark.parametrize("wiring", WIRINGS, ids=str)
@pytest.mark.parametrize("score", ATTENTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_three_hypotheses_at_once_equal_three_alone(cell: Cell, score: Score | Literal["none"], wiring: Wiring) -> None:
    decoder, source = build(cell, score, wiring).eval(), encoded(cell)
    memory, start = source.memory(decoder), decoder.start(source.state)
    tokens = torch.randint(VOCABULARY, (STEPS, SENTENCES, 3))
    feed = None if start.feed is None else start.feed.repeat_interleave(3, dim=0)
    together = DecoderState(tuple(part.repeat_interleave(3, dim=1) for part in start.layers), feed)
    alone = [start] * 3
    for step in range(STEPS):
        output = decoder.step(tokens[step], together, memory)
        together = output.state
        readouts = output.readout.view(SENTENCES, 3, UNITS)
        for k in range(3):
            own = decoder.step(tokens[step][:, k : k + 1], alone[k], memory)
            alone[k] = own.state
            torch.testing.assert_close(readouts[:, k : k + 1], own.readout, **near)
            if output.attention is not None and own.attention is not None:
                torch.testing.assert_close(output.attention[:, k : k + 1], own.attention, **near)
            for part, other in zip(together.layers, own.state.layers, strict=True):
                torch.testing.assert_close(part.unflatten(1, (SENTENCES, 3))[:, :, k], other, **near)


@pytest.mark.parametrize("wiring", WIRINGS, ids=str)
def test_whole_sentences_take_no_steps_unless_something_feeds_back(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, source = build("gru", "general", wiring), encoded("gru")
    taken: list[Tensor] = []
    step = decoder.step
    monkeypatch.setattr(decoder, "step", lambda tokens, *rest: taken.append(tokens) or step(tokens, *rest))
    inputs = torch.randint(VOCABULARY, (SENTENCES, STEPS))
    decoder(inputs, decoder.start(source.state), source.memory(decoder))
    assert len(taken) == (STEPS if wiring.input_feeding else 0)


@pytest.mark.parametrize("wiring", WIRINGS, ids=str)
def test_what_is_said_later_does_not_change_what_was_said(wiring: Wiring) -> None:
    decoder, source = build("lstm", "concat", wiring).eval(), encoded("lstm")
    inputs = torch.randint(VOCABULARY, (SENTENCES, STEPS))
    other = inputs.clone()
    other[:, 2:] = (other[:, 2:] + 1) % VOCABULARY
    one, two = (decoder(each, decoder.start(source.state), source.memory(decoder)).readout for each in (inputs, other))
    torch.testing.assert_close(one[:, :2], two[:, :2], **near)
    assert not torch.allclose(one[:, 2:], two[:, 2:])


def test_input_feeding_hands_the_readout_to_the_next_step() -> None:
    decoder, source = build("gru", "dot", Wiring("luong", 1, True)).eval(), encoded("gru")
    memory, start = source.memory(decoder), decoder.start(source.state)
    assert start.feed is not None
    assert not start.feed.any()
    tokens = torch.ones(SENTENCES, 1, dtype=torch.long)
    first = decoder.step(tokens, start, memory)
    assert first.state.feed is first.readout
    fed = decoder.step(tokens, first.state, memory)
    starved = decoder.step(tokens, first.state._replace(feed=start.feed), memory)
    assert not torch.allclose(fed.readout, starved.readout)


def test_luong_readout_is_the_equation_of_the_paper() -> None:
    """tanh(W [h; c]) with h the top state and c its context (Luong et al. 2015, equation 5)."""
    decoder, source = build("gru", "general", Wiring("luong", 2, False)).eval(), encoded("gru")
    memory = source.memory(decoder)
    output = decoder.step(torch.ones(SENTENCES, 1, dtype=torch.long), decoder.start(source.state), memory)
    assert decoder.attention is not None
    top = output.state.layers[0][1]
    context, weights = decoder.attention(top[:, None], memory)
    readout = torch.tanh(decoder.readout(torch.cat([top[:, None], context], dim=2)))
    torch.testing.assert_close(output.readout, readout, **near)
    torch.testing.assert_close(output.attention, weights, **near)


def test_gnmt_asks_with_the_first_layer_and_gives_the_context_to_those_above() -> None:
    decoder, source = build("gru", "general", Wiring("gnmt", 3, False)).eval(), encoded("gru")
    memory, start = source.memory(decoder), decoder.start(source.state)
    output = decoder.step(torch.ones(SENTENCES, 1, dtype=torch.long), start, memory)
    assert decoder.attention is not None
    assert decoder.above is not None
    first = output.state.layers[0][0][:, None]
    context, _ = decoder.attention(first, memory)
    begin = start.layers[0]
    second, _ = decoder.above.layers[0](torch.cat([first, context], dim=2), begin[1:2].contiguous())
    third, _ = decoder.above.layers[1](torch.cat([second, context], dim=2), begin[2:3].contiguous())
    residual = third + second
    readout = torch.tanh(decoder.readout(torch.cat([residual, context], dim=2)))
    torch.testing.assert_close(output.readout, readout, **near)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", ["learned", "last", "zeros"])
@pytest.mark.parametrize(("below", "pairs"), [(2, (0, 1, 1)), (3, (0, 1, 2)), (5, (2, 3, 4)), (1, (0, 0, 0))])
def test_a_bridge_pairs_layers_and_leaves_out_the_lowest_of_a_deeper_encoder(
    below: int, pairs: tuple[int, ...], kind: Literal["learned", "last", "zeros"], cell: Cell
) -> None:
    memory_size = HIDDEN if kind == "last" else 6
    bridge = Bridge(kind, memory_size=memory_size, hidden_size=HIDDEN, layers=3, cell=cell)
    state = tuple(torch.randn(below, SENTENCES, memory_size) for _ in range(2 if cell == "lstm" else 1))
    begun = bridge(state)
    assert [part.shape for part in begun] == [(3, SENTENCES, HIDDEN)] * len(state)
    for index, (part, own) in enumerate(zip(begun, state, strict=True)):
        for layer, other in enumerate(pairs):
            if kind == "zeros":
                assert not part[layer].any()
            elif kind == "last":
                assert torch.equal(part[layer], own[other])
            else:
                projected = bridge.project[3 * index + layer](own[other])
                torch.testing.assert_close(part[layer], torch.tanh(projected) if index == 0 else projected)


def test_tied_output_shares_the_storage_of_the_embedding() -> None:
    wiring = Wiring("luong", 1, False)
    tied, loose = build("gru", "dot", wiring), build("gru", "dot", wiring, tied=False)
    assert tied.output.weight is tied.embedding.weight
    assert loose.output.weight is not loose.embedding.weight
    assert loose.output.weight.shape == loose.embedding.weight.shape
