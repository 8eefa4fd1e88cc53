"""Greedy search of one sentence on a processor, where arithmetic is not what takes the time.

A single row is multiplied by a matrix as fast as the matrix is read, and a step of some sixty torch calls costs more
than that. Here only the products with weights are torch's, one for all that reads the same vector; what lies between
them is NumPy on the same memory, whose calls cost a fifth. What the context is multiplied by is multiplied into the
memory's values, once a sentence, and what the embedding is multiplied by into it, once a token. Its slow twin is
`greedy_search` over a `Stepper`.

In bfloat16, which is no faster to read for one row in torch, the decoder's weights are rounded to 8 bits instead, and
its inputs to bfloat16; the encoder, the attention and the embedding's product stay in float32.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from s2s.errors import RunError
from s2s.translation.search.beam import NOT_NUMBERS
from s2s.translation.search.hypotheses import Floats, Hypothesis, SearchOptions
from s2s.translation.search.reading import Encoding, Reader
from s2s.translation.search.rows import Cells, Exact, Kind, Multiply, Product, Rounded, Row, side_by_side
from s2s.translation.search.step import Affine, Stepper

LOGITS = 32
"""Steps whose logits are kept, so that what they sum up to is found for all of them together."""


class SingleSearch:
    """Searches one sentence with the model and in the precision of a Stepper."""

    def __init__(self, stepper: Stepper) -> None:
        product = Exact if stepper.dtype == torch.float32 or not Rounded.is_right() else Rounded
        stepper = stepper if stepper.dtype == torch.float32 else Stepper(stepper.model)
        self.model = stepper.model
        self.encoding = Encoding(stepper.model.encoder)
        decoder, asking, above = stepper.model.decoder, stepper.asking, stepper.above
        cells = [*asking.cells, *(() if above is None else above.cells)]
        self.inputs, self.cells = stepper.inputs, [Kind.of(cell) for cell in cells]
        self.asking = len(asking.cells)
        residual = [index >= asking.residual_from for index in range(len(asking.cells))]
        residual += [] if above is None else [index >= above.residual_from for index in range(len(above.cells))]
        # What reads a layer's output: the next layer's gates or the readout; of theirs, the part for hidden states.
        reading = [*(cell.into for cell in cells[1:]), stepper.readout]
        readers = [Affine(one.weight[: cell.size], one.bias) for cell, one in zip(cells, reading, strict=True)]
        # It reads the hidden state too, beside the layer itself, but where the output is a sum with the inputs.
        self.products = [
            (product(cell.across), product(reader)) if apart else (product(side_by_side([cell.across, reader])), None)
            for cell, reader, apart in zip(cells, readers, residual, strict=True)
        ]
        # What reads the context, side by side: the layers above and the readout.
        parts = [one.weight[cells[-1].size :] for one in reading[len(asking.cells) - 1 :]]
        self.projection = torch.cat(parts, dim=1)
        self.shares = [slice(*ends) for ends in pairwise(accumulate((part.shape[1] for part in parts), initial=0))]
        self.feeding = None
        if decoder.input_feeding:
            weight = stepper.feeding
            self.feeding = product(Affine(weight, weight.new_zeros(weight.shape[1])))
        self.asked: Tensor | None = None
        """what makes keys of the memory's values (M, H), where they differ by more than a factor"""
        if decoder.attention is not None and decoder.attention.score == "general":
            self.asked = (decoder.attention.key.weight.detach() * decoder.attention.scale).t().contiguous()
        self.output, self.exact = product(stepper.output), decoder.output
        self.idle: list[_Step] = []
        """memory for a search, handed on from sentence to sentence"""

    @staticmethod
    def suits(stepper: Stepper) -> bool:
        """Whether it serves such a model, which must be on a processor and have attention by products, or none."""
        attention = stepper.model.decoder.attention
        products = attention is None or attention.score in ("dot", "scaled_dot", "general")
        return products and stepper.device.type == "cpu"

    def __call__(self, source: Sequence[int], options: SearchOptions, *, longest: int, shortest: int) -> Hypothesis:
        """The S tokens of a sentence -> the Hypothesis that `greedy_search` gives in float32."""
        assert not options.no_repeat_ngram
        assert not options.coverage_penalty
        try:
            step = self.idle.pop()
        except IndexError:
            step = _Step(self)
        else:  # not the first sentence, so there will be more: all tokens' products take some 30 ms, once
            self.encoding.inputs.meet_all()
            self.inputs.meet_all()
        step.begin(source)
        found = _search(step, options, longest=longest, shortest=shortest)
        self.idle.append(step)
        return found


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


def _log_sums(logits: Tensor) -> Tensor:
    """(N, V), which it uses up -> the log of the sums of their exponentials (N,)."""
    most = logits.amax(dim=1, keepdim=True)
    sums: Tensor = logits.sub_(most).exp_().sum(dim=1).log_().add_(most[:, 0])
    return sums


class _Layer:
    """A layer of the decoder, and the product of its output with what reads it."""

    def __init__(self, kind: Kind, across: Product, reader: Product | None, beside: Floats | None) -> None:
        """`reader` stands apart where it does not read the hidden state, but its sum with the inputs.

        `beside` is what a step adds to the inputs' share of the gates.
        """
        self.cells, self.beside = Cells(kind, across), beside
        self.gates: Floats = self.cells.gates[0]
        self.output: Floats = self.cells.hidden[0]
        self.read: Floats = self.cells.beyond[0]
        self.multiply: Multiply | None = None
        if reader is not None:
            output, read = Row(kind.size), Row(reader.outputs)
            self.multiply, self.output, self.read = reader.onto(output.tensor, read.tensor), output.array, read.array

    def begin(self, state: tuple[Floats, ...]) -> None:
        self.cells.hidden[0] = state[0]
        if self.cells.cell is not None:
            self.cells.cell[0] = state[1]
        self.cells.multiply()

    def __call__(self, share: Floats, inputs: Floats | None) -> None:
        """From the inputs' share of the gates to `output` and `read`; a residual layer adds its inputs."""
        if self.beside is None:
            self.gates[:] = share
        else:
            np.add(share, self.beside, out=self.gates)
        self.cells.advance()
        self.cells.multiply()
        if self.multiply is not None:
            assert inputs is not None, "the first layer is not residual"
            np.add(self.cells.hidden[0], inputs, out=self.output)
            self.multiply()


class _Step:
    """Where the search of one sentence stands; each call feeds a token."""

    def __init__(self, search: SingleSearch) -> None:
        self.search = search
        self.reader = Reader(search.encoding)
        self.weights: Floats | None = None
        """(S,) of the attention, behind a call"""
        self.attention, self.readout = search.model.decoder.attention, Row(search.exact.in_features)
        self.feed: Multiply | None = None
        below: list[Floats | None] = [None] * search.asking
        if search.feeding is not None:
            fed = Row(search.feeding.outputs)
            self.feed, below[0] = search.feeding.onto(self.readout.tensor, fed.tensor), fed.array
        self.context: Floats = np.empty(search.projection.shape[1], np.float32)
        *above, self.beside = (None if self.attention is None else self.context[share] for share in search.shares)
        parts = zip(search.cells, search.products, [*below, *above], strict=True)
        self.layers = [_Layer(kind, across, reader, beside) for kind, (across, reader), beside in parts]
        self.asks = None if self.attention is None else self.layers[search.asking - 1]
        table = torch.empty(LOGITS, search.output.room)
        self.table = table[:, : search.output.outputs]
        self.outputs: list[tuple[Multiply, Floats]] = [
            (search.output.onto(self.readout.tensor, row[None]), logits.numpy())
            for row, logits in zip(table, self.table, strict=True)
        ]
        self.count = 0
        """calls in this sentence"""
        self.sums: list[Tensor] = []
        """of each table that was full, (LOGITS,)"""
        self.weight, self.bias = search.exact.weight.detach().numpy(), search.exact.bias.detach().numpy()

    def begin(self, source: Sequence[int]) -> None:
        """Read a sentence and stand before its first output."""
        self.count, self.sums = 0, []
        last, values = self.reader(source)
        states = zip(*(part[:, 0].numpy() for part in self.search.model.decoder.start(last).layers), strict=True)
        for layer, own in zip(self.layers, states, strict=True):
            layer.begin(own)
        self.readout.array[:] = 0.0
        if self.attention is not None:
            asked, scale = self.search.asked, self.attention.scale
            self.keys: Floats = (values * scale if asked is None else torch.mm(values, asked)).numpy()
            self.values: Floats = torch.mm(values, self.search.projection).numpy()

    def __call__(self, token: int) -> Floats:
        """The logits (V,) of what follows."""
        share, inputs = self.search.inputs.one(token), None
        if self.feed is not None:
            self.feed()
        for layer in self.layers:
            layer(share, inputs)
            share, inputs = layer.read, layer.output
            if layer is self.asks:
                self._attend(inputs)
        readout = self.readout.array
        np.tanh(share if self.beside is None else np.add(share, self.beside, out=readout), out=readout)
        row = self.count % LOGITS
        if row == 0 and self.count:
            self.sums.append(_log_sums(self.table))
        self.count += 1
        multiply, logits = self.outputs[row]
        multiply()
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
        found: Floats = torch.cat([*self.sums, _log_sums(rest)]).numpy()
        return found

    def _attend(self, query: Floats) -> None:
        """(H,) -> the `context`, multiplied by what reads it."""
        weights: Floats = np.dot(self.keys, query)
        weights -= weights.max()
        np.exp(weights, out=weights)
        weights /= np.add.reduce(weights)
        self.weights = weights
        np.dot(weights, self.values, out=self.context)
