"""The one recurrent core, behind encoders, decoders, language models and forecasters.

The legend of every shape in s2s: B sentences in a batch, S source positions, T target positions,
K hypotheses per sentence, L layers, D directions, H hidden units, E embedding units, M units of the
encoder's memory (D x H of the encoder), A attention units, V vocabulary entries. Batch first, except
in a State, which is (L x D, B, H).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Cell = Literal["elman", "gru", "lstm"]
State = tuple[Tensor, ...]
"""(h,) for Elman and GRU, (h, c) for LSTM; each (L x D, B, H)."""

CELLS: dict[Cell, type[nn.RNNBase]] = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Recurrent(nn.Module):
    """A stack of Elman (tanh), GRU or LSTM layers, run over whole sequences.

    Layers from `residual_from` on add their input to their output. Every layer can receive a
    `context` beside its input, as the upper layers of GNMT do (Wu et al. 2016, section 3).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        cell: Cell = "gru",
        bidirectional: bool = False,
        context_size: int = 0,
        residual_from: int = 2,
    ) -> None:
        super().__init__()
        self.directions = 2 if bidirectional else 1
        self.output_size = hidden_size * self.directions
        self.residual_from = residual_from
        sizes = [input_size] + [self.output_size] * (layers - 1)
        self.layers = nn.ModuleList(
            CELLS[cell](size + context_size, hidden_size, batch_first=True, bidirectional=bidirectional)
            for size in sizes
        )

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        *,
        context: Tensor | None = None,
        masks: list[Tensor] | None = None,
    ) -> tuple[Tensor, State]:
        """(B, T, I), (L x D, B, H), (B,) -> outputs (B, T, D x H), zero beyond each length, and the last State.

        `context` (B, T, C) joins the input of every layer; `masks`, (B, T or 1, D x H) each, multiply
        what passes from one layer to the next. `lengths` is on the CPU.
        """
        ragged = lengths is not None and bool((lengths != inputs.shape[1]).any())
        outputs, last = inputs, []
        for index, layer in enumerate(self.layers):
            if index and masks is not None:
                outputs = outputs * masks[index - 1]
            below = outputs
            inside = outputs if context is None else torch.cat([outputs, context], dim=2)
            begin = None if state is None else self._of_layer(state, index)
            if ragged:
                assert lengths is not None
                packed = pack_padded_sequence(inside, lengths, batch_first=True, enforce_sorted=False)
                produced, end = layer(packed, begin)
                outputs, _ = pad_packed_sequence(produced, batch_first=True, total_length=inputs.shape[1])
            else:
                outputs, end = layer(inside, begin)
            if index >= self.residual_from:
                outputs = outputs + below
            last.append(end if isinstance(layer, nn.LSTM) else (end,))
        return outputs, tuple(torch.cat(parts) for parts in zip(*last, strict=True))

    def _of_layer(self, state: State, index: int) -> State | Tensor:
        """The part of a state that one layer starts from, as torch.nn takes it."""
        rows = slice(index * self.directions, (index + 1) * self.directions)
        parts = tuple(part[rows].contiguous() for part in state)
        return parts if len(parts) == 2 else parts[0]


def initialize(module: nn.Module, kind: Literal["uniform", "orthogonal"]) -> None:
    """Fill all weights: `uniform` in +-0.1, or `orthogonal` recurrent and Xavier other matrices (Saxe et al. 2014).

    Embeddings are uniform in +-0.1 in both; biases are zero, the forget gate's is one
    (Jozefowicz et al. 2015).
    """
    for part in module.modules():
        recurrent = isinstance(part, nn.RNNBase)
        for name, weight in part.named_parameters(recurse=False):
            if weight.dim() == 1 and (recurrent or name == "bias"):
                nn.init.zeros_(weight)
            elif kind == "uniform" or isinstance(part, nn.Embedding) or weight.dim() == 1:
                nn.init.uniform_(weight, -0.1, 0.1)
            elif recurrent:
                fill = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
                for gate in weight.data.chunk(weight.shape[0] // part.hidden_size):
                    fill(gate)
            else:
                nn.init.xavier_uniform_(weight)
        if isinstance(part, nn.LSTM):
            for name, bias in part.named_parameters(recurse=False):
                if name.startswith("bias_ih"):
                    bias.data[part.hidden_size : 2 * part.hidden_size] = 1.0
