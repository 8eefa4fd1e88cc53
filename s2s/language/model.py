"""The language model: recurrent layers that predict the next token."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2s.language.recipe import LanguageModel as Settings
from s2s.language.scores import Predicted
from s2s.language.text import TextBatch
from s2s.nn.adaptive import AdaptiveVocabulary
from s2s.nn.layers import Dropout, Embedding, dropout_mask
from s2s.nn.loss import Loss, Scored, linear_cross_entropy, scored
from s2s.nn.recurrent import Cell, Recurrent, State, initialize, positions_valid

CHUNK_LOGITS = 1 << 22
"""Logits held at one time when a text is scored, but of so many positions at least."""
FEWEST_POSITIONS = 64


class Prediction(NamedTuple):
    """Outputs of a language model over a text."""

    readout: Tensor
    """(B, T, H) input of the output layer, after dropout"""
    hidden: Tensor
    """(B, T, H) the same before dropout"""
    state: State


class LanguageModel(nn.Module):
    """Tokens in, logits of the next ones out; the state is carried from one text to the next.

    With `members` it is that many networks computed as one: the recurrent and output matrices are block-diagonal, zero
    between members and kept so. The V logits of each member follow one another.
    """

    def __init__(
        self,
        vocabulary: int,
        hidden_size: int,
        *,
        embedding_size: int | None,
        layers: int = 1,
        cell: Cell = "lstm",
        output: Literal["linear", "tied", "adaptive", "state"] = "linear",
        cutoffs: Sequence[int] = (),
        dropout: Dropout = Dropout(),  # noqa: B008 - immutable
        vocabulary_dropout: float = 0.0,
        weight_drop: float = 0.0,
        members: int = 1,
    ) -> None:
        """`embedding_size` None reads tokens one-hot."""
        super().__init__()
        self.vocabulary, self.members = vocabulary, members
        self.dropout, self.vocabulary_dropout = dropout, vocabulary_dropout
        self.embedding: Embedding | AdaptiveVocabulary | None = None
        if embedding_size is not None and output == "adaptive":
            self.embedding = AdaptiveVocabulary(vocabulary, embedding_size, hidden_size, cutoffs)
        elif embedding_size is not None:
            self.embedding = Embedding(vocabulary, embedding_size)
        read, hidden = embedding_size or vocabulary, hidden_size * members
        self.recurrent = Recurrent(
            read, hidden, layers=layers, cell=cell, residual_from=layers, weight_drop=weight_drop
        )
        self.output = None if output in ("state", "adaptive") else nn.Linear(hidden, vocabulary * members)
        if self.output is not None and output == "tied":
            assert isinstance(self.embedding, Embedding)
            self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: State | None = None, lengths: Tensor | None = None) -> Prediction:
        """(B, T), (L, B, H), (B,) on the CPU -> a Prediction with the last State."""
        read = self._read(tokens)
        hidden, last = self.recurrent(read, state, lengths, masks=self._masks_between_layers(read))
        readout = hidden
        if self.training:
            mask = self.dropout.mask(hidden, self.dropout.output, hidden.shape[2], steps=hidden.shape[1])
            readout = hidden if mask is None else hidden * mask
        return Prediction(readout, hidden, last)

    def logits(self, readout: Tensor) -> Tensor:
        """(..., H) -> (..., V), or (..., members, V) of several; adaptive ones are log-probabilities."""
        if isinstance(self.embedding, AdaptiveVocabulary):
            return self.embedding.log_probabilities(readout)
        logits: Tensor = readout if self.output is None else self.output(readout)
        return logits if self.members == 1 else logits.reshape(*logits.shape[:-1], self.members, self.vocabulary)

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        *,
        activation_penalty: float = 0.0,
        temporal_activation_penalty: float = 0.0,
    ) -> tuple[Loss, State]:
        """(B, T), (B, T), (L, B, H), (B,) on the CPU -> the summed loss of the valid targets, and the last State.

        Added for each token are alpha times the mean square of the readout and beta times that of the hidden state's
        change (Merity et al. 2017). The losses of several members are added, and `nats` is their mean.
        """
        readout, hidden, last = self(tokens, state, lengths)
        kept, wanted, change = readout.flatten(0, 1), targets.flatten(), hidden.float().diff(dim=1)
        if lengths is not None:
            valid = positions_valid(lengths, tokens.shape[1], tokens.device)
            kept, wanted, change = kept[valid.flatten()], wanted[valid.flatten()], change[valid[:, 1:]]
        if isinstance(self.embedding, AdaptiveVocabulary):
            loss = self.embedding.loss(kept, wanted)
        elif self.output is not None and self.members == 1:
            loss = linear_cross_entropy(kept, self.output.weight, self.output.bias, wanted)
        else:
            logits = self.logits(kept).flatten(0, -2)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            each = wanted.repeat_interleave(self.members)
            total = functional.cross_entropy(logits, each, reduction="sum")
            loss = Loss(total, total.detach() / self.members, wanted.numel())
        penalty = torch.zeros((), device=tokens.device)
        if activation_penalty:
            penalty = penalty + activation_penalty * kept.float().square().mean()
        if temporal_activation_penalty and change.numel():
            penalty = penalty + temporal_activation_penalty * change.square().mean()
        return loss._replace(smoothed=loss.smoothed + penalty * loss.tokens), last

    def scored(self, readout: Tensor, targets: Tensor) -> Scored:
        """(N, H), (N,) -> (N,) each, or (N, members) of several; of all positions no logits are kept."""
        targets = targets if self.members == 1 else targets[:, None].expand(-1, self.members)
        most = max(FEWEST_POSITIONS, CHUNK_LOGITS // (self.vocabulary * self.members))
        pairs = zip(torch.split(readout, most), torch.split(targets, most), strict=True)
        if isinstance(self.embedding, AdaptiveVocabulary):
            parts = [self.embedding.scored(part, wanted) for part, wanted in pairs]
        else:
            parts = [scored(self.logits(part), wanted) for part, wanted in pairs]
        return Scored(*map(torch.cat, zip(*parts, strict=True)))

    def _read(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, E), or (B, T, V) one-hot."""
        if self.embedding is None:
            return functional.one_hot(tokens, self.vocabulary).to(next(self.parameters()).dtype)
        embedded: Tensor = self.embedding(tokens)
        if self.training and self.vocabulary_dropout:
            kept = dropout_mask(embedded, self.vocabulary_dropout, shape=(self.vocabulary, 1), by_row=False)
            embedded = embedded * kept[tokens]
        return self.dropout.on_embedded(embedded, training=self.training)

    def _masks_between_layers(self, read: Tensor) -> list[Tensor] | None:
        if not self.training:
            return None
        rate, size, steps = self.dropout.layers, self.recurrent.output_size, read.shape[1]
        masks = [self.dropout.mask(read, rate, size, steps=steps) for _ in self.recurrent.layers[1:]]
        return [mask for mask in masks if mask is not None] or None


def build_language_model(settings: Settings, vocabulary: int, *, members: int = 1) -> LanguageModel:
    """Model of a recipe, with fresh weights from torch's global generator."""
    dropout = settings.dropout
    model = LanguageModel(
        vocabulary,
        settings.hidden_size,
        embedding_size=settings.embedding_size if settings.input == "embedding" else None,
        layers=settings.layers,
        cell=settings.cell,
        output=settings.output,
        cutoffs=settings.cutoffs,
        dropout=Dropout(dropout.embedding, dropout.layers, dropout.output, variational=dropout.variational),
        vocabulary_dropout=dropout.vocabulary,
        weight_drop=dropout.recurrent_weights,
        members=members,
    )
    initialize(model, settings.initialization)
    return model


def build_members(settings: Settings, vocabulary: int, seeds: Sequence[int]) -> LanguageModel:
    """One model with a member for each seed, whose weights are those of a single model with that seed."""
    together = build_language_model(settings, vocabulary, members=len(seeds))
    with torch.no_grad():
        for name, weight in together.named_parameters():
            weight.zero_()
            mask = torch.zeros_like(weight)
            for number in range(len(seeds)):
                _block(name, mask, together, number).fill_(1.0)
            # without a gradient between members, every update rule keeps those weights zero
            weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))  # type: ignore
        for number, seed in enumerate(seeds):
            torch.manual_seed(seed)
            single = dict(build_language_model(settings, vocabulary).named_parameters())
            for name, weight in together.named_parameters():
                block = _block(name, weight, together, number)
                block.copy_(single[name].view_as(block))
    return together


def member_weights(model: LanguageModel, weights: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """Weights of one member, as a single model has them."""
    return {name: _block(name, weight, model, number).flatten(0, 1) for name, weight in weights.items()}


def _block(name: str, weight: Tensor, model: LanguageModel, number: int) -> Tensor:
    """View (gates, H or V, ...) of a member's part of a weight.

    Rows are ordered by gate, member and unit; columns by member and unit, but a first layer's input is shared.
    """
    gates = 1 if name.startswith("output") else weight.shape[0] // model.recurrent.output_size
    rows = weight.view(gates, model.members, -1, *weight.shape[1:])[:, number]
    if weight.dim() == 1 or (name.startswith("recurrent.layers.0") and "weight_ih" in name):
        return rows
    return rows.view(*rows.shape[:2], model.members, -1)[:, :, number]


@torch.no_grad()
def predict(
    model: LanguageModel,
    batches: Iterable[TextBatch],
    device: torch.device,
    *,
    unknown: int | None = None,
    learn: Callable[[TextBatch, State | None], None] | None = None,
) -> Predicted:
    """Run a model over batches in order; one that continues another starts from its last state.

    `unknown` is the token of what the vocabulary lacks. `learn` is called with each batch, once it is scored, and with
    the state before it.
    """
    nats, unknown_nats = (torch.zeros(model.members, dtype=torch.float64) for _ in range(2))
    right = torch.zeros(model.members, dtype=torch.int64)
    tokens = unknown_tokens = 0
    state: State | None = None
    for batch in batches:
        before = state if batch.continues else None
        readout, _, state = model(batch.inputs.to(device), before, batch.lengths)
        targets = batch.targets.to(device)
        if batch.lengths is not None:
            valid = positions_valid(batch.lengths, targets.shape[1], device)
            readout, targets = readout[valid], targets[valid]
        wanted = targets.flatten()
        found = model.scored(readout.reshape(-1, readout.shape[-1]), wanted)
        costs = -found.log_probability.view(len(wanted), -1).double()
        nats += costs.sum(0).cpu()
        right += (found.likeliest.view(len(wanted), -1) == wanted[:, None]).sum(0).cpu()
        if unknown is not None:
            unknown_nats += costs[wanted == unknown].sum(0).cpu()
            unknown_tokens += int((wanted == unknown).sum())
        tokens += batch.tokens
        if learn:
            learn(batch, before)
    return Predicted(nats.tolist(), right.tolist(), tokens, unknown_nats.tolist(), unknown_tokens)
