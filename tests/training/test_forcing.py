"""Teacher forcing: the schedules of Bengio et al. (2015), and what the decoder is fed."""

import math
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from s2s.device import choose_compute
from s2s.text.batches import Batch, collate
from s2s.text.wordlist import CharacterTokenizer
from s2s.training.forcing import ScheduledSampling, forcing_rate
from s2s.translation.data import PairSplit, TranslationData
from s2s.translation.model import Seq2Seq, build_seq2seq
from s2s.translation.pairs import Held
from s2s.translation.recipe import Seq2SeqModel, TeacherForcing, Training, TranslationRecipe
from s2s.translation.task import TranslationTask

Schedule = Literal["constant", "linear", "exponential", "inverse_sigmoid"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
VOCABULARY = 10
shares = st.floats(0.0, 1.0)


@settings(deadline=None)
@given(shares, shares, st.integers(1, 10**5), st.integers(0, 10**6))
def test_schedules_are_the_formulas_of_the_paper(rate: float, floor: float, steps: int, step: int) -> None:
    """Section 2.4 there: max(floor, k - c i), k^i and k / (k + exp(i / k)) at step i, here times the first rate."""
    fall = max(rate - floor, 0.0) / steps
    assert forcing_rate(step, "linear", rate=rate, floor=floor, steps=steps) == pytest.approx(
        max(floor, rate - fall * step)
    )
    base = math.exp(-1 / steps)
    assert forcing_rate(step, "exponential", rate=rate, floor=floor, steps=steps) == pytest.approx(
        max(floor, rate * base**step)
    )
    sigmoid = steps / (steps + math.exp(step / steps)) if step / steps < 700 else 0.0
    assert forcing_rate(step, "inverse_sigmoid", rate=rate, floor=floor, steps=steps) == pytest.approx(
        max(floor, rate * sigmoid)
    )
    assert forcing_rate(step, "constant", rate=rate, floor=floor, steps=steps) == rate


@settings(deadline=None)
@given(st.sampled_from(SCHEDULES[1:]), shares, shares, st.integers(1, 1000), st.lists(st.integers(0, 10**7)))
def test_a_rate_is_a_probability_that_only_falls_and_not_below_its_floor(
    schedule: Schedule, rate: float, floor: float, steps: int, at: list[int]
) -> None:
    values = [forcing_rate(step, schedule, rate=rate, floor=floor, steps=steps) for step in sorted(at)]
    assert all(floor <= value <= max(rate, floor) for value in values)
    assert values == sorted(values, reverse=True)


def test_schedules_start_at_the_rate_and_reach_what_their_steps_say() -> None:
    at = {"rate": 0.8, "floor": 0.1, "steps": 100}
    for schedule in ("constant", "linear", "exponential"):
        assert forcing_rate(0, schedule, **at) == 0.8  # type: ignore[arg-type]
    assert forcing_rate(0, "inverse_sigmoid", **at) == pytest.approx(0.8 * 100 / 101)  # type: ignore[arg-type]
    assert forcing_rate(100, "linear", **at) == pytest.approx(0.1)  # type: ignore[arg-type]
    assert forcing_rate(50, "linear", **at) == pytest.approx(0.45)  # type: ignore[arg-type]
    assert forcing_rate(100, "exponential", **at) == pytest.approx(0.8 / math.e)  # type: ignore[arg-type]


def coins(rate: float, rows: int, steps: int, feed: Literal["greedy", "sampled"] = "greedy") -> Tensor:
    """(rows, steps), True where the gold token was fed; the model never says it."""
    choose = ScheduledSampling(rate, feed)
    gold = torch.zeros(rows, 1, dtype=torch.long)
    logits = torch.zeros(rows, 1, VOCABULARY).index_fill_(2, torch.tensor([0]), -torch.inf)
    return torch.cat([choose(gold, logits) == gold for _ in range(steps)], dim=1)


@pytest.mark.parametrize("feed", ["greedy", "sampled"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_each_token_is_gold_with_the_probability_of_the_rate(rate: float, feed: Literal["greedy", "sampled"]) -> None:
    torch.manual_seed(1)
    forced = coins(rate, 400, 50, feed)
    deviation = math.sqrt(rate * (1 - rate) / forced.numel())
    assert abs(float(forced.double().mean()) - rate) <= 5 * deviation


def test_coins_are_sampled_per_token_not_per_sentence_or_step() -> None:
    torch.manual_seed(1)
    forced = coins(0.5, 200, 100).double()
    assert float((forced.mean(dim=1) - 0.5).abs().max()) < 5 * 0.5 / math.sqrt(100)
    assert float((forced.mean(dim=0) - 0.5).abs().max()) < 5 * 0.5 / math.sqrt(200)
    again = (forced[:, 1:] == forced[:, :-1]).double().mean()
    assert abs(float(again) - 0.5) < 5 * 0.5 / math.sqrt(200 * 99)


def test_a_sampled_token_follows_the_model_and_a_greedy_one_is_its_best() -> None:
    torch.manual_seed(1)
    probabilities = torch.tensor([0.1, 0.2, 0.3, 0.4])
    logits = probabilities.log().expand(20_000, 1, 4)
    gold = torch.zeros(20_000, 1, dtype=torch.long)
    shares = torch.bincount(ScheduledSampling(0.0, "sampled")(gold, logits)[:, 0], minlength=4) / 20_000
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=5 * 0.5 / math.sqrt(20_000))
    assert (ScheduledSampling(0.0, "greedy")(gold, logits) == 3).all()


def build(**values: Any) -> Seq2Seq:
    torch.manual_seed(3)
    model = Seq2SeqModel(**{"embedding_size": 4, "hidden_size": 6} | values)
    built = build_seq2seq(model, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY)
    for weight in built.parameters():
        torch.nn.init.uniform_(weight, -0.7, 0.7)
    return built


def batch() -> Batch:
    return collate([[4, 5, 6], [7, 8]], [[5, 6, 7, 8, 9], [9, 4, 9]])


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_at_rate_zero_the_decoder_is_fed_its_own_tokens_only(cell: str, feeding: bool) -> None:
    """Other gold tokens give the same readout, and what it says is what a decoding loop by hand says."""
    model, given_batch = build(cell=cell, input_feeding=feeding), batch()
    other = torch.cat([given_batch.inputs[:, :1], (given_batch.inputs[:, 1:] + 3) % VOCABULARY], dim=1)
    choose = ScheduledSampling(0.0)
    readouts = [
        model(given_batch.source, given_batch.source_lengths, inputs, choose).readout
        for inputs in (given_batch.inputs, other)
    ]
    assert torch.equal(*readouts)
    state, memory = model.begin(given_batch.source, given_batch.source_lengths)
    tokens = given_batch.inputs[:, :1]
    for step in range(given_batch.inputs.shape[1]):
        output = model.decoder.step(tokens, state, memory)
        state = output.state
        torch.testing.assert_close(readouts[0][:, step : step + 1], output.readout)
        tokens = model.decoder.logits(output.readout).argmax(dim=2)


@pytest.mark.parametrize("feeding", [False, True])
def test_at_rate_one_the_steps_give_the_values_of_whole_sentences(feeding: bool) -> None:
    model, given_batch = build(input_feeding=feeding), batch()
    whole = model(given_batch.source, given_batch.source_lengths, given_batch.inputs)
    forced = model(given_batch.source, given_batch.source_lengths, given_batch.inputs, ScheduledSampling(1.0))
    torch.testing.assert_close(forced.readout, whole.readout, rtol=1e-5, atol=1e-6)


def test_no_gradient_passes_through_the_choice_of_a_token() -> None:
    logits = torch.randn(3, 1, VOCABULARY, requires_grad=True)
    chosen = ScheduledSampling(0.5, "sampled")(torch.zeros(3, 1, dtype=torch.long), logits)
    assert not chosen.requires_grad
    assert chosen.dtype == torch.long


class Lengths(NamedTuple):
    """A side of pairs of which only the lengths are asked for."""

    lengths: NDArray[np.int64] = np.array([3, 2])


class NoPairs:
    """A task's pairs where only the loss is asked for."""

    source = target = Lengths()
    tags = rows = None


@pytest.mark.parametrize(("schedule", "whole"), [("constant", True), ("linear", False)])
def test_a_task_runs_whole_sentences_while_the_rate_is_one(
    schedule: Schedule, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    forcing = TeacherForcing(schedule=schedule, rate=1.0, steps=10)
    split = PairSplit(pairs=(("ab", "ba"),))
    recipe = TranslationRecipe(
        task="translation",
        data=TranslationData(source="x", target="y", train=split, validation=split),
        training=Training(steps=20, teacher_forcing=forcing),
    )
    model = build()
    tokenizer = CharacterTokenizer(list("abcdef"))
    compute = choose_compute("cpu", "float32")
    task = TranslationTask(recipe, model, NoPairs(), Held([("ab", "ba")], [None], 0), tokenizer, tokenizer, compute)  # type: ignore[arg-type]
    stepped: list[Tensor] = []
    step = model.decoder.step
    monkeypatch.setattr(model.decoder, "step", lambda tokens, *rest: stepped.append(tokens) or step(tokens, *rest))
    task.loss(batch(), 0)
    assert stepped == []
    assert task.rates(5) == {"forcing_rate": 1.0 if whole else 0.5}
    task.loss(batch(), 5)
    assert (stepped == []) == whole
