"""Sampled outputs follow the model's probabilities, each by its own random numbers."""

import numpy as np
import pytest
import torch

from s2s.text.special import END, PAD, START
from s2s.translation.search.beam import beam_search
from s2s.translation.search.hypotheses import Hypothesis, Sampling, SearchOptions
from s2s.translation.search.sampled import SampledState, sampled
from tests.translation.search.test_beam import CONTENT, ToyState, lengths, toy, toy_step

FORBIDDEN = (PAD, START)


def sampled_of(state: ToyState, draws: np.ndarray, temperature: float = 1.0) -> list[Hypothesis]:
    step = sampled(toy_step, Sampling(draws, temperature), FORBIDDEN)
    maxima = lengths(*[draws.shape[1]] * len(draws))
    begun = SampledState(state, torch.from_numpy(draws))
    options = SearchOptions(forbidden=FORBIDDEN)
    return [found[0] for found in beam_search(step, begun, options, beam=1, max_lengths=maxima)]


def one_table(sentences: int) -> ToyState:
    return ToyState(*(part.expand(sentences, *part.shape[1:]) for part in toy(3, 1)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_come_as_often_as_the_model_says_but_for_those_that_never_may(temperature: float) -> None:
    count = 20_000
    found = sampled_of(one_table(count), np.random.Generator(np.random.PCG64(1)).random((count, 2)), temperature)
    logged = toy(3, 1).table[0, START, START]
    may = [END, *CONTENT]
    expected = (logged[may] / temperature).softmax(0)
    first = [each.tokens[0] if each.tokens else END for each in found]
    assert set(first) <= set(may)
    shares = torch.tensor([first.count(token) / count for token in may])
    torch.testing.assert_close(shares, expected, atol=0.015, rtol=0)
    for each, token in zip(found[:50], first, strict=False):
        assert each.log_probabilities[0] == pytest.approx(float(logged[token]), abs=1e-6)


def test_a_sentence_is_sampled_alone_as_among_others() -> None:
    state, draws = toy(5, 9), np.random.Generator(np.random.PCG64(2)).random((9, 6))
    for sentence, together in enumerate(sampled_of(state, draws)):
        (alone,) = sampled_of(state.keep(torch.tensor([sentence])), draws[sentence : sentence + 1])
        assert alone.tokens == together.tokens


def test_a_temperature_near_zero_is_greedy_search() -> None:
    state, draws = toy(7, 9), np.full((9, 5), 0.5)
    greedy = beam_search(toy_step, state, SearchOptions(), beam=1, max_lengths=lengths(*[5] * 9))
    assert [each.tokens for each in sampled_of(state, draws, 1e-6)] == [found[0].tokens for found in greedy]
