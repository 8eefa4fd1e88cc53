"""Greedy search of one sentence on a processor, where arithmetic is not what takes the time.

A single row is multiplied by a matrix as fast as the matrix is read, and a step of some sixty torch calls costs more
than that. Here only the products with weights are torch's, one for all that reads the same vector; what lies between
them is NumPy on the same memory, whose calls cost a fifth. What the context is multiplied by is multiplied into the
memory's values, once a sentence, and what the embedding is multiplied by into it, once a token. Its slow twin is
`greedy_search` over a `Stepper`.

In bfloat16, which is no faster to read for one row in torch, the decoder's weights are rounded to 8 bits instead, and
its inputs to bfloat16; the encoder, the attention and the embedding's product stay in float32.
"""

from itertools import accumulate, pairwise
from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn

from s2s.decoding.hypotheses import Floats, Hypothesis, SearchOptions
from s2s.decoding.rows import Cells, Exact, Kind, Product, Rounded, Row
from s2s.decoding.search import NOT_NUMBERS
from s2s.decoding.stepper import Affine, CellStep, Stepper
from s2s.errors import RunError
from s2s.models.seq2seq import Hypotheses
from s2s.nn.attention import Memory
from s2s.nn.recurrent import Recurrent

LARGEST_TABLE = 1 << 22
"""Numbers that are kept of tokens' products with the first layer."""
LOGITS = 32
"""Steps whose logits are kept, so that what they sum up to is found for all of them together."""


class SingleSearch:
    """Searches one sentence with the model and in the precision of a Stepper."""

    def __init__(self, stepper: Stepper) -> None:
        product = Exact if stepper.dtype == torch.float32 or not Rounded.is_right() else Rounded
        stepper = stepper if stepper.dtype == torch.float32 else Stepper(stepper.model)
        self.model, self.embedding = stepper.model, stepper.embedding
        recurrent = stepper.model.encoder.recurrent
        endings = ("", "_reverse")[: recurrent.directions]
        self.reading = [[CellStep(layer, stepper.dtype, end) for end in endings] for layer in _layers(recurrent)]
        self.read = [_side_by_side([cell.into for cell in directions]) for directions in self.reading]
        self.units = stepper.embedding.shape[1]
        self.entered: dict[int, Floats] = {}
        asking, above = stepper.asking, stepper.above
        cells = [*asking.cells, *(() if above is None else above.cells)]
        self.entry, self.cells = cells[0].into, [Kind.of(cell) for cell in cells]
        self.asking = len(asking.cells)
        residual = [index >= asking.residual_from for index in range(len(asking.cells))]
        residual += [] if above is None else [index >= above.residual_from for index in range(len(above.cells))]
        # What reads a layer's output: the next layer's gates or the readout; of theirs, the part for hidden states.
        reading = [*(cell.into for cell in cells[1:]), stepper.readout]
        readers = [Affine(one.weight[: cell.size], one.bias) for cell, one in zip(cells, reading, strict=True)]
        # It reads the hidden state too, beside the layer itself, but where the output is a sum with the inputs.
        self.products = [
            (product(cell.across), product(reader)) if apart else (product(_side_by_side([cell.across, reader])), None)
            for cell, reader, apart in zip(cells, readers, residual, strict=True)
        ]
        # What reads the context, side by side: the layers above and the readout.
        parts = [one.weight[cells[-1].size :] for one in reading[len(asking.cells) - 1 :]]
        self.projection = torch.cat(parts, dim=1)
        self.shares = [slice(*ends) for ends in pairwise(accumulate((part.shape[1] for part in parts), initial=0))]
        self.feeding = None
        if stepper.model.decoder.input_feeding:
            weight = self.entry.weight[self.units :]
            self.feeding = product(Affine(weight, weight.new_zeros(weight.shape[1])))
        self.output, self.exact = product(stepper.output), stepper.model.decoder.output
        self.idle: list[_Step] = []
        """memory for a search, handed on from sentence to sentence"""

    @staticmethod
    def suits(stepper: Stepper) -> bool:
        """Whether it serves such a model, which must be on a processor and have attention by products, or none."""
        attention = stepper.model.decoder.attention
        products = attention is None or attention.score in ("dot", "scaled_dot", "general")
        return products and stepper.embedding.device.type == "cpu"

    def __call__(self, source: Tensor, options: SearchOptions, *, longest: int, shortest: int) -> Hypothesis:
        """A sentence (1, S) -> the Hypothesis that `greedy_search` gives in float32."""
        assert not options.no_repeat_ngram
        assert not options.coverage_penalty
        try:
            step = self.idle.pop()
        except IndexError:
            step = _Step(self)
        step.begin(step.reader(source))
        found = _search(step, options, longest=longest, shortest=shortest)
        self.idle.append(step)
        return found

    def enter(self, token: int) -> Floats:
        """A token's share of the first layer's gates (G,), biases included."""
        known = self.entered.get(token)
        if known is None:
            product = torch.addmm(self.entry.bias, self.embedding[token, None], self.entry.weight[: self.units])
            known = product.numpy()[0]
            if len(self.entered) * len(known) < LARGEST_TABLE:
                self.entered[token] = known
        return known


def _search(step: "_Step", options: SearchOptions, *, longest: int, shortest: int) -> Hypothesis:
    tokens: list[int] = []
    chosen: list[float] = []
    attended: list[Floats] = []
    last, truncated = options.start, True
    while len(tokens) < longest and truncated:
        logits = step(last)
        last = _best(logits, options, early=len(tokens) < shortest)
        value = float(logits[last])
        if value == -np.inf:
            break
        tokens.append(last)
        chosen.append(value)
        if options.keep_attention and step.weights is not None:
            attended.append(step.weights)
        truncated = last != options.end and isfinite(value)
    log_probabilities = (np.array(chosen, np.float32) - step.log_sums()[: len(chosen)]).tolist()
    if not all(map(isfinite, log_probabilities)):
        raise RunError(NOT_NUMBERS)
    score = sum(log_probabilities) / options.normalizer(len(tokens))
    kept = np.stack(attended) if attended else None
    return Hypothesis(tokens if truncated else tokens[:-1], log_probabilities, score, truncated, kept)


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


def _layers(recurrent: Recurrent) -> list[nn.RNNBase]:
    return [layer for layer in recurrent.layers if isinstance(layer, nn.RNNBase)]


def _side_by_side(products: list[Affine]) -> Affine:
    """Products with the same vector as one."""
    weights, biases = zip(*products, strict=True)
    return Affine(torch.cat(weights, dim=1), torch.cat(biases))


class _Reader:
    """The encoder, layer by layer; the directions of a layer take a step together."""

    def __init__(self, search: SingleSearch) -> None:
        self.search = search
        self.layers = [
            Cells(Kind.of(directions[0]), [Exact(cell.across) for cell in directions]) for directions in search.reading
        ]

    def __call__(self, source: Tensor) -> Hypotheses:
        """(1, S) -> where a search starts, as `Stepper.begin` gives it."""
        encoder, decoder = self.search.model.encoder, self.search.model.decoder
        values: Tensor = encoder.embedding(source)[0]
        states = []
        for index, (into, cells) in enumerate(zip(self.search.read, self.layers, strict=True)):
            outputs = _read(cells, into(values).numpy())
            states.append([cells.hidden] if cells.cell is None else [cells.hidden, cells.cell])
            values = outputs + values if index >= encoder.recurrent.residual_from else outputs
        last = tuple(torch.from_numpy(np.stack(part)).view(len(part), 1, -1) for part in zip(*states, strict=True))
        values = values[None]
        keys = values if decoder.attention is None else decoder.attention.keys(values)
        return Hypotheses(decoder.start(last), Memory(keys, values, torch.ones_like(source, dtype=torch.bool)))


def _read(cells: Cells, given: Floats) -> Tensor:
    """The inputs' share of all gates (S, D x G) -> an encoder layer's outputs (S, D x H)."""
    shares = given.reshape(len(given), *cells.gates.shape)
    shares[:, 1:] = shares[::-1, 1:].copy()  # the second direction begins at the end
    outputs = np.empty((len(shares), *cells.hidden.shape), np.float32)
    cells.clear()
    for share, output in zip(shares, outputs, strict=True):
        cells.gates[:] = share
        cells.multiply()
        cells.advance()
        output[:] = cells.hidden
    outputs[:, 1:] = outputs[::-1, 1:].copy()
    return torch.from_numpy(outputs.reshape(len(outputs), -1))


class _Layer:
    """A layer of the decoder, and the product of its output with what reads it."""

    def __init__(self, kind: Kind, across: Product, reader: Product | None) -> None:
        """`reader` stands apart where it does not read the hidden state, but its sum with the inputs."""
        self.cells = Cells(kind, [across])
        self.gates: Floats = self.cells.gates[0]
        self.reader = reader
        self.sum, self.product = Row(kind.size), Row(0 if reader is None else reader.outputs)
        self.output: Floats = self.cells.hidden[0] if reader is None else self.sum.array
        self.read: Floats = self.cells.beyond[0] if reader is None else self.product.array

    def begin(self, state: tuple[Floats, ...]) -> None:
        self.cells.hidden[0] = state[0]
        if self.cells.cell is not None:
            self.cells.cell[0] = state[1]
        self.cells.multiply()

    def __call__(self, inputs: Floats | None) -> None:
        """From `gates` to `output` and `read`, the product with it; a residual layer adds its inputs."""
        self.cells.advance()
        self.cells.multiply()
        if self.reader is not None:
            assert inputs is not None, "the first layer is not residual"
            np.add(self.cells.hidden[0], inputs, out=self.output)
            self.reader(self.sum.tensor, self.product.tensor)


class _Step:
    """Where the search of one sentence stands; each call feeds a token."""

    def __init__(self, search: SingleSearch) -> None:
        self.search = search
        self.reader = _Reader(search)
        self.weights: Floats | None = None
        """(S,) of the attention, behind a call"""
        parts = zip(search.cells, search.products, strict=True)
        self.layers = [_Layer(kind, across, reader) for kind, (across, reader) in parts]
        self.fed = Row(0 if search.feeding is None else search.feeding.outputs)
        self.readout = Row(search.units)
        self.table = torch.empty(LOGITS, search.output.outputs)
        self.rows: list[tuple[Tensor, Floats]] = [(row[None], row.numpy()) for row in self.table]
        self.count = 0
        """calls in this sentence"""
        self.sums: list[Tensor] = []
        """of each table that was full, (LOGITS,)"""
        self.weight, self.bias = search.exact.weight.detach().numpy(), search.exact.bias.detach().numpy()
        self.attention = search.model.decoder.attention

    def begin(self, begin: Hypotheses) -> None:
        """Stand before the first token of a sentence, all of whose positions are valid."""
        self.count, self.sums = 0, []
        states = zip(*(part[:, 0].numpy() for part in begin.decoder.layers), strict=True)
        for layer, state in zip(self.layers, states, strict=True):
            layer.begin(state)
        self.readout.array[:] = 0.0
        if self.attention is not None:
            self.keys: Floats = (begin.memory.keys[0] * self.attention.scale).numpy()
            self.values: Floats = (begin.memory.values[0] @ self.search.projection).numpy()

    def __call__(self, token: int) -> Floats:
        """The logits (V,) of what follows."""
        shares, context = iter(self.search.shares), None
        share, inputs = self.search.enter(token), None
        for number, layer in enumerate(self.layers):
            if context is not None:
                np.add(share, context[next(shares)], out=layer.gates)
            elif number == 0 and self.search.feeding is not None:
                self.search.feeding(self.readout.tensor, self.fed.tensor)
                np.add(share, self.fed.array, out=layer.gates)
            else:
                layer.gates[:] = share
            layer(inputs)
            share, inputs = layer.read, layer.output
            if number == self.search.asking - 1 and self.attention is not None:
                context = self._attend(inputs)
        np.tanh(share if context is None else share + context[next(shares)], out=self.readout.array)
        row = self.count % LOGITS
        if row == 0 and self.count:
            self.sums.append(self.table.logsumexp(dim=1))
        self.count += 1
        out, logits = self.rows[row]
        self.search.output(self.readout.tensor, out)
        if isinstance(self.search.output, Rounded):
            self._settle(logits)
        return logits

    def _settle(self, logits: Floats) -> None:
        """Compute the two largest logits again, with the weights as they are: rounded, close ones change places."""
        first = int(logits.argmax())
        logits[first] = -np.inf
        for token in (first, int(logits.argmax())):
            logits[token] = self.weight[token] @ self.readout.array + self.bias[token]

    def log_sums(self) -> Floats:
        """log sum exp of the logits of each call in this sentence."""
        rest = self.table[: self.count - LOGITS * len(self.sums)]
        found: Floats = torch.cat([*self.sums, rest.logsumexp(dim=1)]).numpy()
        return found

    def _attend(self, query: Floats) -> Floats:
        """(H,) -> the context, multiplied by what reads it."""
        weights: Floats = np.matmul(self.keys, query)
        weights -= weights.max()
        np.exp(weights, out=weights)
        weights /= weights.sum()
        self.weights = weights
        context: Floats = np.matmul(weights, self.values)
        return context
