"""The translator's model and its encoder: padding, search, sizes, and every pair of its options."""

import itertools
import random
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

import s2s.translation.search.step
from s2s.errors import RunError
from s2s.nn.attention import Memory
from s2s.nn.decoder import DecoderState
from s2s.nn.layers import Dropout as LayerDropout
from s2s.nn.layers import Embedding
from s2s.nn.recurrent import Cell, initialize
from s2s.text.batches import Batch, collate
from s2s.text.special import END, PAD, START
from s2s.translation.model import Encoder, Seq2Seq, build_seq2seq
from s2s.translation.recipe import Dropout, Seq2SeqModel
from s2s.translation.search.beam import Step, StepOutput, beam_search
from s2s.translation.search.cells import FEW_ROWS, Affine, Int8Affine
from s2s.translation.search.hypotheses import SearchOptions
from s2s.translation.search.lone import lone_search
from s2s.translation.search.step import Stepper, _Reader

VOCABULARY = 12
FORBIDDEN = (PAD, START)
CELLS: tuple[Cell, ...] = get_args(Cell)
ATTENTIONS = ("dot", "scaled_dot", "general", "concat", "location", "none")


class Shape(NamedTuple):
    """A cell, an attention and a wiring."""

    cell: str
    attention: str
    wiring: str
    input_feeding: bool

    def __str__(self) -> str:
        return f"{self.cell}-{self.attention}-{self.wiring}{'-feeding' if self.input_feeding else ''}"

    def model(self, **values: Any) -> Seq2SeqModel:
        layers = {"decoder_layers": 2, "encoder_layers": 2}
        return small(location_positions=4, initialization="uniform", **layers | self._asdict() | values)


SHAPES = [Shape(*values) for values in itertools.product(CELLS, ATTENTIONS, ("luong", "gnmt"), (False, True))]


def small(**values: Any) -> Seq2SeqModel:
    return Seq2SeqModel(**{"embedding_size": 4, "hidden_size": 6} | values)


def build(model: Seq2SeqModel, *, seed: int = 1, vocabulary: int = VOCABULARY, spread: float = 0.0) -> Seq2Seq:
    """A model; with a spread its weights are drawn so widely that it prefers some tokens clearly."""
    torch.manual_seed(seed)
    built = build_seq2seq(model, source_vocabulary=vocabulary, target_vocabulary=vocabulary)
    if spread:
        for weight in built.parameters():
            torch.nn.init.uniform_(weight, -spread, spread)
    return built


def drawn(lengths: list[tuple[int, int]], seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Pairs of random tokens of the given lengths."""
    chooser = random.Random(seed)
    return [tuple([chooser.randrange(4, VOCABULARY) for _ in range(n)] for n in pair) for pair in lengths]  # type: ignore[misc]


def batch_of(pairs: list[tuple[list[int], list[int]]]) -> Batch:
    return collate(*zip(*pairs, strict=True))


def loss_of(model: Seq2Seq, batch: Batch, **values: Any) -> Tensor:
    lengths = {"target_lengths": batch.target_lengths, "smoothing": 0.1} | values
    return model.loss(batch.source, batch.source_lengths, batch.inputs, batch.targets, **lengths).smoothed


def widened(batch: Batch) -> Batch:
    """The same sentences with two more columns of whatever."""
    more = torch.randint(VOCABULARY, (len(batch.source), 2))
    widen = {name: torch.cat([getattr(batch, name), more], dim=1) for name in ("source", "inputs", "targets")}
    return batch._replace(**widen)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_padding_changes_neither_loss_nor_gradients(shape: Shape) -> None:
    """A batch equals the sum of its rows alone, and more padding, filled with anything, equals less."""
    model = build(shape.model()).double()
    pairs = drawn([(5, 2), (1, 4)])
    batch = batch_of(pairs)
    sums = [loss_of(model, batch), loss_of(model, widened(batch))]
    sums.append(torch.stack([loss_of(model, batch_of([pair])) for pair in pairs]).sum())
    weights = list(model.parameters())
    first, *others = [torch.autograd.grad(each, weights, allow_unused=True) for each in sums]
    for other_sum, other in zip(sums[1:], others, strict=True):
        torch.testing.assert_close(other_sum, sums[0], rtol=1e-6, atol=1e-6)
        for one, two in zip(first, other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_reading_twice_under_one_mask_changes_nothing_and_under_two_adds_what_they_differ_in() -> None:
    """Without dropout the divergence is zero; with it the loss grows linearly in its weight, and counts tokens once."""
    pairs = drawn([(5, 2), (1, 4), (3, 3)])
    batch = batch_of(pairs)
    still = build(small()).double()
    torch.testing.assert_close(loss_of(still, batch, r_drop=5.0), loss_of(still, batch))
    dropped = build(small(dropout={"embedding": 0.4, "output": 0.4})).double()
    losses = []
    for weight in (1e-9, 2.0, 4.0):
        torch.manual_seed(3)
        losses.append(float(loss_of(dropped, batch, r_drop=weight).detach()))
    none, two, four = losses
    assert four - two == pytest.approx(two - none)
    assert two - none > 1e-3
    read = (batch.source, batch.source_lengths, batch.inputs, batch.targets)
    assert still.loss(*read, target_lengths=batch.target_lengths, r_drop=5.0).tokens == batch.target_tokens


class Hypotheses(NamedTuple):
    """The state of a search by the decoder's own step."""

    decoder: DecoderState
    memory: Memory

    def reorder(self, parents: Tensor) -> "Hypotheses":
        width = self.decoder.layers[0].shape[1] // len(self.memory.valid)
        return self._of(torch.arange(len(parents))[:, None] * width + parents, self.memory)

    def keep(self, sentences: Tensor) -> "Hypotheses":
        width = self.decoder.layers[0].shape[1] // len(self.memory.valid)
        return self._of(sentences[:, None] * width + torch.arange(width), self.memory.keep(sentences))

    def _of(self, rows: Tensor, memory: Memory) -> "Hypotheses":
        layers = tuple(part[:, rows.flatten()] for part in self.decoder.layers)
        feed = None if self.decoder.feed is None else self.decoder.feed[rows.flatten()]
        return Hypotheses(DecoderState(layers, feed), memory)


def step_of(model: Seq2Seq) -> Step[Hypotheses]:
    """A model as the search sees it, by the decoder's own step."""

    def step(tokens: Tensor, state: Hypotheses) -> StepOutput[Hypotheses]:
        output = model.decoder.step(tokens, state.decoder, state.memory)
        log_probabilities = model.decoder.logits(output.readout).log_softmax(dim=-1).view(*tokens.shape, -1)
        return StepOutput(log_probabilities, output.attention, Hypotheses(output.state, state.memory))

    return step


@pytest.mark.parametrize("beam", [1, 99])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.no_grad()
def test_the_steps_of_a_search_are_those_of_the_decoder(shape: Shape, beam: int) -> None:
    """Also for a beam so wide that values are multiplied before the first step."""
    model = build(shape.model(), spread=0.8).eval()
    batch = batch_of(drawn([(5, 1), (2, 1), (3, 1)]))
    stepper, slow = Stepper(model), step_of(model)
    fast_state, slow_state = (
        stepper.begin(batch.source, batch.source_lengths, beam=beam),
        Hypotheses(*model.begin(batch.source, batch.source_lengths)),
    )
    if model.decoder.attention is not None:
        read = len(stepper.context) if beam > 1 else model.encoder.recurrent.output_size
        assert fast_state.memory.values.shape[2] == read
    tokens = torch.full((3, 1), START)
    for width in (2, 2, 1):
        fast, expected = stepper(tokens, fast_state), slow(tokens, slow_state)
        near = fast.log_probabilities[..., :VOCABULARY]
        assert torch.all(fast.log_probabilities[..., VOCABULARY:] == -torch.inf)
        torch.testing.assert_close(near, expected.log_probabilities, rtol=1e-5, atol=1e-5)
        if expected.attention is not None:
            torch.testing.assert_close(fast.attention, expected.attention, rtol=1e-5, atol=1e-5)
        parents = torch.randint(tokens.shape[1], (3, width))
        fast_state, slow_state = fast.state.reorder(parents), expected.state.reorder(parents)
        tokens = torch.randint(4, 12, (3, width))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.no_grad()
def test_bfloat16_steps_are_near(shape: Shape) -> None:
    model = build(shape.model(), spread=0.4).eval()
    batch = batch_of(drawn([(5, 1), (2, 1)]))
    stepper = Stepper(model, torch.bfloat16)
    tokens = torch.full((2, 1), START)
    output = stepper(tokens, stepper.begin(batch.source, batch.source_lengths))
    near = output.log_probabilities[..., :VOCABULARY]
    assert output.exact is not None
    two = near[:, 0].topk(2, dim=1)
    logits = output.exact(np.array([1]), two.indices[1:].numpy())
    assert float(logits[0, 0] - logits[0, 1]) == pytest.approx(float(two.values[1, 0] - two.values[1, 1]), abs=0.05)
    exact = step_of(model)(tokens, Hypotheses(*model.begin(batch.source, batch.source_lengths))).log_probabilities
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("largest", [0, 1 << 20])
@pytest.mark.parametrize(
    "shape", [each for each in SHAPES if each.wiring == "luong" and not each.input_feeding], ids=str
)
@torch.inference_mode()
def test_one_sentence_is_read_as_the_encoder_reads_it(
    shape: Shape, largest: int, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s2s.translation.search.step, "LARGEST_TABLE", largest)
    encoder = build(shape.model(encoder_layers=layers), seed=3, spread=0.8).eval().encoder
    reader = _Reader(encoder)
    for tokens in ([5, 6, 7, 5, 4], [END], [9, 5, 8, END]):
        values, state = reader(tokens)
        expected = encoder(torch.tensor([tokens]), torch.tensor([len(tokens)]))
        torch.testing.assert_close((torch.from_numpy(values)[None], state), expected, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_a_step_without_a_table_is_one_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(small(), spread=0.8).eval()
    batch = batch_of(drawn([(5, 1), (2, 1)]))
    kept = Stepper(model)
    monkeypatch.setattr(s2s.translation.search.step, "LARGEST_TABLE", 0)
    computed = Stepper(model)
    assert kept.tokens.shape != computed.tokens.shape
    for tokens in (torch.tensor([[START], [START]]), torch.tensor([[7], [4]])):
        one, other = (each(tokens, each.begin(batch.source, batch.source_lengths)) for each in (kept, computed))
        torch.testing.assert_close(one.log_probabilities, other.log_probabilities)


LONE_LIMITS = [(12, 0), (1, 0), (40, 36)]
"""longest and shortest outputs: over more steps a random network of Elman cells makes much of rounding"""


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_the_search_of_one_sentence_is_the_beam_search(shape: Shape, beam: int) -> None:
    stepper = Stepper(build(shape.model(), seed=3, spread=0.8).eval())
    options = SearchOptions(forbidden=FORBIDDEN, length_normalization="gnmt", keep_attention=True)
    if shape.attention in ("concat", "location"):
        assert not stepper.serves_lone
        return
    for (source, _), (longest, shortest) in zip(drawn([(5, 1), (1, 1), (9, 1)]), LONE_LIMITS, strict=True):
        batch = batch_of([(source, [])])
        nbest = {"beam": beam, "nbest": max(1, beam - 1)}
        lone = lone_search(stepper, batch.source[0].tolist(), options, longest=longest, shortest=shortest, **nbest)
        begin = stepper.begin(batch.source, batch.source_lengths)
        limits = {"max_lengths": torch.tensor([longest]), "min_lengths": torch.tensor([shortest])}
        [whole] = beam_search(stepper, begin, options, **nbest, **limits, source_lengths=batch.source_lengths)
        for found, expected in zip(lone, whole, strict=True):
            assert (found.tokens, found.truncated) == (expected.tokens, expected.truncated)
            assert found.log_probabilities == pytest.approx(expected.log_probabilities, rel=1e-4, abs=1e-5)
            assert found.score == pytest.approx(expected.score, rel=1e-4, abs=1e-5)
            if shape.attention == "none":
                assert found.attention is None
            else:
                np.testing.assert_allclose(found.attention, expected.attention, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("size", [0, 1, 2, 3])
@torch.inference_mode()
def test_the_search_of_one_sentence_bars_ngrams_and_counts_coverage_as_the_other(size: int, beam: int) -> None:
    stepper, source = Stepper(build(small(), seed=3, spread=0.8).eval()), [5, 6, 7, END]
    penalty = {"coverage_penalty": 0.4, "length_normalization": "gnmt"}
    options = SearchOptions(forbidden=FORBIDDEN, no_repeat_ngram=size, **penalty)  # type: ignore[arg-type]
    lone = lone_search(stepper, source, options, beam=beam, nbest=beam, longest=14, shortest=5)
    tokens, lengths = torch.tensor([source]), torch.tensor([len(source)])
    limits = {"max_lengths": torch.tensor([14]), "min_lengths": torch.tensor([5]), "source_lengths": lengths}
    [whole] = beam_search(stepper, stepper.begin(tokens, lengths), options, beam=beam, nbest=beam, **limits)
    assert [each.tokens for each in lone] == [each.tokens for each in whole]
    assert [each.score for each in lone] == pytest.approx([each.score for each in whole], rel=1e-4, abs=1e-5)
    without = Stepper(build(small(attention="none"), seed=3).eval())
    with pytest.raises(RunError, match="coverage_penalty: needs a model with attention"):
        lone_search(without, source, options, beam=beam, nbest=beam, longest=14, shortest=5)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.attention in ("dot", "none")], ids=str)
@torch.inference_mode()
def test_the_search_of_one_sentence_goes_through_residual_layers(shape: Shape) -> None:
    stepper = Stepper(build(shape.model(decoder_layers=4, encoder_layers=3), seed=3, spread=0.8).eval())
    options, batch = SearchOptions(forbidden=FORBIDDEN), batch_of([([5, 6, 7, 8], [])])
    [found] = lone_search(stepper, batch.source[0].tolist(), options, beam=3, nbest=1, longest=9, shortest=8)
    begin = stepper.begin(batch.source, batch.source_lengths)
    limits = {"max_lengths": torch.tensor([9]), "min_lengths": torch.tensor([8])}
    [[expected]] = beam_search(stepper, begin, options, beam=3, **limits, source_lengths=batch.source_lengths)
    assert found.tokens == expected.tokens
    assert found.log_probabilities == pytest.approx(expected.log_probabilities, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("grain", [1.0, 8.0])
@torch.inference_mode()
def test_the_search_of_one_sentence_orders_ties_as_the_beam_search_does(grain: float) -> None:
    """Weights of zero but for the output's bias, whose few values make most tokens equal."""
    model = build(small(), vocabulary=300).eval()
    for name, weight in model.named_parameters():
        weight.zero_()
        if name == "decoder.output.bias":
            weight.copy_((torch.randn(300, generator=torch.Generator().manual_seed(1)) * 8 / grain).round() * grain / 4)
    stepper, options = Stepper(model), SearchOptions(forbidden=FORBIDDEN)
    lone = lone_search(stepper, [5, END], options, beam=7, nbest=7, longest=4, shortest=0)
    begin = stepper.begin(torch.tensor([[5, END]]), torch.tensor([2]))
    [whole] = beam_search(stepper, begin, options, beam=7, nbest=7, max_lengths=torch.tensor([4]))
    assert [each.tokens for each in lone] == [each.tokens for each in whole]


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("rows", [1, FEW_ROWS + 1])
@pytest.mark.parametrize("sizes", [(64, 64), (65, 63), (7, 130), (384, 1152)], ids=str)
def test_a_product_in_int8_is_off_by_half_a_scale_at_most(sizes: tuple[int, int], rows: int, positive: bool) -> None:
    """Of weights, and by one of inputs, whose zero is rounded too; sums of positive numbers are those that saturate."""
    torch.manual_seed(1)
    weight, bias = torch.randn(*sizes[::-1]) * torch.rand(sizes[1], 1), torch.randn(sizes[1])
    inputs = torch.randn(rows, sizes[0])
    if positive:
        weight, inputs = weight.abs() + 1, inputs.abs() + 1
    made = Int8Affine(weight, bias)
    near, exact = made(inputs), Affine(weight, bias, torch.float32)(inputs)
    scales, step = weight.abs().amax(1) / 127, float(inputs.max().clamp(min=0) - inputs.min().clamp(max=0)) / 127
    bound = inputs.abs().sum(1)[:, None] * scales / 2 + weight.abs().sum(1) * step + sizes[0] * scales * step / 2
    assert float((near - exact).abs().max()) > 0
    assert bool(((near - exact).abs() <= bound * 1.001 + 1e-5).all())
    others = (torch.ops.quantized.linear_dynamic(inputs, each, True) for each in (made.few, made.many))
    for other in others:  # all engines sum the same integers
        torch.testing.assert_close(near, other, rtol=1e-5, atol=1e-5 * float(exact.abs().max()))
    assert np.array_equal(made(inputs.numpy()), near)


@pytest.mark.parametrize("engine", ["fbgemm", "onednn"])
def test_the_processs_engine_of_integers_stays_as_it_is(engine: str) -> None:
    engines = torch.backends.quantized
    before, weight, inputs = engines.engine, torch.randn(5, 6), torch.randn(20, 6)
    expected = Int8Affine(weight, torch.zeros(5))(inputs)
    engines.engine = engine
    try:
        assert torch.equal(Int8Affine(weight, torch.zeros(5))(inputs), expected)
        assert engines.engine == engine
        with pytest.raises(RuntimeError):
            Int8Affine(weight, torch.zeros(6))
        assert engines.engine == engine
        with pytest.raises(RunError, match="not numbers"):
            Int8Affine(weight / 0 * 0, torch.zeros(5))
    finally:
        engines.engine = before


@pytest.mark.parametrize("rows", [1, FEW_ROWS + 1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_steps_in_int8_are_near(shape: Shape, rows: int) -> None:
    model = build(shape.model(embedding_size=20, hidden_size=40), seed=2, spread=0.3).eval()
    batch = batch_of([([5, 6, 7, 8], [])] * rows)
    near, exact = Stepper(model, torch.int8), Stepper(model)
    assert near.serves_lone == exact.serves_lone
    states = [each.begin(batch.source, batch.source_lengths) for each in (near, exact)]
    for token in (START, 5, 9, 4):
        tokens = torch.full((rows, 1), token)
        outputs = [each(tokens, state) for each, state in zip((near, exact), states, strict=True)]
        states = [output.state for output in outputs]
        logits, expected = (output.log_probabilities[0, 0, :VOCABULARY].numpy() for output in outputs)
        assert 0 < np.abs(logits - expected).max() < 0.15 * expected.std()
        assert outputs[0].exact is not None
        assert outputs[1].exact is None


@pytest.mark.parametrize("beam", [1, 3])
@torch.inference_mode()
def test_the_search_of_one_sentence_stops_where_nothing_is_allowed_and_refuses_what_is_no_number(beam: int) -> None:
    stepper = Stepper(build(SHAPES[0].model(), seed=3).eval())
    options = SearchOptions(forbidden=tuple(token for token in range(VOCABULARY) if token != END))
    limits = {"beam": beam, "nbest": 1, "longest": 5}
    [found] = lone_search(stepper, [5, 6, END], options, shortest=2, **limits)
    assert (found.tokens, found.truncated) == ([], True)
    stepper.output.bias.fill_(torch.nan)
    with pytest.raises(RunError, match="not numbers"):
        lone_search(stepper, [5, 6, END], options, shortest=0, **limits)


def greedy(model: Seq2Seq, source: list[int], longest: int) -> list[int]:
    """The whole prefix through `forward` again for every token: slow, and without any state to get wrong."""
    tokens: list[int] = []
    sources, lengths = torch.tensor([[*source, END]]), torch.tensor([len(source) + 1])
    while len(tokens) < longest:
        output = model(sources, lengths, torch.tensor([[START, *tokens]]))
        logits = model.decoder.logits(output.readout)[0, -1]
        logits[list(FORBIDDEN)] = -torch.inf
        best = int(logits.argmax())
        if best == END:
            break
        tokens.append(best)
    return tokens


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_beam_one_is_a_naive_greedy_loop_and_a_wide_beam_scores_as_forward_does(shape: Shape) -> None:
    model = build(shape.model(), seed=2, spread=0.8).eval()
    sources = [source for source, _ in drawn([(5, 1), (1, 1), (3, 1)])]
    batch = batch_of([(source, []) for source in sources])
    longest = torch.tensor([6, 1, 4])

    def search(beam: int) -> list[Any]:
        begin = Hypotheses(*model.begin(batch.source, batch.source_lengths))
        options = SearchOptions(forbidden=FORBIDDEN)
        return beam_search(
            step_of(model),
            begin,
            options,
            beam=beam,
            nbest=beam,
            max_lengths=longest,
            source_lengths=batch.source_lengths,
        )

    for source, limit, (found,) in zip(sources, longest.tolist(), search(1), strict=True):
        assert found.tokens == greedy(model, source, limit)
    for row, hypotheses in enumerate(search(3)):
        assert len(hypotheses) == 3
        for each in (hypotheses[0], hypotheses[-1]):
            tokens = torch.tensor(each.tokens + ([] if each.truncated else [END]))
            inputs = torch.cat([torch.tensor([START]), tokens[:-1]])[None]
            length = len(sources[row]) + 1
            output = model(batch.source[row : row + 1, :length], torch.tensor([length]), inputs)
            wanted = model.decoder.logits(output.readout)[0].log_softmax(1).gather(1, tokens[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(each.log_probabilities), wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_search_state_moves_with_its_hypotheses_and_sentences() -> None:
    model = build(Shape("lstm", "general", "gnmt", True).model()).eval()
    batch = batch_of(drawn([(5, 1), (2, 1), (3, 1)]))
    begin = Hypotheses(*model.begin(batch.source, batch.source_lengths))
    step = step_of(model)
    first = step(torch.full((3, 1), START), begin).state.reorder(torch.zeros(3, 2, dtype=torch.long))
    tokens = torch.tensor([[4, 5], [6, 7], [8, 9]])
    whole = step(tokens, first)
    parents, staying = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0]]), torch.tensor([2, 0])
    after = whole.state.keep(staying).reorder(parents[staying])
    again = torch.full((2, 3), 4)
    expected = step(torch.full((3, 2), 4), whole.state).log_probabilities
    expected = expected.gather(1, parents[:, :, None].expand(3, 3, VOCABULARY))[staying]
    torch.testing.assert_close(step(again, after).log_probabilities, expected, rtol=1e-5, atol=1e-5)


def test_parameters_of_a_textbook_configuration_are_counted_by_hand() -> None:
    """Two LSTM layers of 1,000 units, 1,000-unit embeddings, general attention with input feeding.

    That is the base model of Luong et al. (2015, section 4.1), with two layers and a vocabulary of 50,000.
    """
    model = Seq2SeqModel(
        cell="lstm",
        embedding_size=1000,
        hidden_size=1000,
        encoder_layers=2,
        decoder_layers=2,
        bidirectional=False,
        attention="general",
        input_feeding=True,
        bridge="last",
        tied_embeddings="none",
    )
    with torch.device("meta"):
        built = build_seq2seq(model, source_vocabulary=50_000, target_vocabulary=50_000)
    layer = 4 * (1000 * 1000 + 1000 * 1000 + 2 * 1000)
    fed = 4 * (2000 * 1000 + 1000 * 1000 + 2 * 1000)
    by_hand = {
        "encoder.embedding": 50_000 * 1000,
        "encoder.recurrent": 2 * layer,
        "decoder.embedding": 50_000 * 1000,
        "decoder.asking": fed + layer,
        "decoder.attention": 1000 * 1000,
        "decoder.readout": 2000 * 1000 + 1000,
        "decoder.output": 50_000 * 1000 + 50_000,
        "decoder.bridge": 0,
    }
    counted = {name: sum(weight.numel() for weight in built.get_submodule(name).parameters()) for name in by_hand}
    assert counted == by_hand
    assert sum(weight.numel() for weight in built.parameters()) == sum(by_hand.values())


@pytest.mark.parametrize(("tied", "matrices"), [("none", 3), ("target", 2), ("all", 1)])
def test_tying_leaves_so_many_vocabulary_matrices(tied: str, matrices: int) -> None:
    model = build(small(tied_embeddings=tied))
    assert sum(weight.shape == (VOCABULARY, 4) for weight in model.parameters()) == matrices


@torch.no_grad()
@pytest.mark.parametrize(("tied", "shared"), [("none", False), ("target", True), ("all", True)])
def test_an_embedding_is_normal_and_one_that_is_the_output_matrix_is_filled_as_that(tied: str, shared: bool) -> None:
    model = build(small(embedding_size=16, tied_embeddings=tied), vocabulary=400)
    embedding, bound = model.decoder.embedding.weight, (6 / (400 + 16)) ** 0.5
    assert float(model.decoder.output.weight.abs().max()) <= bound
    assert (embedding is model.decoder.output.weight) == shared
    if not shared:
        assert float(embedding.std()) == pytest.approx(16**-0.5, rel=0.05)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_fixes_every_weight(seed: int) -> None:
    one, same, other = (build(small(), seed=each) for each in (seed, seed, seed + 1))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


FACTORS: dict[str, tuple[Any, ...]] = {
    "cell": CELLS,
    "attention": ATTENTIONS,
    "input_feeding": (False, True),
    "wiring": ("luong", "gnmt"),
    "encoder_layers": (1, 2, 3),
    "decoder_layers": (1, 2, 3),
    "bidirectional": (False, True),
    "encoder_hidden_size": (None, 5),
    "bridge": ("learned", "last", "zeros"),
    "tied_embeddings": ("none", "target", "all"),
    "variational": (False, True),
    "initialization": ("uniform", "orthogonal"),
    "bfloat16": (False, True),
}
REFUSED = {  # hidden_size is 6, which neither one direction of 5 units nor two make
    (("wiring", "gnmt"), ("decoder_layers", 1)): r"wiring: gnmt .* decoder_layers must be at least 2 \(given 1\)",
    (("attention", "dot"), ("encoder_hidden_size", 5)): r"attention: dot needs .* 10 units \(2 x 5\) .* has 6",
    (
        ("attention", "scaled_dot"),
        ("encoder_hidden_size", 5),
    ): r"attention: scaled_dot needs .* 10 units \(2 x 5\) .* 6",
    (("encoder_hidden_size", 5), ("bridge", "last")): r"bridge: last copies .* 10 units \(2 x 5\) and the decoder 6",
}
Options = dict[str, Any]
Pair = tuple[tuple[str, Any], tuple[str, Any]]


def pairs_of(options: Options) -> set[Pair]:
    return set(itertools.combinations(options.items(), 2))


def model_of(options: Options) -> Seq2SeqModel:
    rates = dict.fromkeys(("embedding", "layers", "output", "source_words", "target_words"), 0.1)
    dropout = Dropout(**rates, variational=options["variational"])
    chosen = {name: value for name, value in options.items() if name not in ("variational", "bfloat16")}
    return small(**chosen, dropout=dropout)


def all_pairs() -> Iterator[Options]:
    """Greedily: start from a pair that is missing, then let each factor take the value that adds most pairs."""
    chooser = random.Random(1)
    sides = itertools.combinations([[(name, value) for value in FACTORS[name]] for name in FACTORS], 2)
    missing = {pair for one, two in sides for pair in itertools.product(one, two)} - REFUSED.keys()
    while missing:
        options: Options = dict(min(missing, key=str))
        for name in chooser.sample(list(FACTORS), len(FACTORS)):
            gains: dict[Any, int] = {}
            for value in () if name in options else FACTORS[name]:
                trial = {each: (options | {name: value})[each] for each in FACTORS if each in (*options, name)}
                if not pairs_of(trial) & REFUSED.keys():
                    gains[value] = len(pairs_of(trial) & missing)
            if gains:
                options[name] = max(gains, key=gains.__getitem__)
        options = {name: options[name] for name in FACTORS}
        missing -= pairs_of(options)
        yield options


COMBINATIONS = list(all_pairs())


def test_every_pair_of_options_that_a_recipe_accepts_is_in_a_combination() -> None:
    covered = set().union(*(pairs_of(options) for options in COMBINATIONS))
    every = {
        ((one, a), (two, b))
        for one, two in itertools.combinations(FACTORS, 2)
        for a, b in itertools.product(FACTORS[one], FACTORS[two])
    }
    assert every - covered == REFUSED.keys()
    assert len(COMBINATIONS) < 40


@pytest.mark.parametrize("pair", sorted(REFUSED, key=str), ids=str)
def test_a_pair_that_does_not_go_together_is_refused(pair: Pair) -> None:
    with pytest.raises(ValidationError, match=REFUSED[pair]):
        small(**dict(pair))


def unused(options: Options) -> set[str]:
    """Prefixes of weights that the loss cannot depend on: without attention only the bridge joins the two halves."""
    return {"encoder."} if options["attention"] == "none" and options["bridge"] == "zeros" else set()


@pytest.mark.parametrize("options", COMBINATIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_options_in_pairs_train_a_step_and_decode(options: Options) -> None:
    model = build(model_of(options))
    batch = batch_of(drawn([(5, 3), (2, 6), (6, 4), (3, 3)]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.autocast("cpu", torch.bfloat16, enabled=options["bfloat16"]):
        before = loss_of(model.eval(), batch)
        loss = loss_of(model.train(), batch)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, weight in model.named_parameters():
        tied = options["tied_embeddings"] == "all" and name == "encoder.embedding.weight"
        if not tied and any(name.startswith(prefix) for prefix in unused(options)):
            assert weight.grad is None or not weight.grad.any(), name
        else:
            assert weight.grad is not None, name
            assert weight.grad.any(), name
            assert weight.grad.isfinite().all(), name
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=options["bfloat16"]):
        assert loss_of(model.eval(), batch) < before
        begin, limits = Hypotheses(*model.begin(batch.source, batch.source_lengths)), torch.tensor([6, 2, 3, 5])
        found = beam_search(step_of(model), begin, SearchOptions(), beam=3, nbest=3, max_lengths=limits)
    for hypotheses, limit in zip(found, limits.tolist(), strict=True):
        assert hypotheses == sorted(hypotheses, key=lambda each: -each.score)
        assert all(len(each.tokens) <= limit for each in hypotheses)
        assert all(0 <= token < VOCABULARY and token not in FORBIDDEN for each in hypotheses for token in each.tokens)


# The encoder alone

UNITS, HIDDEN = 3, 4
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def encoder_of(
    cell: Cell = "gru",
    layers: int = 1,
    bidirectional: bool = True,
    dropout: LayerDropout = LayerDropout(),  # noqa: B008 - immutable
) -> Encoder:
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
def test_an_encoded_batch_equals_its_rows_alone_whatever_the_padding(
    cell: Cell, layers: int, bidirectional: bool, lengths: list[int], extra: int
) -> None:
    """With equal lengths and no extra columns this is the path that does not pack."""
    encoder = encoder_of(cell, layers, bidirectional)
    tokens, counts = sampled(lengths, max(lengths) + extra)
    values, state = encoder(tokens, counts)
    assert values.shape == (len(lengths), max(lengths) + extra, HIDDEN * (2 if bidirectional else 1))
    for row, length in enumerate(lengths):
        alone, alone_state = encoder(tokens[row : row + 1, :length], counts[row : row + 1])
        torch.testing.assert_close(values[row, :length], alone[0], **CLOSE)
        assert not values[row, length:].any()
        for part, other in zip(state, alone_state, strict=True):
            assert part.shape == (layers, len(lengths), values.shape[2])
            torch.testing.assert_close(part[:, row], other[:, 0], **CLOSE)


@pytest.mark.parametrize("cell", CELLS)
def test_the_top_state_is_what_the_directions_read_last(cell: Cell) -> None:
    encoder = encoder_of(cell, layers=2)
    tokens, lengths = sampled([5, 3], 5)
    values, state = encoder(tokens, lengths)
    for row, length in enumerate([5, 3]):
        torch.testing.assert_close(state[0][1, row, :HIDDEN], values[row, length - 1, :HIDDEN])
        torch.testing.assert_close(state[0][1, row, HIDDEN:], values[row, 0, HIDDEN:])


def test_gradients_of_an_encoded_batch_are_the_sum_of_its_rows() -> None:
    encoder = encoder_of("lstm", layers=3)
    tokens, lengths = sampled([4, 1, 6], 6)
    values, state = encoder(tokens, lengths)
    together = torch.autograd.grad(values.square().sum() + state[1].sum(), list(encoder.parameters()))
    total = torch.zeros(()).double()
    for row, length in enumerate(lengths.tolist()):
        values, state = encoder(tokens[row : row + 1, :length], lengths[row : row + 1])
        total = total + values.square().sum() + state[1].sum()
    for one, other in zip(together, torch.autograd.grad(total, list(encoder.parameters())), strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


SWITCHES = [LayerDropout(embedding=0.5), LayerDropout(layers=0.5), LayerDropout(output=0.5), LayerDropout(words=0.5)]


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("dropout", SWITCHES, ids=str)
def test_each_dropout_acts_in_training_only_and_a_seed_repeats_it(dropout: LayerDropout, variational: bool) -> None:
    encoder = encoder_of("gru", 2, dropout=dropout._replace(variational=variational))
    plain = encoder_of("gru", 2).eval()
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
    plain, state = encoder_of()(tokens, lengths)
    values, same_state = encoder_of(dropout=LayerDropout(output=0.25))(tokens, lengths)
    dropped = values == 0
    assert abs(float(dropped.double().mean()) - 0.25) < 0.03
    torch.testing.assert_close(values[~dropped], plain[~dropped] / 0.75, **CLOSE)
    torch.testing.assert_close(same_state[0], state[0], **CLOSE)


def test_variational_output_dropout_drops_a_unit_at_every_position() -> None:
    tokens, lengths = sampled([7, 7], 7)
    values, _ = encoder_of(dropout=LayerDropout(output=0.5, variational=True))(tokens, lengths)
    dropped = values == 0
    assert dropped.any()
    assert torch.equal(dropped.all(dim=1), dropped.any(dim=1))
