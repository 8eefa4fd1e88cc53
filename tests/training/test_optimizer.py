"""The update rules and the learning rate over the steps, recomputed from their papers."""

import math
from typing import Literal, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from torch import nn

from s2s.recipe.sections import Optimization
from s2s.training.optimizer import build_optimizer, learning_rate_factor

Schedule = Literal["constant", "inverse_square_root", "cosine", "plateau"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)


@limits(deadline=None)
@given(st.sampled_from(SCHEDULES), st.integers(1, 500))
def test_the_warm_up_rises_in_equal_parts_to_one(schedule: Schedule, warmup: int) -> None:
    settings = Optimization(steps=2 * warmup, schedule=schedule, warmup_steps=warmup)
    rates = [learning_rate_factor(settings, step, 2 * warmup, 0) for step in range(warmup)]
    assert rates[0] == pytest.approx(1 / warmup)
    assert rates[-1] == 1.0
    assert rates == pytest.approx([(step + 1) / warmup for step in range(warmup)])


@limits(deadline=None)
@given(st.sampled_from(SCHEDULES), st.integers(0, 50), st.integers(0, 6))
def test_after_the_warm_up_the_rate_never_rises_and_stays_a_share(
    schedule: Schedule, warmup: int, halvings: int
) -> None:
    settings = Optimization(steps=warmup + 60, schedule=schedule, warmup_steps=warmup)
    steps = range(warmup, warmup + 80)
    rates = [learning_rate_factor(settings, step, warmup + 60, halvings) for step in steps]
    assert rates == sorted(rates, reverse=True)
    assert all(0.0 <= rate <= 1.0 for rate in rates)


@limits(deadline=None)
@given(st.integers(0, 100), st.integers(1, 1000), st.integers(0, 2000))
def test_schedules_are_their_formulas(warmup: int, rest: int, after: int) -> None:
    step, total = warmup + after, warmup + rest

    def factor(schedule: Schedule, halvings: int = 0) -> float:
        settings = Optimization(steps=total, schedule=schedule, warmup_steps=warmup)
        return learning_rate_factor(settings, step, total, halvings)

    assert factor("constant") == 1.0
    root = factor("inverse_square_root")
    assert root == pytest.approx(((step + 1) / max(warmup, 1)) ** -0.5)
    done = min(after / rest, 1.0)
    assert factor("cosine") == pytest.approx((1 + math.cos(done * math.pi)) / 2)
    for halvings in range(4):
        assert factor("plateau", halvings) == 1 / 2**halvings


def test_cosine_is_one_half_and_zero_at_its_beginning_middle_and_end() -> None:
    settings = Optimization(steps=110, schedule="cosine", warmup_steps=10)
    at = [learning_rate_factor(settings, step, 110, 0) for step in (10, 60, 110, 111)]
    assert at == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-12)


def stepped(kind: Literal["adam", "adamw", "sgd"], gradients: list[float], **values: float) -> float:
    """The one weight, 1 at first, after these gradients."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(model.weight)
    settings = Optimization(steps=1, optimizer=kind, learning_rate=0.1, **values)  # type: ignore[arg-type]
    optimizer = build_optimizer(model, settings, torch.float64)
    for gradient in gradients:
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
    return model.weight.item()


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_is_the_algorithm_of_its_paper_and_adamw_decays_apart_from_it(
    kind: Literal["adam", "adamw"], decay: float
) -> None:
    """Kingma & Ba (2015, algorithm 1); Loshchilov & Hutter (2019, algorithm 2)."""
    gradients = [0.5, -2.0, 0.1, 0.0]
    weight, first, second = 1.0, 0.0, 0.0
    for count, given_gradient in enumerate(gradients, start=1):
        gradient = given_gradient + (decay * weight if kind == "adam" else 0.0)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        if kind == "adamw":
            weight -= 0.1 * decay * weight
        weight -= 0.1 * (first / (1 - 0.9**count)) / (math.sqrt(second / (1 - 0.999**count)) + 1e-8)
    assert stepped(kind, gradients, weight_decay=decay) == pytest.approx(weight, rel=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_steps_along_the_gradient_and_keeps_its_momentum(momentum: float) -> None:
    gradients, weight, velocity = [0.5, -2.0, 0.1], 1.0, 0.0
    for gradient in gradients:
        velocity = momentum * velocity + gradient + 0.2 * weight
        weight -= 0.1 * velocity
    assert stepped("sgd", gradients, momentum=momentum, weight_decay=0.2) == pytest.approx(weight, rel=1e-9)
