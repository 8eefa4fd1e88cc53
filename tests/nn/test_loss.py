"""The chunked loss equals torch's cross-entropy, value and gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from s2s.nn import layers
from s2s.nn import loss as loss_module
from s2s.nn.loss import CHUNK_POSITIONS, Loss, linear_cross_entropy, scored

UNITS, VOCABULARY = 5, 11
CHUNK = CHUNK_POSITIONS["cpu"]


class Problem(NamedTuple):
    hidden: Tensor
    weight: Tensor
    bias: Tensor
    targets: Tensor

    def leaves(self) -> list[Tensor]:
        return [self.hidden, self.weight, self.bias]


def problem(positions: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight, bias = (
        torch.randn(*shape, generator=generator).to(dtype).requires_grad_()
        for shape in ((positions, UNITS), (VOCABULARY, UNITS), (VOCABULARY,))
    )
    return Problem(hidden, weight, bias, torch.randint(VOCABULARY, (positions,), generator=generator))


def reference(given: Problem, smoothing: float, consistency: float = 0.0) -> Tensor:
    logits = given.hidden @ given.weight.T + given.bias
    loss = cross_entropy(logits, given.targets, label_smoothing=smoothing, reduction="sum")
    if consistency:
        p, q = (logits[first::2].log_softmax(dim=1) for first in (0, 1))
        loss = loss + consistency * (
            kl_div(p, q, log_target=True, reduction="sum") + kl_div(q, p, log_target=True, reduction="sum")
        )
    return loss


def same(given: Problem, smoothing: float, *, rtol: float, atol: float, consistency: float = 0.0) -> None:
    """Value and all three gradients, with a factor as a mean over tokens has it."""
    fast = linear_cross_entropy(*given, smoothing, consistency)
    wanted = reference(given, smoothing, consistency)
    torch.testing.assert_close(fast.smoothed, wanted, rtol=rtol, atol=atol)
    torch.testing.assert_close(fast.nats, reference(given, 0.0).detach(), rtol=rtol, atol=atol)
    found = torch.autograd.grad(fast.smoothed * 0.37, given.leaves())
    expected = torch.autograd.grad(wanted * 0.37, given.leaves())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize(
    "positions",
    [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7],
)
def test_it_equals_cross_entropy_around_the_edges_of_chunks(positions: int, smoothing: float) -> None:
    same(problem(positions), smoothing, rtol=1e-10, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(
    positions=st.integers(0, 12),
    chunk=st.integers(1, 5),
    held=st.sampled_from([1, 60, 1 << 20]),
    whole=st.integers(1, 4),
    smoothing=st.floats(0.0, 0.99),
    seed=st.integers(0, 1000),
)
def test_it_equals_cross_entropy_whatever_the_chunk(
    positions: int, chunk: int, held: int, whole: int, smoothing: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_module, "CHUNK_POSITIONS", {"cpu": chunk})
        patch.setattr(loss_module, "LARGEST_GRADIENT", held)
        patch.setattr(layers, "WHOLE", whole)
        same(problem(positions, seed=seed), smoothing, rtol=1e-9, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(
    pairs=st.integers(0, 7),
    chunk=st.integers(2, 7),
    whole=st.integers(1, 4),
    consistency=st.floats(0.1, 5.0),
    seed=st.integers(0, 1000),
)
def test_divergences_of_pairs_equal_those_by_kl_div_whatever_the_chunk(
    pairs: int, chunk: int, whole: int, consistency: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_module, "CHUNK_POSITIONS", {"cpu": chunk})
        patch.setattr(loss_module, "LARGEST_GRADIENT", 1)
        patch.setattr(layers, "WHOLE", whole)
        same(problem(2 * pairs, seed=seed), 0.1, rtol=1e-9, atol=1e-10, consistency=consistency)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_equals_cross_entropy_in_float32(smoothing: float) -> None:
    same(problem(700, torch.float32), smoothing, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_under_autocast_it_is_near_and_its_sums_and_gradients_stay_float32(smoothing: float) -> None:
    given = problem(700, torch.float32)
    wanted = reference(given, smoothing)
    expected = torch.autograd.grad(wanted, given.leaves())
    with torch.autocast("cpu", torch.bfloat16):
        fast = linear_cross_entropy(*given, smoothing)
    found = torch.autograd.grad(fast.smoothed, given.leaves())
    assert fast.smoothed.dtype == torch.float32
    torch.testing.assert_close(fast.smoothed, wanted, rtol=5e-3, atol=0)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm()) < 0.02


def test_logits_far_from_zero_stay_finite() -> None:
    given = problem(4)
    extreme = Problem(given.hidden.detach() * 1e4, given.weight.detach(), given.bias.detach(), given.targets)
    for leaf in extreme.leaves():
        leaf.requires_grad_()
    same(extreme, 0.1, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_makes_none(off: type[torch.no_grad], monkeypatch: pytest.MonkeyPatch) -> None:
    made, chunks = list[bool](), loss_module._sums_and_gradient

    def spy(*arguments: Any) -> Tensor:
        made.append(arguments[5] is not None)
        return chunks(*arguments)

    monkeypatch.setattr(loss_module, "_sums_and_gradient", spy)
    given = problem(9)
    linear_cross_entropy(*given, 0.1)
    with off():
        fast = linear_cross_entropy(*given, 0.1)
    assert made == [True, False]
    assert not fast.smoothed.requires_grad
    torch.testing.assert_close(fast.smoothed, reference(given, 0.1).detach())


def test_a_shared_output_matrix_collects_the_gradients_of_both_uses() -> None:
    given = problem(6)
    hidden = given.weight[given.targets] + given.hidden
    (found,) = torch.autograd.grad(linear_cross_entropy(hidden, *given[1:]).smoothed, given.weight)
    logits = (given.weight[given.targets] + given.hidden) @ given.weight.T + given.bias
    (expected,) = torch.autograd.grad(cross_entropy(logits, given.targets, reduction="sum"), given.weight)
    torch.testing.assert_close(found, expected)


def test_it_counts_its_tokens_and_only_the_smoothed_sum_has_a_gradient() -> None:
    fast = linear_cross_entropy(*problem(13), 0.1)
    assert isinstance(fast, Loss)
    assert fast.tokens == 13
    assert fast.smoothed.requires_grad
    assert not fast.nats.requires_grad


@pytest.mark.parametrize("of", [lambda loss: loss, lambda loss: loss / 5, lambda loss: loss * loss])
def test_a_second_derivative_is_refused(of: Callable[[Tensor], Tensor]) -> None:
    given = problem(6)
    loss = of(linear_cross_entropy(*given).smoothed)
    torch.autograd.grad(loss, given.hidden, retain_graph=True)
    with pytest.raises(
        RuntimeError, match=r"linear_cross_entropy has no second derivative .* use torch.nn.functional.cross"
    ):
        torch.autograd.grad(loss, given.hidden, create_graph=True)


def test_scores_are_exact_for_a_million_tokens_too() -> None:
    logits = 4 * torch.randn(1, 1_000_000, generator=torch.Generator().manual_seed(1))
    found = scored(logits, torch.tensor([3]))
    exact = logits.double().log_softmax(1)
    assert float(found.log_probability) == pytest.approx(float(exact[0, 3]), abs=5e-6)
    assert float(found.highest) == pytest.approx(float(exact.max()), abs=5e-6)
