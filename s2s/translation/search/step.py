"""A decoder's step for the search, with all that stays the same from step to step made ready once.

The weights are transposed and in one type, biases that are added together are one, and each cell is a product of the
inputs, one of the state and a few element-wise passes; on a processor what tokens are multiplied by is kept for when
they come again. Its slow twin is `Seq2Seq.decoder.step`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from s2s.nn.decoder import DecoderState
from s2s.nn.recurrent import Recurrent
from s2s.translation.model import Hypotheses, Seq2Seq
from s2s.translation.search.beam import StepOutput

LARGEST_TABLE = 1 << 23
"""Numbers that are kept of tokens' products with a first layer."""


class Affine(NamedTuple):
    """x W + b."""

    weight: Tensor
    """(inputs, outputs)"""
    bias: Tensor
    """(outputs,)"""

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor, dtype: torch.dtype, bias_dtype: torch.dtype | None = None) -> "Affine":
        """From a weight (outputs, inputs), as torch stores it; a wider bias makes wider outputs."""
        return cls(weight.detach().to(dtype).t().contiguous(), bias.detach().to(bias_dtype or dtype))

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        if self.bias.dtype == self.weight.dtype:
            return torch.addmm(self.bias, inputs, self.weight)
        return torch.mm(inputs, self.weight).to(self.bias.dtype).add_(self.bias)


class Inputs:
    """Tokens' share of a first layer's gates: biases and the product with their embeddings."""

    def __init__(self, embed: Callable[[Tensor], Tensor], into: Affine, units: int, entries: int) -> None:
        """`embed` gives (N, units) of (N,) tokens out of `entries`; a layer may read more behind the embedding."""
        self.embed, self.into = embed, Affine(into.weight[:units], into.bias)
        wide = len(into.bias)
        small = into.bias.device.type == "cpu" and entries * wide <= LARGEST_TABLE
        self.table = into.bias.new_empty(entries, wide) if small else None
        self.known = np.zeros(entries if small else 0, bool)
        """which rows of the table are filled: those of the tokens met"""

    def __call__(self, tokens: Tensor) -> Tensor:
        """(N,) -> (N, G)."""
        if self.table is None:
            return self.into(self.embed(tokens))
        met = self.known[tokens.numpy()]
        if not met.all():
            self._meet(np.unique(tokens.numpy()[~met]))
        return self.table.index_select(0, tokens)

    def meet_all(self) -> None:
        """Fill the table, where there is one and it is not full."""
        if not self.known.all():
            self._meet(np.flatnonzero(~self.known))

    def _meet(self, new: NDArray[np.int64]) -> None:
        if self.table is not None and new.size:
            tokens = torch.from_numpy(new)
            self.table[tokens] = self.into(self.embed(tokens))
            self.known[new] = True

    def one(self, token: int) -> NDArray[np.float32]:
        """A token's share (G,) in float32, to read."""
        if self.table is None or not self.known[token]:
            row: NDArray[np.float32] = self(torch.tensor([token])).numpy()[0]
            return row
        share: NDArray[np.float32] = self.table.numpy()[token]
        return share


class CellStep:
    """One step of an Elman, GRU or LSTM layer."""

    def __init__(self, layer: nn.RNNBase, dtype: torch.dtype, direction: str = "") -> None:
        """`direction` is the ending of torch's names: nothing, or `_reverse`."""
        self.kind = type(layer)
        self.size = layer.hidden_size
        weights = {name.removesuffix("_l0" + direction): weight for name, weight in layer.named_parameters()}
        self.into = Affine.of(weights["weight_ih"], weights["bias_ih"], dtype)
        self.across = Affine.of(weights["weight_hh"], weights["bias_hh"], dtype)

    def __call__(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """(N, I) and (h,) or (h, c), (N, H) each -> the next state."""
        return self.advance(self.into(inputs), state)

    def advance(self, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The same from the inputs' share of the gates (N, G), which it uses up."""
        product, size = self.across(state[0]), self.size
        if self.kind is nn.GRU:
            opened = gates[:, : 2 * size].add_(product[:, : 2 * size]).sigmoid_()
            candidate = gates[:, 2 * size :].addcmul_(opened[:, :size], product[:, 2 * size :]).tanh_()
            return (torch.lerp(candidate, state[0], opened[:, size:]),)
        gates += product
        if self.kind is nn.RNN:
            return (gates.tanh_(),)
        take, forget, candidate, give = gates.chunk(4, dim=1)
        cell = torch.addcmul(forget.sigmoid_() * state[1], take.sigmoid_(), candidate.tanh_())
        return give.sigmoid_() * cell.tanh(), cell


class Stepper:
    """A step of a model as the search sees it: a `Step`."""

    def __init__(self, model: Seq2Seq, dtype: torch.dtype = torch.float32) -> None:
        decoder = model.decoder
        self.model = model
        self.dtype = dtype
        embedding, units = decoder.embedding.weight.detach().to(dtype), decoder.embedding.embedding_dim
        embed = partial(nn.functional.embedding, weight=embedding * units**0.5)
        self.device = embedding.device
        self.asking = _Stack(decoder.asking, dtype)
        into = self.asking.cells[0].into
        self.inputs = Inputs(embed, into, units, len(embedding))
        self.feeding = into.weight[units:]
        """(E, G) of the last readout, with input feeding"""
        self.above = None if decoder.above is None else _Stack(decoder.above, dtype)
        self.readout = Affine.of(decoder.readout.weight, decoder.readout.bias, dtype)
        # Logits lie so far apart in bfloat16 that a bias added there would be lost, and lines would change.
        self.output = Affine.of(decoder.output.weight, decoder.output.bias, dtype, torch.float32)

    def begin(self, source: Tensor, lengths: Tensor) -> Hypotheses:
        """(B, S), (B,) on the CPU -> where a search starts, K = 1."""
        state, memory = self.model.begin(source, lengths)
        feed = None if state.feed is None else state.feed.to(self.dtype)
        layers = tuple(part.to(self.dtype) for part in state.layers)
        memory = memory._replace(keys=memory.keys.float(), values=memory.values.float())
        return Hypotheses(DecoderState(layers, feed), memory)

    def __call__(self, tokens: Tensor, state: Hypotheses) -> StepOutput[Hypotheses]:
        """Last tokens (B, K) and a state -> log-probabilities (B, K, V), attention (B, K, S) and the next state."""
        decoder, memory = self.model.decoder, state.memory
        layers = list(zip(*(part.unbind(0) for part in state.decoder.layers), strict=True))
        gates = self.inputs(tokens.reshape(-1))
        if state.decoder.feed is not None:
            gates.addmm_(state.decoder.feed[:, 0], self.feeding)
        depth = len(self.asking.cells)
        hidden, after = self.asking(gates, layers[:depth], None)
        context = attention = None
        if decoder.attention is not None:
            # in float32 whatever the type of the rest: a processor's many small products in bfloat16 are slower
            context, attention = decoder.attention(hidden.float().view(*tokens.shape, -1), memory)
            context = context.flatten(0, 1).to(self.dtype)
        if self.above is not None:
            read = self.above.cells[0].into(_beside(hidden, context))
            hidden, rest = self.above(read, layers[depth:], context)
            after += rest
        readout = self.readout(_beside(hidden, context)).tanh_()
        logits = self.output(readout)
        log_probabilities = torch.log_softmax(logits, dim=1, out=logits).view(*tokens.shape, -1)
        feed = None if state.decoder.feed is None else readout[:, None]
        stacked = tuple(torch.stack(parts) for parts in zip(*after, strict=True))
        rounded = self.dtype != torch.float32 and readout.device.type == "cpu"
        exact = partial(self._exact, readout) if rounded else None
        return StepOutput(log_probabilities, attention, Hypotheses(DecoderState(stacked, feed), memory), exact)

    def _exact(self, readout: Tensor, rows: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Readouts (B x K, E), rows (R,), tokens (R, N) -> their logits (R, N), computed in float32."""
        output, places = self.model.decoder.output, torch.from_numpy(tokens)
        weights = nn.functional.embedding(places, output.weight.detach())
        products = weights.mul_(readout.index_select(0, torch.from_numpy(rows)).float()[:, None])
        logits: NDArray[np.float32] = products.sum(dim=2).add_(output.bias.detach()[places]).numpy()
        return logits


class _Stack:
    """The layers of a `Recurrent`, stepped."""

    def __init__(self, recurrent: Recurrent, dtype: torch.dtype) -> None:
        self.cells = [CellStep(layer, dtype) for layer in recurrent.layers]  # type: ignore[arg-type]
        self.residual_from = recurrent.residual_from

    def __call__(
        self, gates: Tensor, layers: list[tuple[Tensor, ...]], context: Tensor | None
    ) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        """The first layer's gates (N, G), each layer's state, the others' context -> the top output, all states."""
        after = [self.cells[0].advance(gates, layers[0])]
        hidden = after[0][0]
        for index, (cell, state) in enumerate(zip(self.cells[1:], layers[1:], strict=True), start=1):
            after.append(cell(_beside(hidden, context), state))
            hidden = after[-1][0] + hidden if index >= self.residual_from else after[-1][0]
        return hidden, after


def _beside(hidden: Tensor, context: Tensor | None) -> Tensor:
    return hidden if context is None else torch.cat([hidden, context], dim=1)
