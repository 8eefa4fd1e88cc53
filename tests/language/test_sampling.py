"""Sampling tokens: what temperature, top-k, top-p and min-p leave, and how often each token comes."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s2s.language.sampling import Sampling

PROBABILITIES = torch.tensor([0.05, 0.4, 0.15, 0.3, 0.1])


def seeds(seed: int = 1, count: int = 20_000) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sample(logits: Tensor, draws: Tensor, **ways: Any) -> Tensor:
    return Sampling(**ways).sample(logits, draws)


def many(count: int = 20_000) -> Tensor:
    return PROBABILITIES.log().expand(count, -1)


def shares(sampled: Tensor) -> Tensor:
    return torch.bincount(sampled, minlength=len(PROBABILITIES)) / len(sampled)


def test_plain_samples_follow_the_probabilities() -> None:
    torch.testing.assert_close(shares(sample(many(), seeds())), PROBABILITIES, atol=0.015, rtol=0)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    expected = (PROBABILITIES.log() / temperature).softmax(dim=0)
    torch.testing.assert_close(shares(sample(many(), seeds(), temperature=temperature)), expected, atol=0.015, rtol=0)


def test_temperature_zero_is_the_most_likely_and_a_very_low_one_too() -> None:
    assert set(sample(many(50), seeds(count=50), temperature=0.0).tolist()) == {1}
    assert set(sample(many(50), seeds(count=50), temperature=1e-30).tolist()) == {1}
    assert set(sample(many(50), seeds(count=50), temperature=1e-50).tolist()) == {1}
    assert sample(torch.zeros(1, 4), seeds(count=1), temperature=0.0).item() == 0


def test_a_temperature_of_100_is_nearly_a_throw_of_dice() -> None:
    torch.testing.assert_close(
        shares(sample(many(), seeds(), temperature=100.0)), torch.full((5,), 0.2), atol=0.015, rtol=0
    )


def test_top_k_keeps_the_k_most_likely() -> None:
    assert set(sample(many(), seeds(), top_k=2).tolist()) == {1, 3}
    assert set(sample(many(), seeds(), top_k=99).tolist()) == {0, 1, 2, 3, 4}


def test_top_p_keeps_the_fewest_that_reach_p() -> None:
    assert set(sample(many(), seeds(), top_p=0.39).tolist()) == {1}
    assert set(sample(many(), seeds(), top_p=0.6).tolist()) == {1, 3}
    assert set(sample(many(), seeds(), top_p=0.75).tolist()) == {1, 2, 3}


def test_min_p_keeps_what_reaches_that_share_of_the_highest_probability() -> None:
    assert set(sample(many(), seeds(), min_p=1.0).tolist()) == {1}
    assert set(sample(many(), seeds(), min_p=0.5).tolist()) == {1, 3}
    assert set(sample(many(), seeds(), min_p=0.3).tolist()) == {1, 2, 3}
    assert set(sample(many(), seeds(), min_p=0.3, temperature=4.0).tolist()) == {0, 1, 2, 3, 4}
    torch.testing.assert_close(shares(sample(many(), seeds(), min_p=0.1)), PROBABILITIES, atol=0.015, rtol=0)


def test_the_ends_of_the_range_of_a_draw_give_tokens_that_are_possible() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -200.0, 1.0, -torch.inf]]).expand(3, -1)
    draws = torch.tensor([0.0, 1 - 2**-53, 0.5], dtype=torch.float64)
    assert sample(logits, draws).tolist() == [1, 3, 3]


@given(st.floats(0, 1, exclude_max=True), st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=9))
def test_a_token_covers_its_share_of_the_draws(draw: float, row: list[float]) -> None:
    probabilities = torch.tensor(row).double().softmax(0)
    (token,) = sample(torch.tensor([row]), torch.tensor([draw], dtype=torch.float64)).tolist()
    assert probabilities[:token].sum() <= draw + 1e-6
    assert draw <= probabilities[: token + 1].sum() + 1e-6


@given(st.integers(0, 9), st.floats(0.01, 1.0), st.integers(0, 6))
def test_one_seed_one_result_and_never_an_impossible_token(seed: int, top_p: float, top_k: int) -> None:
    logits = torch.tensor([[0.0, -torch.inf, 2.0, 1.0], [5.0, 5.0, -torch.inf, 5.0]])
    first = sample(logits, seeds(seed, 2), top_p=top_p, top_k=top_k)
    assert torch.equal(first, sample(logits, seeds(seed, 2), top_p=top_p, top_k=top_k))
    assert bool(torch.isfinite(logits.gather(1, first[:, None])).all())
