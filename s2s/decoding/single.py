"""Greedy search of one sentence on a processor, where arithmetic is not what takes the time.

A single row is multiplied by a matrix as fast as the matrix is read, and a step of some sixty torch calls costs more
than that. Here only the products with weights are torch's, one for all that reads the same vector; what lies between
them is NumPy on the same memory, whose calls cost a fifth. What the context is multiplied by is multiplied into the
memory's values, once a sentence, and what the embedding is multiplied by into it, once a token. Its slow twin is
`greedy_search` over a `Stepper`.

In bfloat16, which is no faster to read for one row in torch, the decoder's weights are rounded to 8 bits instead, and
its inputs to bfloat16; the encoder, the attention and the embedding's product stay in float32.
"""

from functools import cache
from itertools import accumulate, pairwise
from math import isfinite, isnan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from s2s.decoding.hypotheses import Floats, Hypothesis, SearchOptions
from s2s.decoding.search import NOT_NUMBERS
from s2s.decoding.stepper import Affine, CellStep, Stepper
from s2s.errors import RunError
from s2s.models.seq2seq import Hypotheses
from s2s.nn.attention import Memory
from s2s.nn.recurrent import Recurrent

WHOLE = 64
"""Weights of 8 bits are filled up to a multiple of this, on either side: torch's product of them takes no other."""
LARGEST_TABLE = 1 << 22
"""Numbers that are kept of tokens' products with the first layer."""


class SingleSearch:
    """Searches one sentence with the model and in the precision of a Stepper."""

    def __init__(self, stepper: Stepper) -> None:
        product = _Exact if stepper.dtype == torch.float32 or not _Rounded.is_right() else _Rounded
        stepper = stepper if stepper.dtype == torch.float32 else Stepper(stepper.model)
        self.model, self.embedding = stepper.model, stepper.embedding
        recurrent = stepper.model.encoder.recurrent
        endings = ("", "_reverse")[: recurrent.directions]
        self.reading = [[CellStep(layer, stepper.dtype, end) for end in endings] for layer in _layers(recurrent)]
        self.units = stepper.embedding.shape[1]
        self.entered: dict[int, Floats] = {}
        asking, above = stepper.asking, stepper.above
        cells = [*asking.cells, *(() if above is None else above.cells)]
        self.entry, self.cells = cells[0].into, [_Kind.of(cell) for cell in cells]
        self.asking = len(asking.cells)
        residual = [index >= asking.residual_from for index in range(len(asking.cells))]
        residual += [] if above is None else [index >= above.residual_from for index in range(len(above.cells))]
        # What reads a layer's output: the next layer's gates or the readout; of theirs, the part for hidden states.
        reading = [*(cell.into for cell in cells[1:]), stepper.readout]
        readers = [Affine(one.weight[: cell.size], one.bias) for cell, one in zip(cells, reading, strict=True)]
        # It reads the hidden state too, beside the layer itself, but where the output is a sum with the inputs.
        self.products = [
            (product(cell.across), product(reader)) if apart else (product(_beside(cell.across, reader)), None)
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
        self.output = product(stepper.output)
        self.idle: list[_Step] = []
        """memory for a search, handed on from sentence to sentence"""

    @staticmethod
    def suits(stepper: Stepper) -> bool:
        """Whether it serves such a model, which must be on a processor and have attention by products, or none."""
        attention = stepper.model.decoder.attention
        products = attention is None or attention.score in ("dot", "scaled_dot", "general")
        return products and stepper.embedding.device.type == "cpu"

    def begin(self, source: Tensor) -> Hypotheses:
        """(1, S) -> where a search starts, as `Stepper.begin` gives it."""
        encoder, decoder = self.model.encoder, self.model.decoder
        values: Tensor = encoder.embedding(source)[0]
        states = []
        for index, directions in enumerate(self.reading):
            outputs, end = _read(directions, values)
            states.append(end)
            values = outputs + values if index >= encoder.recurrent.residual_from else outputs
        last = tuple(torch.stack(part) for part in zip(*states, strict=True))
        values = values[None]
        keys = values if decoder.attention is None else decoder.attention.keys(values)
        return Hypotheses(decoder.start(last), Memory(keys, values, torch.ones_like(source, dtype=torch.bool)))

    def __call__(self, begin: Hypotheses, options: SearchOptions, *, longest: int, shortest: int) -> Hypothesis:
        """From where a search starts, B = 1, to the Hypothesis that `greedy_search` gives in float32."""
        assert not options.no_repeat_ngram
        assert not options.coverage_penalty
        try:
            step = self.idle.pop()
        except IndexError:
            step = _Step(self)
        with np.errstate(over="ignore"):  # exp of a gate's input that is far below zero
            step.begin(begin)
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
    log_probabilities: list[float] = []
    attended: list[Floats] = []
    last, truncated = options.start, True
    while len(tokens) < longest and truncated:
        logits = step(last)
        top = logits.max()
        last = _best(logits, options, early=len(tokens) < shortest)
        value = float(logits[last] - top)
        logits -= top
        value -= float(np.log(np.exp(logits, out=logits).sum()))
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


def _beside(one: Affine, other: Affine) -> Affine:
    """Two products with the same vector as one."""
    return Affine(torch.cat([one.weight, other.weight], dim=1), torch.cat([one.bias, other.bias]))


def _read(directions: list[CellStep], values: Tensor) -> tuple[Tensor, list[Tensor]]:
    """(S, I) -> an encoder layer's outputs (S, D x H), directions in step, and its last state's parts (1, D x H)."""
    cells = _Cells(_Kind.of(directions[0]), [_Exact(cell.across) for cell in directions])
    shares = [cell.into(values).numpy()[:: -1 if number else 1] for number, cell in enumerate(directions)]
    outputs = np.empty((len(directions), len(values), cells.size), np.float32)
    with np.errstate(over="ignore"):
        for position, share in enumerate(np.stack(shares, axis=1)):
            cells.gates[:] = share
            cells.multiply()
            cells.advance()
            outputs[:, position] = cells.hidden
    ordered = [output[:: -1 if number else 1] for number, output in enumerate(outputs)]
    last = [cells.hidden] if cells.cell is None else [cells.hidden, cells.cell]
    return torch.from_numpy(np.concatenate(ordered, axis=1)), [torch.from_numpy(part).view(1, -1) for part in last]


class _Row:
    """A vector as torch sees it (1, N) and as NumPy does (N,): one memory."""

    def __init__(self, size: int) -> None:
        self.tensor = torch.zeros(1, size)
        self.array: Floats = self.tensor.numpy()[0]


class _Exact:
    """x W + b of one row, in float32."""

    def __init__(self, affine: Affine) -> None:
        self.weight, self.bias = affine
        self.outputs = len(self.bias)

    def __call__(self, row: Tensor, out: Tensor) -> None:
        """(1, inputs) -> into (1, outputs)."""
        torch.addmm(self.bias, row, self.weight, out=out)


class _Rounded:
    """The same with weights of 8 bits, a scale for each output, and inputs in bfloat16: a quarter to read."""

    def __init__(self, affine: Affine) -> None:
        inputs, outputs = affine.weight.shape
        weight = nn.functional.pad(affine.weight.t(), (0, -inputs % WHOLE, 0, -outputs % WHOLE))
        scale = (weight.abs().amax(dim=1).clamp(min=1e-30) / 127).bfloat16()
        self.weight = (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8).contiguous()
        self.scale, self.bias, self.missing, self.outputs = scale, affine.bias, -inputs % WHOLE, outputs

    def __call__(self, row: Tensor, out: Tensor) -> None:
        """(1, inputs) -> into (1, outputs)."""
        if self.missing:
            row = nn.functional.pad(row, (0, self.missing))
        product = torch._weight_int8pack_mm(row.bfloat16(), self.weight, self.scale)
        torch.add(self.bias, product[:, : self.outputs], out=out)

    @staticmethod
    @cache
    def is_right() -> bool:
        """Whether torch multiplies so on this processor: it has a way of its own for each, and they check nothing."""
        scattered = torch.arange(65.0 * 67).mul(12.9898).sin_()  # no row or column is like another
        affine = Affine(scattered[65:].view(65, 66) * torch.linspace(0.1, 1.0, 66), torch.linspace(0.0, 1.0, 66))
        out, exact = torch.empty(1, 66), torch.empty(1, 66)
        try:
            _Rounded(affine)(scattered[None, :65], out)
        except (AttributeError, RuntimeError):  # another torch
            return False
        _Exact(affine)(scattered[None, :65], exact)
        return bool(torch.allclose(out, exact, atol=0.02 * float(exact.abs().max())))


_Product = _Exact | _Rounded


class _Kind(NamedTuple):
    """What a cell is."""

    layer: type[nn.RNNBase]
    size: int
    """hidden units"""
    width: int
    """of all gates"""

    @classmethod
    def of(cls, cell: CellStep) -> "_Kind":
        return cls(cell.kind, cell.size, cell.across.weight.shape[1])


class _Cells:
    """D cells of a kind in step, with their states; each has its own product with its hidden state."""

    def __init__(self, kind: _Kind, across: list[_Product]) -> None:
        """The products may be wider than the gates: what is left of them is `beyond`."""
        self.kind, self.size, width = kind
        count, size = len(across), kind.size
        hidden, product = torch.zeros(count, size), torch.empty(count, across[0].outputs)
        self.products = [(one, hidden[number, None], product[number, None]) for number, one in enumerate(across)]
        self.hidden: Floats = hidden.numpy()
        self.across: Floats = product.numpy()[:, :width]
        """(D, G)"""
        self.beyond: Floats = product.numpy()[:, width:]
        self.gates: Floats = np.empty((count, width), np.float32)
        """(D, G), the inputs' share, which a step uses up"""
        self.cell: Floats | None = np.zeros((count, size), np.float32) if self.kind is nn.LSTM else None
        self.opened, self.candidate = self.gates[:, : 2 * size], self.gates[:, 2 * size : 3 * size]
        self.reset, self.update = self.gates[:, :size], self.gates[:, size : 2 * size]
        self.opening, self.inner = self.across[:, : 2 * size], self.across[:, 2 * size :]

    def multiply(self) -> None:
        """The products with the hidden states."""
        for multiply, row, out in self.products:
            multiply(row, out)

    def advance(self) -> None:
        """The next states, from the inputs' share of the gates and the product with the states."""
        if self.kind is nn.GRU:
            self.opened += self.opening
            _sigmoid(self.opened)
            self.inner *= self.reset
            self.candidate += self.inner
            np.tanh(self.candidate, out=self.candidate)
            self.hidden -= self.candidate
            self.hidden *= self.update
            self.hidden += self.candidate
            return
        self.gates += self.across
        if self.cell is None:
            np.tanh(self.gates, out=self.hidden)
            return
        give = self.gates[:, 3 * self.size :]
        _sigmoid(self.opened)
        _sigmoid(give)
        np.tanh(self.candidate, out=self.candidate)
        self.candidate *= self.reset  # of an LSTM, the input gate; its update is the forget gate
        self.cell *= self.update
        self.cell += self.candidate
        np.tanh(self.cell, out=self.hidden)
        self.hidden *= give


def _sigmoid(values: Floats) -> None:
    """In place."""
    np.negative(values, out=values)
    np.exp(values, out=values)
    values += 1.0
    np.reciprocal(values, out=values)


class _Layer:
    """A layer of the decoder, and the product of its output with what reads it."""

    def __init__(self, kind: _Kind, across: _Product, reader: _Product | None) -> None:
        """`reader` stands apart where it does not read the hidden state, but its sum with the inputs."""
        self.cells = _Cells(kind, [across])
        self.gates: Floats = self.cells.gates[0]
        self.reader = reader
        self.sum, self.product = _Row(kind.size), _Row(0 if reader is None else reader.outputs)
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
        self.weights: Floats | None = None
        """(S,) of the attention, behind a call"""
        parts = zip(search.cells, search.products, strict=True)
        self.layers = [_Layer(kind, across, reader) for kind, (across, reader) in parts]
        self.fed = _Row(0 if search.feeding is None else search.feeding.outputs)
        self.readout, self.logits = _Row(search.units), _Row(search.output.outputs)
        self.attention = search.model.decoder.attention

    def begin(self, begin: Hypotheses) -> None:
        """Stand before the first token of a sentence."""
        states = zip(*(part[:, 0].numpy() for part in begin.decoder.layers), strict=True)
        for layer, state in zip(self.layers, states, strict=True):
            layer.begin(state)
        self.readout.array[:] = 0.0
        if self.attention is not None:
            memory = begin.memory
            valid = memory.valid[0]
            self.keys: Floats = (memory.keys[0, valid] * self.attention.scale).numpy()
            self.values: Floats = (memory.values[0, valid] @ self.search.projection).numpy()

    def __call__(self, token: int) -> Floats:
        """The logits (V,) of what follows."""
        shares, context = iter(self.search.shares), None
        share, inputs = self.search.enter(token), None
        for number, layer in enumerate(self.layers):
            layer.gates[:] = share
            if number == 0 and self.search.feeding is not None:
                self.search.feeding(self.readout.tensor, self.fed.tensor)
                layer.gates += self.fed.array
            if context is not None:
                layer.gates += context[next(shares)]
            layer(inputs)
            share, inputs = layer.read, layer.output
            if number == self.search.asking - 1 and self.attention is not None:
                context = self._attend(inputs)
        readout = self.readout.array
        readout[:] = share
        if context is not None:
            readout += context[next(shares)]
        np.tanh(readout, out=readout)
        self.search.output(self.readout.tensor, self.logits.tensor)
        return self.logits.array

    def _attend(self, query: Floats) -> Floats:
        """(H,) -> the context, multiplied by what reads it."""
        weights: Floats = np.matmul(self.keys, query)
        weights -= weights.max()
        np.exp(weights, out=weights)
        weights /= weights.sum()
        self.weights = weights
        context: Floats = np.matmul(weights, self.values)
        return context
