"""The one recurrent core of encoders, decoders, language models and forecasters.

The legend of every shape in s2s: B sentences in a batch, S source positions, T target positions, K hypotheses per
sentence, L layers, D directions, H hidden units, E embedding units, M units of the encoder's memory (D x H of the
encoder), A attention units, V tokens of the vocabulary. Batch first, except in a State, which is (L x D, B, H).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s2s.device import product_type
from s2s.nn.layers import dropout_mask
from s2s.nn.whole import run_whole

Cell = Literal["elman", "gru", "lstm"]
State = tuple[Tensor, ...]
"""(h,) for Elman and GRU, (h, c) for LSTM; each (L x D, B, H)."""

CELLS: dict[Cell, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Recurrent(nn.Module):
    """A stack of Elman (tanh), GRU or LSTM layers, run over whole sequences.

    Layers from `residual_from` on add their input to their output. Every layer can receive a `context` with its input,
    as the upper layers of GNMT do (Wu et al. 2016, section 3). In training `weight_drop` is the probability of zero for
    elements of the recurrent matrices, the same at all steps of a call (Merity et al. 2018, section 2).
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
        weight_drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight_drop = weight_drop
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
        masks: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, State]:
        """(B, T, I), (L x D, B, H), (B,) -> outputs (B, T, D x H), zero beyond each length, and the last State.

        `context` (B, T, C) joins the input of every layer; `masks`, (B, T or 1, D x H) each, multiply what passes from
        one layer to the next. `lengths` is on the CPU.
        """
        ragged = lengths is not None and bool((lengths != inputs.shape[1]).any())
        outputs, last = inputs, []
        for index, layer in enumerate(self.layers):
            if index and masks:
                outputs = outputs * masks[index - 1]
            below = outputs
            inside = outputs if context is None else torch.cat([outputs, context], dim=2)
            rows = slice(index * self.directions, (index + 1) * self.directions)
            begin = None if state is None else tuple(part[rows].contiguous() for part in state)
            assert isinstance(layer, nn.RNNBase)
            dropped = self._dropped(layer) if self.training and self.weight_drop else None
            outputs, end = run_layer(layer, dropped, inside, begin, lengths if ragged else None)
            if index >= self.residual_from:
                outputs = outputs + below
            last.append(end)
        return outputs, tuple(torch.cat(parts) for parts in zip(*last, strict=True))

    def _dropped(self, layer: nn.RNNBase) -> dict[str, Tensor]:
        """Weights of a layer by name, with elements of the recurrent matrices set to zero."""
        weights: dict[str, Tensor] = dict(layer.named_parameters())
        for name, weight in weights.items():
            if name.startswith("weight_hh"):
                mask = dropout_mask(weight, self.weight_drop, shape=tuple(weight.shape), by_row=False)
                weights[name] = weight * mask
        return weights


def run_layer(
    layer: nn.RNNBase, weights: dict[str, Tensor] | None, inputs: Tensor, state: State | None, lengths: Tensor | None
) -> tuple[Tensor, State]:
    """(B, T, I), (D, B, H), (B,) -> outputs (B, T, D x H), zero beyond each length, and the last state.

    `weights` by name replace the layer's own, where they are given. On a CPU a layer with gradients, or in bfloat16,
    is `s2s.nn.whole`, but an LSTM of equal lengths, which oneDNN runs faster; all others are torch's own, packed where
    the lengths differ.
    """
    rounded = product_type(inputs) == torch.bfloat16 and inputs.device.type == "cpu"
    if isinstance(layer, nn.LSTM) and rounded and not lstm_takes_bfloat16():
        exact = None if state is None else tuple(part.float() for part in state)
        with torch.autocast("cpu", enabled=False):
            return run_layer(layer, weights, inputs.float(), exact, lengths)
    trained = torch.is_grad_enabled() or product_type(inputs) != torch.float32
    faster = lengths is not None or not isinstance(layer, nn.LSTM)
    if faster and inputs.device.type == "cpu" and inputs.shape[1] > 1 and trained:
        return run_whole(layer, weights, inputs, state, lengths)
    begin = state if state is None or isinstance(layer, nn.LSTM) else state[0]
    given: Any = inputs
    if lengths is not None:
        given = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    outputs, end = layer(given, begin) if weights is None else functional_call(layer, weights, (given, begin))
    if lengths is not None:
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
    return outputs, end if isinstance(layer, nn.LSTM) else (end,)


@lru_cache(maxsize=1)
def lstm_takes_bfloat16() -> bool:
    """Whether oneDNN has an LSTM in bfloat16 for this CPU; without AVX-512 it has none."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
        try:
            nn.LSTM(8, 8, batch_first=True)(torch.zeros(2, 3, 8))[0].sum().backward()
        except RuntimeError:
            return False
    return True


def positions_valid(lengths: Tensor, size: int, device: torch.device) -> Tensor:
    """(B,) -> (B, size), True at positions below each length."""
    return torch.arange(size, device=device)[None, :] < lengths.to(device, non_blocking=True)[:, None]


def initialize(module: nn.Module, kind: Literal["uniform", "orthogonal", "torch"]) -> None:
    """Fill all weights: `uniform` in +-0.1, or `orthogonal` recurrent and Xavier other matrices (Saxe et al. 2014).

    `torch` leaves what torch.nn has sampled, with embeddings divided by sqrt(E), the factor of their output. Otherwise
    biases are zero, the forget gate's is one (Jozefowicz et al. 2015); with `orthogonal`, embeddings are normal with
    deviation 1 / sqrt(E), and one that is the output layer's matrix is filled as that. On the meta device, where a
    model is built whose weights will be read, there is nothing to fill.
    """
    if any(weight.is_meta for weight in module.parameters()):
        return
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            if kind == "torch":
                if isinstance(part, nn.Embedding):
                    weight.data.mul_(part.embedding_dim**-0.5)
            elif weight.dim() == 1:
                nn.init.zeros_(weight)
                if isinstance(part, nn.LSTM) and name.startswith("bias_ih"):
                    weight.data[part.hidden_size : 2 * part.hidden_size] = 1.0
            elif kind == "uniform":
                nn.init.uniform_(weight, -0.1, 0.1)
            elif isinstance(part, nn.Embedding):
                nn.init.normal_(weight, std=part.embedding_dim**-0.5)
            elif isinstance(part, nn.RNNBase):
                fill = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
                for gate in weight.data.chunk(weight.shape[0] // part.hidden_size):
                    fill(gate)
            else:
                nn.init.xavier_uniform_(weight)
