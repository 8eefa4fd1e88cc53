"""The encoder for one sentence, by products and cells of a row. Its slow twin is `Encoder`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from s2s.nn.encoder import Encoder
from s2s.nn.recurrent import State
from s2s.translation.search.hypotheses import Floats
from s2s.translation.search.rows import Apart, Cells, Kind, side_by_side
from s2s.translation.search.step import CellStep, Inputs


class Encoding:
    """What an encoder multiplies by, in float32."""

    def __init__(self, encoder: Encoder) -> None:
        recurrent = encoder.recurrent
        endings = ("", "_reverse")[: recurrent.directions]
        layers = [layer for layer in recurrent.layers if isinstance(layer, nn.RNNBase)]
        cells = [[CellStep(layer, torch.float32, ending) for ending in endings] for layer in layers]
        self.kinds = [Kind.of(directions[0]) for directions in cells]
        self.across = [Apart([cell.across for cell in directions]) for directions in cells]
        self.into = [side_by_side([cell.into for cell in directions]) for directions in cells]
        embedding = encoder.embedding
        self.inputs = Inputs(embedding, self.into[0], embedding.embedding_dim, embedding.num_embeddings)
        self.directions, self.residual_from = recurrent.directions, recurrent.residual_from


class Reader:
    """Reads a sentence layer by layer; the directions of a layer take a step together."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        parts = zip(encoding.kinds, encoding.across, strict=True)
        self.layers = [Cells(kind, across, encoding.directions) for kind, across in parts]

    def __call__(self, source: Sequence[int]) -> tuple[State, Tensor]:
        """S tokens -> the last state (L, 1, M), as `Encoder` gives it, and the values (S, M)."""
        encoding, states = self.encoding, []
        values: Tensor | None = None
        for index, (into, cells) in enumerate(zip(encoding.into, self.layers, strict=True)):
            given = encoding.inputs(torch.tensor(source)) if values is None else into(values)
            outputs = _read(cells, given.numpy())
            values = outputs if values is None or index < encoding.residual_from else outputs + values
            states.append([cells.hidden] if cells.cell is None else [cells.hidden, cells.cell])
        assert values is not None, "an encoder has a layer"
        last = (torch.from_numpy(np.stack(part)) for part in zip(*states, strict=True))
        return tuple(part.view(len(part), 1, -1) for part in last), values


def _read(cells: Cells, given: Floats) -> Tensor:
    """The inputs' share of all gates (S, D x G), which it turns about -> a layer's outputs (S, D x H)."""
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
