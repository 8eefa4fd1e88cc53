"""The decoder: from a memory and the tokens so far to the readout that predicts the next token."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from s2s.device import product_type
from s2s.nn.attention import Attention, Memory
from s2s.nn.layers import Dropout, Embedding, linear, times
from s2s.nn.recurrent import Cell, Recurrent, State

Choose = Callable[[Tensor, Tensor], Tensor]
"""gold next tokens (B, 1), logits (B, 1, V) -> the tokens to feed next (B, 1)."""


class DecoderState(NamedTuple):
    """The state of a decoder in B sentences with K hypotheses each."""

    layers: State
    """(L, B x K, H) each; row b x K + k is hypothesis k of sentence b"""
    feed: Tensor | None
    """(B x K, 1, E), the last readout, with input feeding"""


class DecoderOutput(NamedTuple):
    """Readout, attention and state of one step or of whole sentences."""

    readout: Tensor
    """(B x K, T, E)"""
    attention: Tensor | None
    """(B, K x T, S), or None without attention"""
    state: DecoderState


class DecoderMasks(NamedTuple):
    """Dropout masks (B, T or 1, F) of one pass over (B, T) target tokens; None where there is none."""

    embedding: Tensor | None = None
    words: Tensor | None = None
    layers: tuple[Tensor, ...] = ()
    readout: Tensor | None = None

    def at(self, step: int) -> "DecoderMasks":
        """The masks of one step."""
        now = slice(step, step + 1)
        return DecoderMasks(*tree_map_only(Tensor, lambda mask: mask if mask.shape[1] == 1 else mask[:, now], [*self]))


NO_MASKS = DecoderMasks()
Stepped = Callable[[Tensor, DecoderState, Memory, DecoderMasks, Choose | None], DecoderOutput]
"""Like `Decoder.stepped`."""


class Bridge(nn.Module):
    """The decoder's first state from the encoder's last.

    Layers are paired from the bottom; where the encoder is deeper, from the top; its top one starts all above.
    """

    def __init__(
        self, kind: Literal["learned", "last", "zeros"], *, memory_size: int, hidden_size: int, layers: int, cell: Cell
    ) -> None:
        super().__init__()
        self.kind, self.layers, self.hidden_size = kind, layers, hidden_size
        if kind == "learned":
            parts = 2 if cell == "lstm" else 1
            self.project = nn.ModuleList(nn.Linear(memory_size, hidden_size) for _ in range(parts * layers))

    def forward(self, state: State) -> State:
        """(L of the encoder, B, M) each -> (L of the decoder, B, H) each."""
        return tuple(self._part(part, index) for index, part in enumerate(state))

    def _part(self, part: Tensor, index: int) -> Tensor:
        if self.kind == "zeros":
            return part.new_zeros(self.layers, part.shape[1], self.hidden_size)
        top, left_out = part.shape[0] - 1, max(part.shape[0] - self.layers, 0)
        chosen = [part[min(left_out + layer, top)] for layer in range(self.layers)]
        if self.kind == "learned":
            projects = self.project[index * self.layers :]
            chosen = [linear(cast(nn.Linear, project), row) for project, row in zip(projects, chosen, strict=False)]
            # An LSTM's cell is unbounded, a hidden state lies in (-1, 1).
            chosen = [torch.tanh(row) if index == 0 else row for row in chosen]
        return torch.stack(chosen)


class Decoder(nn.Module):
    """Recurrent layers with attention; one step, or whole sentences when nothing feeds back.

    `luong`: all layers, then the top one attends (Luong et al. 2015, section 3). `gnmt`: the first layer attends, and
    the layers above receive the context (Wu et al. 2016, section 3). The readout is tanh(W [h; c]) (Luong et al. 2015,
    equation 5) with E units, so that it can share the embedding.
    """

    def __init__(
        self,
        embedding: Embedding,
        hidden_size: int,
        *,
        memory_size: int,
        attention: Attention | None,
        layers: int = 1,
        cell: Cell = "gru",
        wiring: Literal["luong", "gnmt"] = "luong",
        input_feeding: bool = False,
        bridge: Literal["learned", "last", "zeros"] = "learned",
        tied: bool = True,
        dropout: Dropout = Dropout(),  # noqa: B008 - immutable
    ) -> None:
        super().__init__()
        units = embedding.embedding_dim
        context_size = 0 if attention is None else memory_size
        below = layers if wiring == "luong" else 1
        self.embedding = embedding
        self.attention = attention
        self.input_feeding = input_feeding
        self.dropout = dropout
        self.bridge = Bridge(bridge, memory_size=memory_size, hidden_size=hidden_size, layers=layers, cell=cell)
        self.asking = Recurrent(units * (2 if input_feeding else 1), hidden_size, layers=below, cell=cell)
        upper = partial(Recurrent, hidden_size, hidden_size, cell=cell, context_size=context_size, residual_from=1)
        self.above = upper(layers=layers - below) if below < layers else None
        self.readout = nn.Linear(hidden_size + context_size, units)
        self.output = nn.Linear(units, embedding.num_embeddings)
        if tied:
            self.output.weight = embedding.weight
        self.replayed: Stepped | None = None
        """used for `stepped` in training, where it is given: the same from CUDA graphs"""

    def start(self, encoder_state: State) -> DecoderState:
        """The state before the first token, K = 1."""
        layers = self.bridge(encoder_state)
        feed = layers[0].new_zeros(layers[0].shape[1], 1, self.embedding.embedding_dim) if self.input_feeding else None
        return DecoderState(layers, feed)

    def step(
        self, tokens: Tensor, state: DecoderState, memory: Memory, masks: DecoderMasks = NO_MASKS
    ) -> DecoderOutput:
        """Last tokens (B, K) -> the readout for the next ones and the state after the last."""
        embedded = times(times(self.embedding(tokens.reshape(-1, 1)), masks.words), masks.embedding)
        if self.input_feeding:
            assert state.feed is not None
            embedded = torch.cat([embedded, state.feed.to(embedded.dtype)], dim=2)
        return self._advance(embedded, state.layers, memory, masks)

    def forward(
        self, inputs: Tensor, state: DecoderState, memory: Memory, *, choose: Choose | None = None
    ) -> DecoderOutput:
        """Tokens fed (B, T), from START on -> readout (B, T, E), attention (B, T, S) and the last state.

        Without input feeding and `choose` this is one pass over whole sentences. `choose` decides at each step what is
        fed next; without it the given tokens are.
        """
        masks = self._sample_masks(inputs)
        if not self.input_feeding and choose is None:
            embedded = times(times(self.embedding(inputs), masks.words), masks.embedding)
            return self._advance(embedded, state.layers, memory, masks)
        stepped = self.replayed if self.training and self.replayed is not None else self.stepped
        return stepped(inputs, state, memory, masks, choose)

    def stepped(
        self, inputs: Tensor, state: DecoderState, memory: Memory, masks: DecoderMasks, choose: Choose | None
    ) -> DecoderOutput:
        """Like `forward`, step by step, with the masks of all steps."""
        outputs: list[DecoderOutput] = []
        tokens = inputs[:, :1]
        for step in range(inputs.shape[1]):
            outputs.append(self.step(tokens, state, memory, masks.at(step)))
            state = outputs[-1].state
            if step + 1 < inputs.shape[1]:
                gold = inputs[:, step + 1 : step + 2]
                tokens = gold if choose is None else choose(gold, self.logits(outputs[-1].readout))
        readout = torch.cat([output.readout for output in outputs], dim=1)
        attended = [output.attention for output in outputs if output.attention is not None]
        return DecoderOutput(readout, torch.cat(attended, dim=1) if attended else None, state)

    def logits(self, readout: Tensor) -> Tensor:
        """(..., E) -> (..., V)."""
        return nn.functional.linear(readout, self.output.weight, self.output.bias)

    def _advance(self, embedded: Tensor, layers: State, memory: Memory, masks: DecoderMasks) -> DecoderOutput:
        """(B x K, T, E or 2 E) through layers, attention and readout; T is 1 in a step, K is 1 in a whole pass."""
        below, depth = list(masks.layers), len(self.asking.layers)
        hidden, last = self.asking(embedded, tuple(part[:depth] for part in layers), masks=below[: depth - 1])
        context = attention = None
        if self.attention is not None:
            queries = hidden.reshape(memory.valid.shape[0], -1, hidden.shape[2])
            context, attention = self.attention(queries, memory)
            context = context.reshape(hidden.shape[0], hidden.shape[1], -1)
        if self.above is not None:
            if below:
                hidden = hidden * below[depth - 1]
            rest = tuple(part[depth:] for part in layers)
            hidden, top = self.above(hidden, rest, context=context, masks=below[depth:])
            last = tuple(torch.cat(parts) for parts in zip(last, top, strict=True))
        joined = hidden if context is None else torch.cat([hidden, context.to(hidden.dtype)], dim=2)
        readout = times(torch.tanh(linear(self.readout, joined)), masks.readout)
        return DecoderOutput(readout, attention, DecoderState(last, readout if self.input_feeding else None))

    def _sample_masks(self, inputs: Tensor) -> DecoderMasks:
        if not self.training:
            return NO_MASKS
        weight, dropout, steps = self.embedding.weight, self.dropout, inputs.shape[1]
        like = weight.new_empty(inputs.shape[0], 0, dtype=product_type(weight))
        units, hidden = self.embedding.embedding_dim, self.asking.output_size
        words = dropout._replace(variational=False).mask(like, dropout.words, 1, steps=steps)
        embedding = dropout.mask(like, dropout.embedding, units, steps=steps)
        between = dropout.between_layers(like, hidden, steps=steps, layers=self.bridge.layers)
        return DecoderMasks(embedding, words, tuple(between), dropout.mask(like, dropout.output, units, steps=steps))
