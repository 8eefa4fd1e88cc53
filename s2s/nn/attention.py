"""Attention of a decoder's queries to the positions of an encoder's output."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from s2s.nn.layers import linear

Score = Literal["dot", "scaled_dot", "general", "concat", "location"]


class Memory(NamedTuple):
    """An encoder's output, for attention. Keys are projected once per sentence, and nothing is tiled for a beam."""

    keys: Tensor
    """(B, S, A)"""
    values: Tensor
    """(B, S, M)"""
    valid: Tensor
    """(B, S), True where there is a source token"""

    def keep(self, sentences: Tensor) -> "Memory":
        """The memory of some sentences (b,)."""
        # flat, which is several times faster on a CPU than indexing
        return Memory(*(part.flatten(1).index_select(0, sentences).view(-1, *part.shape[1:]) for part in self))


class Attention(nn.Module):
    """Global attention with the scores of Luong et al. (2015, section 3.1) and Bahdanau et al. (2015, A.1.2).

    dot q·k, scaled_dot q·k / sqrt(H), general q·W k, concat v·tanh(W q + U k), location W q (a weight for each source
    position, from the query alone). The W of general is stored times sqrt(H): a step of Adam moves all its elements
    alike, and without the factor the first hundred steps drive the weights to one position each, where no gradient
    passes (Multi30k, greedy on validation, after seven epochs: 22.5 BLEU without it, 35.4 with it).
    """

    def __init__(self, score: Score, *, query_size: int, memory_size: int, attention_size: int, positions: int) -> None:
        super().__init__()
        self.score = score
        self.by_products = score in ("dot", "scaled_dot", "general")
        self.scale = 1.0 / math.sqrt(query_size) if score in ("scaled_dot", "general") else 1.0
        if score in ("dot", "scaled_dot"):
            assert query_size == memory_size, "the recipe refuses dot attention between unequal sizes"
        elif score == "general":
            self.key = nn.Linear(memory_size, query_size, bias=False)
        elif score == "concat":
            self.key = nn.Linear(memory_size, attention_size, bias=True)
            self.query = nn.Linear(query_size, attention_size, bias=False)
            self.combine = nn.Linear(attention_size, 1, bias=False)
        else:
            self.position = nn.Linear(query_size, positions, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> (B, S, A), the keys that queries are compared with; scaled where the score is a product."""
        keys = linear(self.key, values) if self.score in ("general", "concat") else values
        return keys if self.scale == 1.0 else keys * self.scale

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """(B, Q, H) -> contexts (B, Q, M) and weights (B, Q, S), which sum to one over valid positions."""
        scores = self._scores(queries, memory).float()
        weights = scores.masked_fill(~memory.valid[:, None, :], -torch.inf).softmax(dim=2)
        return _product(weights.to(queries.dtype), memory.values).to(queries.dtype), weights

    def _scores(self, queries: Tensor, memory: Memory) -> Tensor:
        """(B, Q, H) -> (B, Q, S)."""
        if self.score == "concat":
            hidden = torch.tanh(linear(self.query, queries)[:, :, None, :] + memory.keys[:, None, :, :])
            combined: Tensor = self.combine(hidden)
            return combined.squeeze(3)
        if self.score == "location":
            scores: Tensor = self.position(queries)
            missing = memory.valid.shape[1] - scores.shape[2]
            return nn.functional.pad(scores, (0, missing), value=-torch.inf)
        return _product(queries, memory.keys.transpose(1, 2))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """(B, N, K) times (B, K, M); whole sequences on a CPU in float32.

    They are 0.3 % of a translator's products and have most of their shapes, and in bfloat16 oneDNN compiles a kernel
    for each and keeps it.
    """
    if left.device.type != "cpu" or left.shape[1] == 1:
        return torch.bmm(left, right.to(left.dtype))
    with torch.autocast("cpu", enabled=False):
        return torch.bmm(left.float(), right.float())
