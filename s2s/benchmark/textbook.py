"""A translator as in tutorials: the benchmark's comparison, and a slow twin of the real one in tests.

float32, a cell stepped in Python for every position, all logits at once through `cross_entropy`, one sentence at a
time in greedy search. It uses the weights of a `Seq2Seq`, so without dropout it gives the same numbers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2s.nn.attention import Memory
from s2s.nn.recurrent import Recurrent, positions_valid
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.translation.model import Seq2Seq

Layers = list[tuple[Tensor, ...]]
"""(h,) or (h, c) of each layer, (B, H) each."""


class Textbook(nn.Module):
    """The model of a recipe, stepped."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model

    def loss(self, source: Tensor, lengths: Tensor, inputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """(B, S), (B,), (B, T), (B, T) with PAD beyond their ends -> the mean loss of a target token."""
        memory, layers, feed = self._encode(source, lengths)
        readouts = []
        for step in range(inputs.shape[1]):
            readout, layers = self._step(inputs[:, step], memory, layers, feed)
            feed = readout if feed is not None else None
            readouts.append(readout)
        logits = self.model.decoder.output(torch.stack(readouts, dim=1))
        return functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=smoothing
        )

    @torch.inference_mode()
    def greedy(self, tokens: list[int], longest: int) -> list[int]:
        """Source tokens, END last -> the most probable target tokens one by one, without END."""
        device = self.model.decoder.output.weight.device
        source = torch.tensor([tokens], device=device)
        memory, layers, feed = self._encode(source, torch.tensor([len(tokens)]))
        last = torch.tensor([START], device=device)
        found: list[int] = []
        while len(found) < longest:
            readout, layers = self._step(last, memory, layers, feed)
            feed = readout if feed is not None else None
            logits = self.model.decoder.output(readout)
            logits[:, [PAD, START, UNKNOWN]] = -torch.inf
            last = logits.argmax(dim=1)
            if int(last) == END:
                break
            found.append(int(last))
        return found

    def _encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, Layers, Tensor | None]:
        encoder, decoder = self.model.encoder, self.model.decoder
        valid = positions_valid(lengths, source.shape[1], source.device)
        outputs = functional.dropout(encoder.embedding(source), encoder.dropout.embedding, self.training)
        ends = []
        for index, layer in enumerate(encoder.recurrent.layers):
            assert isinstance(layer, nn.RNNBase)
            below = outputs
            read = [_read(layer, outputs, valid, backwards) for backwards in range(encoder.recurrent.directions)]
            outputs = torch.cat([values for values, _ in read], dim=2)
            if index >= encoder.recurrent.residual_from:
                outputs = outputs + below
            ends.append([torch.cat(parts, dim=1) for parts in zip(*(end for _, end in read), strict=True)])
        outputs = functional.dropout(outputs, encoder.dropout.output, self.training)
        start = decoder.start(tuple(torch.stack(parts) for parts in zip(*ends, strict=True)))
        layers = list(zip(*(part.unbind(0) for part in start.layers), strict=True))
        keys = outputs if decoder.attention is None else decoder.attention.keys(outputs)
        return Memory(keys, outputs, valid), layers, None if start.feed is None else start.feed[:, 0]

    def _step(self, tokens: Tensor, memory: Memory, layers: Layers, feed: Tensor | None) -> tuple[Tensor, Layers]:
        """Last tokens (B,) -> the readout (B, E) and the next states."""
        decoder = self.model.decoder
        hidden = functional.dropout(decoder.embedding(tokens), decoder.dropout.embedding, self.training)
        if feed is not None:
            hidden = torch.cat([hidden, feed], dim=1)
        depth = len(decoder.asking.layers)
        hidden, after = _climb(decoder.asking, hidden, layers[:depth], None)
        context = None
        if decoder.attention is not None:
            context = decoder.attention(hidden[:, None], memory)[0][:, 0]
        if decoder.above is not None:
            hidden = functional.dropout(hidden, decoder.dropout.layers, self.training)
            hidden, rest = _climb(decoder.above, hidden, layers[depth:], context)
            after += rest
        joined = hidden if context is None else torch.cat([hidden, context], dim=1)
        readout = torch.tanh(decoder.readout(joined))
        return functional.dropout(readout, decoder.dropout.output, self.training), after


def _cell(layer: nn.RNNBase, inputs: Tensor, state: tuple[Tensor, ...], backwards: int = 0) -> tuple[Tensor, ...]:
    """One step of a layer: (B, I) and its state -> the next state."""
    suffix = "_l0_reverse" if backwards else "_l0"
    weights = [getattr(layer, name + suffix) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    if isinstance(layer, nn.LSTM):
        return torch.lstm_cell(inputs, state, *weights)
    step = torch.gru_cell if isinstance(layer, nn.GRU) else torch.rnn_tanh_cell
    return (step(inputs, state[0], *weights),)


def _read(layer: nn.RNNBase, inputs: Tensor, valid: Tensor, backwards: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(B, S, I) -> one direction's outputs (B, S, H), zero where not valid, and its last state."""
    parts = 2 if isinstance(layer, nn.LSTM) else 1
    state = tuple(inputs.new_zeros(inputs.shape[0], layer.hidden_size) for _ in range(parts))
    positions = range(inputs.shape[1])
    outputs = [inputs.new_empty(0)] * inputs.shape[1]
    for position in reversed(positions) if backwards else positions:
        here = valid[:, position, None]
        after = _cell(layer, inputs[:, position], state, backwards)
        state = tuple(torch.where(here, new, old) for new, old in zip(after, state, strict=True))
        outputs[position] = state[0] * here
    return torch.stack(outputs, dim=1), state


def _climb(recurrent: Recurrent, hidden: Tensor, layers: Layers, context: Tensor | None) -> tuple[Tensor, Layers]:
    """One step up a stack: (B, I) -> the top layer's output and every layer's state."""
    after = []
    for index, (layer, state) in enumerate(zip(recurrent.layers, layers, strict=True)):
        assert isinstance(layer, nn.RNNBase)
        after.append(_cell(layer, hidden if context is None else torch.cat([hidden, context], dim=1), state))
        hidden = after[-1][0] + hidden if index >= recurrent.residual_from else after[-1][0]
    return hidden, after
