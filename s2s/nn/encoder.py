"""The encoder: from source tokens to one vector for each position."""

import torch
from torch import Tensor, nn

from s2s.nn.dropout import Dropout
from s2s.nn.embedding import Embedding
from s2s.nn.recurrent import Cell, Recurrent, State


class Encoder(nn.Module):
    """Embeds source tokens and reads them in one or both directions."""

    def __init__(
        self,
        embedding: Embedding,
        hidden_size: int,
        *,
        layers: int = 1,
        cell: Cell = "gru",
        bidirectional: bool = True,
        dropout: Dropout = Dropout(),  # noqa: B008 - immutable
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = dropout
        self.recurrent = Recurrent(
            embedding.embedding_dim, hidden_size, layers=layers, cell=cell, bidirectional=bidirectional
        )

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """(B, S), (B,) on the CPU -> values (B, S, M), zero beyond each length, and the last state.

        The state is (L, B, M): the two directions of a layer are joined.
        """
        embedded = self.dropout.on_embedded(self.embedding(tokens), training=self.training)
        dropout, layers = self.dropout if self.training else Dropout(), len(self.recurrent.layers)
        size, steps = self.recurrent.output_size, tokens.shape[1]
        masks = dropout.between_layers(embedded, size, steps=steps, layers=layers)
        values, state = self.recurrent(embedded, lengths=lengths, masks=masks)
        by_direction = (part.unflatten(0, (-1, self.recurrent.directions)).unbind(1) for part in state)
        return dropout.on_values(values, dropout.output), tuple(torch.cat(parts, dim=2) for parts in by_direction)
