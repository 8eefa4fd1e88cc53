"""A decoder's step for the search, with all that stays the same from step to step made ready once.

The weights are transposed and in one type, and on a CPU the product of each token's embedding with the first layer is
computed once. Its slow twin is `Seq2Seq.decoder.step`.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from s2s.nn.attention import Memory
from s2s.nn.recurrent import Recurrent
from s2s.translation.model import Encoder, Seq2Seq
from s2s.translation.search.beam import BLOCK, StepOutput
from s2s.translation.search.cells import Affine, Array, Cell, Int8Affine, MakeAffine, tanh
from s2s.translation.search.hypotheses import Exact, Floats, Integers

LARGEST_TABLE = 1 << 23
"""Numbers of a table of tokens' products with a first layer, at most."""
POSITIONS_SHARE = 1 / 32
"""Source positions, for each unit of memory and hypothesis, up to which multiplying values once beats each context."""
LONE_ROWS = 8
"""Hypotheses at most of one sentence that `lone_search` in float32 searches faster than `beam_search` in bfloat16."""

Attend = Callable[[Array], tuple[Array, Array]]
"""queries -> the contexts' share of all that reads them, and weights"""


class State(NamedTuple):
    """Where a search over B sentences with K hypotheses each stands; row b x K + k is hypothesis k of sentence b."""

    layers: tuple[tuple[Tensor, ...], ...]
    """of each layer (h,) or (h, c), (B x K, H) each"""
    feed: Tensor | None
    """(B x K, E), the last readout, with input feeding"""
    memory: Memory
    """with the values themselves (B, S, M), or multiplied by all that reads contexts (B, S, P)"""

    def reorder(self, parents: Tensor) -> "State":
        """(B, K'), for each new hypothesis the old one that it continues."""
        sentences = len(self.memory.values)
        width = len(self.layers[0][0]) // sentences
        first = torch.arange(0, sentences * width, width, device=parents.device)
        return self._rows((first[:, None] + parents).flatten(), self.memory)

    def keep(self, sentences: Tensor) -> "State":
        """(b,), the sentences that stay."""
        width = len(self.layers[0][0]) // len(self.memory.values)
        rows = sentences[:, None] * width + torch.arange(width, device=sentences.device)
        return self._rows(rows.flatten(), self.memory.keep(sentences))

    def _rows(self, rows: Tensor, memory: Memory) -> "State":
        layers = tuple(tuple(part.index_select(0, rows) for part in layer) for layer in self.layers)
        return State(layers, None if self.feed is None else self.feed.index_select(0, rows), memory)


class LoneState(NamedTuple):
    """The same of one sentence, in NumPy arrays of float32."""

    layers: tuple[tuple[Floats, ...], ...]
    feed: Floats | None
    keys: Floats
    """(A, S)"""
    values: Floats
    """(S, P), multiplied by all that reads contexts"""

    def reorder(self, parents: list[int]) -> "LoneState":
        """K', for each new hypothesis the old one that it continues."""
        layers = tuple(tuple(part.take(parents, 0) for part in layer) for layer in self.layers)
        return self._replace(layers=layers, feed=None if self.feed is None else self.feed.take(parents, 0))


class Stepper:
    """A step of a model as the search sees it: a `Step` over `State`."""

    def __init__(self, model: Seq2Seq, dtype: torch.dtype = torch.float32) -> None:
        """With torch.int8 the products with weights are in int8, and the rest is float32."""
        decoder, int8 = model.decoder, dtype == torch.int8
        dtype = torch.float32 if int8 else dtype
        self.model, self.dtype, self.device = model, dtype, decoder.output.weight.device
        self.attention = decoder.attention  # a module takes microseconds to give what it has
        on_cpu = self.device.type == "cpu"
        self.rounded = int8 or (on_cpu and dtype != torch.float32)
        products = self.attention is None or self.attention.by_products
        self.serves_lone = on_cpu and dtype == torch.float32 and products
        self.multiplies = on_cpu and not self.rounded
        """whether values, of few positions, are multiplied once and not the contexts of each step"""
        affine: MakeAffine = Int8Affine if int8 else partial(Affine, dtype=dtype)
        self.asking = _Stack(decoder.asking, affine)
        below = decoder.asking.output_size
        self.above = None if decoder.above is None else _Stack(decoder.above, affine, below)
        self.readout = affine(decoder.readout.weight[:, :below], decoder.readout.bias)
        above = () if decoder.above is None else decoder.above.layers
        reading = [*(dict(layer.named_parameters())["weight_ih_l0"] for layer in above), decoder.readout.weight]
        self.context = torch.cat([weight.detach()[:, below:] for weight in reading])
        """(P, M) weights of the contexts in the layers above and in the readout, of which `parts` are each's rows"""
        ends = [0, *accumulate(map(len, reading))]
        self.parts = [slice(*part) for part in pairwise(ends)]
        if self.attention is not None:
            self.share = affine(self.context, self.context.new_zeros(len(self.context)))
        # Logits lie so far apart in bfloat16 that a bias added there would be lost, and lines would change.
        wide = affine if int8 else partial(Affine, dtype=dtype, bias_dtype=torch.float32)
        missing = -decoder.output.out_features % BLOCK
        bias = nn.functional.pad(decoder.output.bias, (0, missing), value=-torch.inf)
        self.output = wide(nn.functional.pad(decoder.output.weight, (0, 0, 0, missing)), bias)
        embedding = decoder.embedding.weight.detach().to(dtype) * decoder.embedding.embedding_dim**0.5
        weights = dict(decoder.asking.layers[0].named_parameters())
        own, fed = weights["weight_ih_l0"].detach().tensor_split([embedding.shape[1]], dim=1)
        into = Affine(own, weights["bias_ih_l0"], dtype)
        small = on_cpu and len(embedding) * len(into.bias) <= LARGEST_TABLE
        self.tokens = into(embedding) if small else embedding
        """(V, G) tokens' share of the first layer's gates, or (V, E) their embeddings"""
        self.into = None if small else into
        self.feeding = affine(fed, fed.new_zeros(len(fed))) if decoder.input_feeding else None
        """the last readout's share of the first layer's gates"""

    def begin(self, source: Tensor, lengths: Tensor, *, beam: int = 1) -> State:
        """(B, S), (B,) on the CPU -> where a search starts, K = 1, that may have `beam` hypotheses of each sentence."""
        start, memory = self.model.begin(source, lengths)
        layers = tuple(zip(*(part.to(self.dtype).unbind(0) for part in start.layers), strict=True))
        feed = None if start.feed is None else start.feed[:, 0].to(self.dtype)
        # in float32 whatever the type of the rest: many small products in bfloat16 are slower on a CPU
        keys, values = memory.keys.float(), memory.values.float()
        shares, units = self.context.shape
        numbers, positions = values.shape[0] * values.shape[1] * shares, values.shape[1]
        worth = self.attention is not None and beam > 1 and positions <= POSITIONS_SHARE * beam * units
        if worth and self.multiplies and shares != units and numbers <= LARGEST_TABLE:
            values = torch.mm(values.flatten(0, 1), self.context.t()).view(*values.shape[:2], -1)
        return State(layers, feed, Memory(keys, values, memory.valid))

    @cached_property
    def _table(self) -> Floats:
        table: Floats = self.tokens.numpy()
        return table

    @cached_property
    def _reader(self) -> "_Reader":
        return _Reader(self.model.encoder)

    def begin_lone(self, source: Sequence[int]) -> LoneState:
        """The S tokens of a sentence -> where its search starts, for a Stepper that serves a lone one."""
        values, last = self._reader(source)
        start = self.model.decoder.start(last)
        layers = tuple(tuple(part.numpy() for part in layer) for layer in zip(*start.layers, strict=True))
        feed = None if start.feed is None else start.feed[:, 0].numpy()
        if self.attention is None:
            return LoneState(layers, feed, values.T, values)
        left = torch.mm(torch.from_numpy(values), self._attended).numpy()
        return LoneState(layers, feed, left[:, : -len(self.context)].T, left[:, -len(self.context) :])

    @cached_property
    def _attended(self) -> Tensor:
        """(M, A + P) weights of all that attention reads of a sentence: the keys, and the contexts' share."""
        assert self.attention is not None
        context = self.context.t()
        return torch.cat([self.attention.keys(torch.eye(len(context))), context], 1)

    def __call__(self, tokens: Tensor, state: State) -> StepOutput[State]:
        """Last tokens (B, K) and a state -> log-probabilities (B, K, V), attention (B, K, S) and the next state.

        V is filled up to a multiple of BLOCK with tokens that have no probability.
        """
        gates = self.tokens.index_select(0, tokens.flatten())
        attend = partial(self._attend, memory=state.memory)
        readout, attention, layers = self._advance(gates, state.layers, state.feed, attend)
        logits = self.output(readout)
        log_probabilities = torch.log_softmax(logits, dim=1, out=logits).view(*tokens.shape, -1)
        following = State(layers, None if state.feed is None else readout, state.memory)
        return StepOutput(log_probabilities, attention, following, self.exact_of(readout))

    def lone(self, tokens: list[int], state: LoneState) -> tuple[Floats, Floats | None, Floats, LoneState]:
        """Last tokens (K,) -> log-probabilities (K, V), attention (K, S), readouts (K, E) and the next state."""
        gates = self._table.take(tokens, 0)
        readout, attention, layers = self._advance(gates, state.layers, state.feed, partial(_attend_lone, state=state))
        logits = torch.from_numpy(self.output(readout))
        log_probabilities: Floats = torch.log_softmax(logits, 1, out=logits).numpy()  # a copy, of two tensors alike
        feed = None if state.feed is None else readout
        following = LoneState(layers, feed, state.keys, state.values)
        return log_probabilities, attention, readout, following

    def _advance(
        self, gates: Array, layers: tuple[tuple[Array, ...], ...], feed: Array | None, attend: Attend
    ) -> tuple[Array, Array | None, tuple[tuple[Array, ...], ...]]:
        """Tokens' rows of the table (N, G), states -> readouts (N, E), attention and the next states."""
        if self.into is not None:
            gates = self.into(gates)
        if self.feeding is not None:
            gates += self.feeding(feed)
        depth = len(self.asking.cells)
        hidden, after = self.asking(gates, layers[:depth], ())
        shares, attention = list[Array](), None
        if self.attention is not None:
            share, attention = attend(hidden)
            shares = [share[:, part] for part in self.parts]
        if self.above is not None:
            hidden, rest = self.above(self.above.cells[0].into(hidden), layers[depth:], shares)
            after += rest
        readout = self.readout(hidden)
        if shares:
            readout += shares[-1]
        return tanh(readout), attention, tuple(after)

    def _attend(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Queries (B x K, H) -> shares (B x K, P) and weights (B, K, S)."""
        assert self.attention is not None
        queries = hidden.float().view(len(memory.values), -1, hidden.shape[1])
        contexts, weights = self.attention(queries, memory)
        rows = contexts.flatten(0, 1)
        return rows if rows.shape[1] != self.context.shape[1] else self.share(rows.to(self.dtype)), weights

    def exact_of(self, readout: Array) -> Exact | None:
        """Readouts (B x K, E) -> the way to their exact logits, where the step's are rounded."""
        return partial(self._exact, torch.as_tensor(readout)) if self.rounded else None

    def _exact(self, readout: Tensor, rows: Integers, tokens: Integers) -> Floats:
        """Readouts (B x K, E), rows (R,), tokens (R, N) -> their logits (R, N), computed in float32."""
        output, places = self.model.decoder.output, torch.from_numpy(tokens)
        weights = nn.functional.embedding(places, output.weight.detach())
        products = weights.mul_(readout.index_select(0, torch.from_numpy(rows)).float()[:, None])
        logits: Floats = products.sum(dim=2).add_(output.bias.detach()[places]).numpy()
        return logits


def _attend_lone(hidden: Floats, state: LoneState) -> tuple[Floats, Floats]:
    """Queries (K, H) -> shares (K, P) and weights (K, S), by keys whose score is a product."""
    weights: Floats = torch.softmax(torch.from_numpy(np.dot(hidden, state.keys)), 1).numpy()
    return np.dot(weights, state.values), weights


class _Reader:
    """The encoder for one sentence, its directions in step; its slow twin is `Encoder`."""

    def __init__(self, encoder: Encoder) -> None:
        affine = partial(Affine, dtype=torch.float32)
        self.cells = [Cell(layer, affine) for layer in encoder.recurrent.layers]  # type: ignore[arg-type]
        self.residual_from = encoder.recurrent.residual_from
        embedding = encoder.embedding.weight.detach() * encoder.embedding.embedding_dim**0.5
        small = len(embedding) * len(next(encoder.recurrent.layers[0].parameters())) <= LARGEST_TABLE
        self.embedding = embedding.numpy()
        self.tables = [into(self.embedding) for into in self.cells[0].inputs] if small else None
        """(V, G) tokens' share of the first layer's gates, of each direction"""

    def __call__(self, source: Sequence[int]) -> tuple[Floats, tuple[Tensor, ...]]:
        """S tokens -> values (S, M) and the last state (L, 1, M) each."""
        values, last = self.embedding[source], []
        for index, cell in enumerate(self.cells):
            if index == 0 and self.tables is not None:
                shares = [table.take(source, 0) for table in self.tables]
            else:
                shares = [into(values) for into in cell.inputs]
            shares[1:] = [share[::-1] for share in shares[1:]]
            read = np.empty((len(source), len(shares), cell.size), np.float32)
            state = tuple(np.zeros(read.shape[1:], np.float32) for _ in range(cell.parts))
            for gates, output in zip(np.stack(shares, axis=1), read, strict=True):
                state = cell.advance(gates, state)
                output[:] = state[0]
            read[:, 1:] = read[::-1, 1:]
            outputs = read.reshape(len(source), -1)
            values = outputs + values if index >= self.residual_from else outputs
            last.append([part.reshape(1, -1) for part in state])
        return values, tuple(torch.from_numpy(np.stack(part)) for part in zip(*last, strict=True))


class _Stack:
    """The layers of a `Recurrent`, stepped."""

    def __init__(self, recurrent: Recurrent, affine: MakeAffine, below: int | None = None) -> None:
        self.cells = [Cell(layer, affine, below) for layer in recurrent.layers]  # type: ignore[arg-type]
        self.residual_from = recurrent.residual_from

    def __call__(
        self, gates: Array, layers: tuple[tuple[Array, ...], ...], shares: Sequence[Array]
    ) -> tuple[Array, list[tuple[Array, ...]]]:
        """The first layer's gates (N, G), each layer's state, contexts' shares -> the top output, all states."""
        after: list[tuple[Array, ...]] = []
        hidden: Array = None
        for index, (cell, state) in enumerate(zip(self.cells, layers, strict=True)):
            if index:
                gates = cell.into(hidden)
            if shares:
                gates += shares[index]
            after.append(cell.advance(gates, state))
            hidden = after[-1][0] + hidden if index >= self.residual_from else after[-1][0]
        return hidden, after
