"""What a GPU computes equals what the processor does. These tests skip themselves where there is none."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from s2s.training.forcing import ScheduledSampling
from s2s.training.graphs import CAPTURED_WHEN_SEEN, ReplayedPass
from s2s.translation.model import Seq2Seq
from s2s.translation.search.beam import SearchOptions
from s2s.translation.search.graphs import ReplayedStep
from s2s.translation.search.greedy import greedy_search
from s2s.translation.search.step import Stepper
from tests.translation.test_model import batch_of, build, drawn, small

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
LENGTHS = [(5, 7), (9, 3), (1, 4), (8, 8)]


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def model_of(**values: Any) -> Seq2Seq:
    return build(small(**values), spread=0.5)


def loss_and_gradients(
    model: Seq2Seq, device: str, choose: ScheduledSampling | None, stepped: ReplayedPass | None = None
) -> list[torch.Tensor]:
    model.to(device).zero_grad()
    batch = batch_of(drawn(LENGTHS)).to(torch.device(device))
    loss = model.loss(
        batch.source, batch.source_lengths, batch.inputs, batch.targets,
        target_lengths=batch.target_lengths, smoothing=0.1, choose=choose, stepped=stepped,
    )  # fmt: skip
    loss.smoothed.backward()  # type: ignore[no-untyped-call]
    return [loss.smoothed.detach().cpu(), *(part.grad.cpu() for part in model.parameters() if part.grad is not None)]


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("stepped", [False, True])
def test_loss_and_gradients_are_those_of_the_processor(cell: str, stepped: bool) -> None:
    model = model_of(cell=cell, input_feeding=stepped).eval()
    choose = ScheduledSampling(1.0) if stepped else None
    expected = loss_and_gradients(model, "cpu", choose)
    found = loss_and_gradients(model, "cuda", choose)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("rate", [None, 0.0, 0.5])
def test_captured_passes_train_as_plain_ones_do(cell: str, rate: float | None) -> None:
    model = model_of(cell=cell, input_feeding=True, dropout={"layers": 0.3, "output": 0.3}).train().to("cuda")
    choose = None if rate is None else ScheduledSampling(rate)
    replayed = ReplayedPass(model.decoder)
    for seed in range(2 * CAPTURED_WHEN_SEEN):
        torch.manual_seed(seed)
        expected = loss_and_gradients(model, "cuda", choose)
        torch.manual_seed(seed)
        found = loss_and_gradients(model, "cuda", choose, replayed)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert replayed.graphs


@pytest.mark.parametrize("feeding", [False, True])
@torch.inference_mode()
def test_captured_steps_find_what_plain_ones_do(feeding: bool) -> None:
    model = model_of(input_feeding=feeding).eval().to("cuda")
    stepper = Stepper(model)
    replayed = ReplayedStep(stepper)
    for seed in range(6):
        batch = batch_of(drawn(LENGTHS, seed))
        longest = torch.full((len(LENGTHS),), 20)
        found, expected = (
            greedy_search(
                step, stepper.begin(batch.source.cuda(), batch.source_lengths), SearchOptions(),
                max_lengths=longest, min_lengths=longest // 2, device="cuda",
            )
            for step in (replayed, stepper)
        )  # fmt: skip
        assert [each.tokens for each in found] == [each.tokens for each in expected]
    assert replayed.graphs
