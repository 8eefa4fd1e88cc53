"""A large vocabulary in clusters by frequency, whose vectors are read and predicted in less time the rarer they are.

The adaptive softmax of Grave et al. (2017) and the adaptive input of Baevski & Auli (2019), with one table of vectors
for both. A token of the first cluster has a vector of E units and stands in the head of the output layer, beside one
row for each later cluster; one of a later cluster has fewer units, and

    log p(token) = log p(cluster) + log p(token in its cluster)

is exact: nothing is sampled. Ids are taken to be in the order of falling frequency; another order costs only time.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from s2s.nn.layers import Embedding, linear
from s2s.nn.loss import Loss, Scored, linear_cross_entropy, log_probabilities

SMALLER = 4
"""Units of a cluster's vectors compared with those of the next one (Grave et al. 2017, section 4.3)."""
FEWEST_UNITS = 16


class AdaptiveVocabulary(nn.Module):
    """Embedding and output layer of V tokens in clusters, without a matrix of V x E or logits of all positions."""

    def __init__(self, vocabulary: int, embedding_size: int, hidden_size: int, cutoffs: Sequence[int] = ()) -> None:
        """`cutoffs` are the ids at which later clusters begin: by default V^(2/3) and V^(5/6), and none beyond V."""
        super().__init__()
        derived = (min(round(vocabulary**power), vocabulary - 1) for power in (2 / 3, 5 / 6))
        chosen = {cutoff for cutoff in cutoffs if cutoff < vocabulary} or set(derived)
        self.bounds = (0, *sorted(chosen), vocabulary)
        self.embedding_dim = embedding_size
        counts = [high - low for low, high in pairwise(self.bounds)]
        least = min(FEWEST_UNITS, embedding_size)
        units = [max(embedding_size // SMALLER**place, least) for place in range(len(counts))]
        self.tables = nn.ModuleList(map(Embedding, counts, units))
        self.clusters = Embedding(len(counts) - 1, embedding_size)
        """vectors of the later clusters, in the head"""
        self.biases = nn.ParameterList(
            torch.zeros(count + (0 if place else len(counts) - 1)) for place, count in enumerate(counts)
        )
        self.read = nn.ModuleList(nn.Linear(size, embedding_size, bias=False) for size in units[1:])
        """to the input of the first recurrent layer"""
        self.asked = nn.ModuleList(nn.Linear(hidden_size, size, bias=False) for size in units)
        """from the state to what a cluster's vectors are multiplied by"""

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) -> (..., E), in the type of the products that read them."""
        flat = tokens.flatten()
        places, vectors = [], []
        for cluster, (low, high) in enumerate(pairwise(self.bounds)):
            # clusters without tokens too: each weight has a gradient, as on every other process of a training
            place = ((flat >= low) & (flat < high)).nonzero()[:, 0]
            vector = self.tables[cluster](flat[place] - low)
            vectors.append(linear(self.read[cluster - 1], vector) if cluster else vector)
            places.append(place)
        joined = torch.cat(vectors)
        return torch.empty_like(joined).index_copy(0, torch.cat(places), joined).view(*tokens.shape, -1)

    def loss(self, readout: Tensor, targets: Tensor) -> Loss:
        """(N, H), (N,) -> the summed negative log-likelihood, in chunks that never keep all logits."""
        total, place = None, self._in_head(targets)
        for cluster, (low, high) in enumerate(pairwise(self.bounds)):
            rows = slice(None) if cluster == 0 else ((targets >= low) & (targets < high)).nonzero()[:, 0]
            wanted = place if cluster == 0 else targets[rows] - low
            asked = linear(self.asked[cluster], readout[rows])
            part = linear_cross_entropy(asked, self._weight(cluster), self.biases[cluster], wanted)
            total = part if total is None else Loss(total.smoothed + part.smoothed, total.nats + part.nats, 0)
        assert total is not None
        return total._replace(tokens=len(targets))

    def log_probabilities(self, readout: Tensor) -> Tensor:
        """(..., H) -> (..., V), in float32 at least."""
        head = self._log_softmax(0, readout)
        first = self.bounds[1]
        parts = [head[..., :first]]
        for cluster in range(1, len(self.tables)):
            parts.append(head[..., first + cluster - 1, None] + self._log_softmax(cluster, readout))
        return torch.cat(parts, dim=-1)

    def scored(self, readout: Tensor, targets: Tensor) -> Scored:
        """(N, H), (N,) -> (N,) each, as of `log_probabilities`.

        A later cluster is looked into only for targets in it, and where it is more likely than any token of the head.
        """
        head, first = self._log_softmax(0, readout), self.bounds[1]
        own = head.gather(1, self._in_head(targets)[:, None])[:, 0]
        highest, likeliest = head[:, :first].detach().max(dim=1)
        for cluster, (low, high) in list(enumerate(pairwise(self.bounds)))[1:]:
            inside, of_cluster = (targets >= low) & (targets < high), head[:, first + cluster - 1]
            rows = (inside | (of_cluster > highest)).nonzero()[:, 0]
            within = self._log_softmax(cluster, readout[rows])
            given = within.gather(1, (targets[rows] - low).clamp(0, high - low - 1)[:, None])[:, 0]
            own[rows] += given.where(inside[rows], 0.0)
            best, at = within.max(dim=1)
            best = best + of_cluster[rows]
            better = best > highest[rows]
            likeliest[rows] = torch.where(better, at + low, likeliest[rows])
            highest[rows] = torch.where(better, best, highest[rows])
        return Scored(own, likeliest, highest)

    def _in_head(self, targets: Tensor) -> Tensor:
        """Row of the head for each target: its own, or that of its cluster."""
        starts = torch.tensor(self.bounds[1:-1], device=targets.device)
        cluster = torch.bucketize(targets.contiguous(), starts, right=True)
        return torch.where(cluster > 0, self.bounds[1] + cluster - 1, targets)

    def _weight(self, cluster: int) -> Tensor:
        table = self.tables[cluster]
        assert isinstance(table, Embedding)
        weight = table.weight
        return weight if cluster else torch.cat([weight, self.clusters.weight])

    def _log_softmax(self, cluster: int, readout: Tensor) -> Tensor:
        """(..., H) -> log-probabilities of the rows of the head, or of the tokens in a later cluster."""
        logits = nn.functional.linear(self.asked[cluster](readout), self._weight(cluster), self.biases[cluster])
        return log_probabilities(logits)
