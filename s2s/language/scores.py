"""How well a language model predicts a text: sums over its tokens, from one state carried over the whole of it."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from s2s.language.model import LanguageModel
from s2s.language.text import EncodedText, TextBatch
from s2s.nn.recurrent import State, positions_valid

CHUNK_LOGITS = 1 << 22
"""Logits that exist at one time."""


class Predicted(NamedTuple):
    """What a text has cost; each tensor has an entry for each member of the model."""

    nats: Tensor
    """(members,) float64, the negative log-likelihood of all targets"""
    right: Tensor
    """(members,) targets that had the highest probability"""
    tokens: int
    """targets in all"""

    def scores(self, text: EncodedText, member: int = 0) -> dict[str, float]:
        """The scores of one member on the text that was predicted."""
        nats = float(self.nats[member])
        # of running text the first token is given and not predicted
        characters = text.characters * min(1.0, self.tokens / len(text.tokens))
        return {
            "nats_per_token": nats / self.tokens,
            "perplexity": math.exp(min(nats / self.tokens, 700.0)),
            "bits_per_character": nats / math.log(2) / characters,
            "accuracy": float(self.right[member]) / self.tokens,
        }


@torch.inference_mode()
def predict(model: LanguageModel, batches: Iterable[TextBatch], device: torch.device) -> Predicted:
    """Run a model over batches in their order; where one continues another, from its last state."""
    nats, right = torch.zeros(model.members, dtype=torch.float64), torch.zeros(model.members, dtype=torch.int64)
    tokens = 0
    state: State | None = None
    for batch in batches:
        readout, _, state = model(batch.inputs.to(device), state if batch.continues else None, batch.lengths)
        targets = batch.targets.to(device)
        if batch.lengths is not None:
            valid = positions_valid(batch.lengths, targets.shape[1], device)
            readout, targets = readout[valid], targets[valid]
        readout, targets = readout.reshape(-1, readout.shape[-1]), targets.flatten()
        rows = max(1, CHUNK_LOGITS // (model.vocabulary * model.members))
        for part, wanted in zip(torch.split(readout, rows), torch.split(targets, rows), strict=True):
            logits = model.logits(part).float().view(len(part), model.members, -1)
            each = wanted[:, None].expand(-1, model.members)
            costs = functional.cross_entropy(logits.flatten(0, 1), each.flatten(), reduction="none")
            nats += costs.view(-1, model.members).double().sum(0).cpu()
            right += (logits.argmax(2) == each).sum(0).cpu()
        tokens += batch.tokens
    return Predicted(nats, right, tokens)
