"""Greedy search of one sentence on a processor, where arithmetic is not what takes the time.

A single row is multiplied by a matrix as fast as the matrix is read, and a step of some sixty torch calls costs more
than that. Here only the products with weights are torch's; what lies between them is NumPy on the same memory, whose
calls cost a fifth. What the context is multiplied by is multiplied into the memory's values, once a sentence, and what
the embedding is multiplied by into it, once a token. Its slow twin is `greedy_search` over a `Stepper`.
"""

from itertools import accumulate
from math import isfinite, isnan

import numpy as np
import torch
from torch import Tensor, nn

from s2s.decoding.hypotheses import Floats, Hypothesis, SearchOptions
from s2s.decoding.search import NOT_NUMBERS
from s2s.decoding.stepper import CellStep, Stepper
from s2s.errors import RunError
from s2s.models.seq2seq import Hypotheses
from s2s.nn.attention import Memory
from s2s.nn.recurrent import Recurrent

LARGEST_TABLE = 1 << 22
"""Numbers that are kept of tokens' products with the first layer."""


class SingleSearch:
    """Searches one sentence with the weights of a Stepper."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        recurrent = stepper.model.encoder.recurrent
        endings = ("", "_reverse")[: recurrent.directions]
        self.reading = [[CellStep(layer, stepper.dtype, end) for end in endings] for layer in _layers(recurrent)]
        self.units = stepper.embedding.shape[1]
        self.entered: dict[int, Floats] = {}
        above = [] if stepper.above is None else stepper.above.cells
        size = stepper.asking.cells[-1].size
        readers = [*(cell.into for cell in above), stepper.readout]  # of hidden states and, behind these, a context
        parts = [reader.weight[size:] for reader in readers]
        self.projection = torch.cat(parts, dim=1)
        ends = list(accumulate(part.shape[1] for part in parts))
        self.shares = [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]

    @staticmethod
    def suits(stepper: Stepper) -> bool:
        """Whether it serves such a model, which must be in float32 and have attention by products, or none."""
        attention = stepper.model.decoder.attention
        products = attention is None or attention.score in ("dot", "scaled_dot", "general")
        return products and stepper.dtype == torch.float32 and stepper.embedding.device.type == "cpu"

    def begin(self, source: Tensor) -> Hypotheses:
        """(1, S) -> where a search starts, as `Stepper.begin` gives it."""
        encoder, decoder = self.stepper.model.encoder, self.stepper.model.decoder
        values: Tensor = encoder.embedding(source)[0]
        states = []
        for index, cells in enumerate(self.reading):
            below = values
            parts, ends = zip(
                *(_read(cell, values, back=number == 1) for number, cell in enumerate(cells)), strict=True
            )
            values = torch.from_numpy(np.concatenate(parts, axis=1))
            states.append([torch.from_numpy(np.concatenate(part))[None] for part in zip(*ends, strict=True)])
            if index >= encoder.recurrent.residual_from:
                values = values + below
        last = tuple(torch.stack(part) for part in zip(*states, strict=True))
        values = values[None]
        keys = values if decoder.attention is None else decoder.attention.keys(values)
        return Hypotheses(decoder.start(last), Memory(keys, values, torch.ones_like(source, dtype=torch.bool)))

    def __call__(self, begin: Hypotheses, options: SearchOptions, *, longest: int, shortest: int) -> Hypothesis:
        """From where a search starts, B = 1, to the Hypothesis that `greedy_search` gives."""
        assert not options.no_repeat_ngram
        assert not options.coverage_penalty
        step = _Step(self, begin)
        tokens: list[int] = []
        log_probabilities: list[float] = []
        attended: list[Floats] = []
        last, truncated = options.start, True
        while len(tokens) < longest and truncated:
            logits = step(last)
            top = logits.max()
            last = _best(logits, options, early=len(tokens) < shortest)
            value = float(logits[last] - top - np.log(np.exp(logits - top).sum()))
            if isnan(value):
                raise RunError(NOT_NUMBERS)
            if not isfinite(value):
                break
            tokens.append(last)
            log_probabilities.append(value)
            if options.keep_attention and step.weights is not None:
                attended.append(step.weights)
            truncated = last != options.end
        score = sum(log_probabilities) / options.normalizer(len(tokens))
        kept = np.stack(attended) if attended else None
        return Hypothesis(tokens if truncated else tokens[:-1], log_probabilities, score, truncated, kept)

    def enter(self, token: int) -> Floats:
        """A token's share of the first layer's gates (G,), biases included."""
        known = self.entered.get(token)
        if known is None:
            into = self.stepper.asking.cells[0].into
            product = torch.addmm(into.bias, self.stepper.embedding[token, None], into.weight[: self.units])
            known = product.numpy()[0]
            if len(self.entered) * len(known) < LARGEST_TABLE:
                self.entered[token] = known
        return known


def _layers(recurrent: Recurrent) -> list[nn.RNNBase]:
    return [layer for layer in recurrent.layers if isinstance(layer, nn.RNNBase)]


def _read(cell: CellStep, inputs: Tensor, *, back: bool) -> tuple[Floats, tuple[Floats, ...]]:
    """(S, I) -> a direction's outputs (S, H) and its last state, (H,) each."""
    gates: Floats = cell.into(inputs).numpy()
    zeros = np.zeros(cell.size, np.float32)
    layer = _Layer(cell, (zeros, zeros) if cell.kind is nn.LSTM else (zeros,))
    outputs = np.empty((len(gates), cell.size), np.float32)
    with np.errstate(over="ignore"):
        for position in range(len(gates))[:: -1 if back else 1]:
            layer.gates[:] = gates[position]
            outputs[position] = layer.advance().array
    return outputs, (layer.hidden.array,) if layer.cell is None else (layer.hidden.array, layer.cell)


def _best(logits: Floats, options: SearchOptions, *, early: bool) -> int:
    """The token with the largest logit among those allowed; the first of several."""
    best = int(logits.argmax())
    if best in options.forbidden or (early and best == options.end):
        allowed = logits.copy()
        allowed[list(options.forbidden)] = -np.inf
        if early:
            allowed[options.end] = -np.inf
        best = int(allowed.argmax())
        logits[best] = allowed[best]  # minus infinity where nothing is allowed
    return best


class _Row:
    """A vector as torch sees it (1, N) and as NumPy does (N,): one memory."""

    def __init__(self, size: int) -> None:
        self.tensor = torch.empty(1, size)
        self.array: Floats = self.tensor.numpy()[0]


class _Product:
    """x W + b of one row."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias
        self.out = _Row(weight.shape[1])

    def __call__(self, row: _Row) -> _Row:
        torch.addmm(self.bias, row.tensor, self.weight, out=self.out.tensor)
        return self.out


class _Step:
    """Where the search of one sentence stands; each call feeds a token."""

    def __init__(self, search: SingleSearch, begin: Hypotheses) -> None:
        stepper, memory = search.stepper, begin.memory
        decoder, asking = stepper.model.decoder, stepper.asking.cells
        above = [] if stepper.above is None else stepper.above.cells
        self.search = search
        self.weights: Floats | None = None
        """(S,) of the attention, behind a call"""
        states = list(zip(*(part[:, 0].numpy() for part in begin.decoder.layers), strict=True))
        # The first layer reads a table, and of the others' inputs only the hidden state is multiplied at each step.
        own = [_Layer(cell, state) for cell, state in zip([*asking, *above], states, strict=True)]
        self.asking, self.above = own[: len(asking)], own[len(asking) :]
        self.residual_from = stepper.asking.residual_from, 0 if stepper.above is None else stepper.above.residual_from
        self.feeding: _Product | None = None
        self.feed: _Row | None = None
        if begin.decoder.feed is not None:
            weight = asking[0].into.weight[search.units :]
            self.feeding, self.feed = _Product(weight, weight.new_zeros(weight.shape[1])), _Row(search.units)
            self.feed.array[:] = 0.0
        size = asking[-1].size
        self.readout = _Product(stepper.readout.weight[:size], stepper.readout.bias)
        self.output = _Product(*stepper.output)
        if decoder.attention is not None:
            valid = memory.valid[0]
            self.keys: Floats = (memory.keys[0, valid] * decoder.attention.scale).numpy()
            self.values: Floats = (memory.values[0, valid] @ search.projection).numpy()

    def __call__(self, token: int) -> Floats:
        """The logits (V,) of what follows."""
        with np.errstate(over="ignore"):  # exp of a gate's input that is far below zero
            first = self.asking[0]
            first.gates[:] = self.search.enter(token)
            if self.feeding is not None and self.feed is not None:
                first.gates += self.feeding(self.feed).array
            hidden = first.advance()
            for index, layer in enumerate(self.asking[1:], start=1):
                hidden = layer(hidden, None, residual=index >= self.residual_from[0])
            context = None
            if self.search.stepper.model.decoder.attention is not None:
                context = self._attend(hidden.array)
            for index, layer in enumerate(self.above):
                share = None if context is None else context[self.search.shares[index]]
                hidden = layer(hidden, share, residual=index >= self.residual_from[1])
            readout = self.readout(hidden)
            if context is not None:
                readout.array += context[self.search.shares[-1]]
            np.tanh(readout.array, out=readout.array)
            if self.feed is not None:
                self.feed.array[:] = readout.array
            return self.output(readout).array

    def _attend(self, query: Floats) -> Floats:
        """(H,) -> the context, multiplied by what reads it."""
        weights: Floats = np.matmul(self.keys, query)
        weights -= weights.max()
        np.exp(weights, out=weights)
        weights /= weights.sum()
        self.weights = weights
        context: Floats = np.matmul(weights, self.values)
        return context


class _Layer:
    """A cell with its state."""

    def __init__(self, cell: CellStep, state: tuple[Floats, ...]) -> None:
        self.kind, size = cell.kind, cell.size
        # the first layer's product is never called: it reads a table
        self.product = _Product(cell.into.weight[:size], cell.into.bias)
        self.across = _Product(*cell.across)
        self.gates: Floats = self.product.out.array
        self.hidden, self.sum = _Row(size), _Row(size)
        self.hidden.array[:] = state[0]
        self.cell: Floats | None = state[1].copy() if len(state) == 2 else None

    def __call__(self, inputs: _Row, context: Floats | None, *, residual: bool) -> _Row:
        self.product(inputs)
        if context is not None:
            self.gates += context
        hidden = self.advance()
        if not residual:
            return hidden
        np.add(hidden.array, inputs.array, out=self.sum.array)
        return self.sum

    def advance(self) -> _Row:
        """The next state, from the inputs' share of the gates."""
        gates, product, state = self.gates, self.across(self.hidden).array, self.hidden.array
        size = len(state)
        if self.kind is nn.GRU:
            opened, candidate = gates[: 2 * size], gates[2 * size :]
            opened += product[: 2 * size]
            _sigmoid(opened)
            product[2 * size :] *= opened[:size]
            candidate += product[2 * size :]
            np.tanh(candidate, out=candidate)
            state -= candidate
            state *= opened[size:]
            state += candidate
            return self.hidden
        gates += product
        if self.cell is None:
            np.tanh(gates, out=state)
            return self.hidden
        take, forget, candidate, give = gates.reshape(4, size)
        _sigmoid(gates[: 2 * size])
        _sigmoid(give)
        np.tanh(candidate, out=candidate)
        self.cell *= forget
        self.cell += take * candidate
        np.tanh(self.cell, out=state)
        state *= give
        return self.hidden


def _sigmoid(values: Floats) -> None:
    """In place."""
    np.negative(values, out=values)
    np.exp(values, out=values)
    values += 1.0
    np.reciprocal(values, out=values)
