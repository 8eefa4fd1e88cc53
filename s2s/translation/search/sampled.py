"""Sampling from a model in place of searching it: a step that leaves a search with a beam of 1 one token to choose."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, Self

import torch
from torch import Tensor

from s2s.translation.search.beam import AnyState, Step, StepOutput
from s2s.translation.search.hypotheses import Sampling


class SampledState(NamedTuple, Generic[AnyState]):
    """Where a model stands, the random numbers (b, T) of each sentence, and the steps done."""

    model: AnyState
    draws: Tensor
    length: int = 0

    def reorder(self, parents: Tensor) -> Self:
        """Reorder the model's state; a sentence has one hypothesis."""
        return self._replace(model=self.model.reorder(parents))

    def keep(self, sentences: Tensor) -> Self:
        """Keep the given sentences, indices (b',)."""
        return self._replace(model=self.model.keep(sentences), draws=self.draws[sentences.to(self.draws.device)])


def sampled(step: Step[AnyState], sampling: Sampling, forbidden: Sequence[int]) -> Step[SampledState[AnyState]]:
    """A step whose only token is sampled from softmax(log-probabilities / temperature), and keeps its own."""

    def one_token(tokens: Tensor, state: SampledState[AnyState]) -> StepOutput[SampledState[AnyState]]:
        output = step(tokens, state.model)
        logged = output.log_probabilities[:, 0].float()
        allowed = logged.index_fill(1, torch.tensor(forbidden, device=logged.device), -torch.inf)
        reached = (allowed.double() / sampling.temperature).softmax(1).cumsum(1)
        wanted = state.draws[:, state.length, None].to(reached.device) * reached[:, -1:]
        chosen = torch.searchsorted(reached, wanted, right=True).clamp_(max=reached.shape[1] - 1)
        only = torch.full_like(logged, -torch.inf).scatter_(1, chosen, logged.gather(1, chosen))
        return StepOutput(only[:, None], output.attention, SampledState(output.state, state.draws, state.length + 1))

    return one_token
