"""Captured passes train as plain ones do. The capturing itself needs a GPU (tests/test_cuda.py); here it is acted."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from s2s.text.batches import Batch
from s2s.training import graphs
from s2s.training.forcing import ScheduledSampling
from s2s.training.graphs import CAPTURED_WHEN_SEEN, Pass, ReplayedPass
from tests.translation.test_model import CELLS, batch_of, build, drawn, loss_of, small

LENGTHS = [(5, 7), (9, 3), (1, 4), (8, 8)]


class Acted(torch.autograd.Function):
    """What a CUDA graph does: it reads and fills the same tensors, and so do its gradients."""

    @staticmethod
    def forward(ctx: Any, memory: dict[str, Any], module: nn.Module, count: int, *tensors: Tensor) -> Any:
        ctx.memory, ctx.count = memory, count
        leaves = [each.detach().clone().requires_grad_(each.requires_grad) for each in tensors[:count]]
        with torch.enable_grad():
            outputs = module.forward(*leaves)
        memory["wanted"] = [*leaves, *tensors[count:]]
        memory["outputs"] = outputs
        kept = memory.setdefault("kept", [output.detach().clone() for output in outputs])
        for own, fresh in zip(kept, outputs, strict=True):
            own.copy_(fresh.detach())
        return tuple(own.detach() for own in kept)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        memory = ctx.memory
        wanted = [each for each in memory["wanted"] if each.requires_grad]
        pairs = [(out, slope) for out, slope in zip(memory["outputs"], slopes, strict=True) if out.requires_grad]
        outputs, given = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, wanted, given, allow_unused=True)
        own = memory.setdefault("slopes", [None if each is None else each.clone() for each in found])
        for place, fresh in zip(own, found, strict=True):
            if place is not None:
                place.copy_(fresh)
        left = iter(own)
        return None, None, None, *(next(left) if each.requires_grad else None for each in memory["wanted"])


def act(module: nn.Module, samples: tuple[Tensor, ...]) -> Pass:
    memory: dict[str, Any] = {}

    def again(*tensors: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = Acted.apply(memory, module, len(tensors), *tensors, *module.parameters())
        return found

    return again


def gradients(model: Any, batch: Batch, seed: int, **values: Any) -> list[Tensor]:
    torch.manual_seed(seed)
    loss = loss_of(model, batch, **values)
    loss.backward()  # type: ignore[no-untyped-call]
    found = [loss.detach(), *(part.grad.clone() for part in model.parameters() if part.grad is not None)]
    model.zero_grad()
    return found


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rate", [None, 0.5])
@pytest.mark.parametrize("capture", [act, lambda module, samples: module], ids=["acted", "plain"])
def test_captured_passes_train_as_plain_ones_do(cell: str, rate: float | None, capture: graphs.Capture) -> None:
    model = build(small(cell=cell, input_feeding=True, dropout={"layers": 0.3, "output": 0.3}), spread=0.5).train()
    replayed, choose = ReplayedPass(model.decoder, capture), None if rate is None else ScheduledSampling(rate)
    for seed in range(3 * CAPTURED_WHEN_SEEN):
        batch = batch_of(drawn(LENGTHS, seed)).widened(8)
        expected = gradients(model, batch, seed, choose=choose)
        found = gradients(model, batch, seed, choose=choose, stepped=replayed)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
    assert len(replayed.graphs) == 1


def test_gradients_of_several_passes_add_up() -> None:
    model = build(small(input_feeding=True), spread=0.5).train()
    replayed = ReplayedPass(model.decoder, act)
    batches = [batch_of(drawn(LENGTHS, seed)) for seed in range(2)]
    for _ in range(CAPTURED_WHEN_SEEN):
        gradients(model, batches[0], 0, stepped=replayed)
    assert replayed.graphs
    for stepped in (None, replayed):
        for batch in batches:
            loss_of(model, batch, stepped=stepped).backward()  # type: ignore[no-untyped-call]
        found = [part.grad.clone() for part in model.parameters() if part.grad is not None]
        model.zero_grad()
        if stepped is None:
            expected = found
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_forcing_rate_is_not_taken_for_another() -> None:
    model = build(small(), spread=0.5).train()
    replayed, batch = ReplayedPass(model.decoder, act), batch_of(drawn(LENGTHS))
    for rate in (0.0, 0.5, 0.9):
        for _ in range(2 * CAPTURED_WHEN_SEEN):
            expected = gradients(model, batch, 1, choose=ScheduledSampling(rate))
            found = gradients(model, batch, 1, choose=ScheduledSampling(rate), stepped=replayed)
            torch.testing.assert_close(found[0], expected[0])
    assert len(replayed.graphs) == 3


def test_the_oldest_graph_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "LARGEST_GRAPHS", 2)
    model = build(small(input_feeding=True)).train()
    replayed = ReplayedPass(model.decoder, act)
    for width in (3, 4, 5, 3):
        for _ in range(CAPTURED_WHEN_SEEN):
            gradients(model, batch_of(drawn([(width, width)])), 1, stepped=replayed)
    assert len(replayed.graphs) == 2


def wrong(module: nn.Module, samples: tuple[Tensor, ...]) -> Pass:
    return lambda *tensors: tuple(1.1 * output for output in module(*tensors))


def refused(module: nn.Module, samples: tuple[Tensor, ...]) -> Pass:
    raise RuntimeError("no graphs here")


@pytest.mark.parametrize(("capture", "said"), [(wrong, "other gradients"), (refused, "no graphs here")])
def test_a_device_that_refuses_or_is_wrong_is_warned_of_and_stepped(
    capture: graphs.Capture, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = build(small(input_feeding=True), spread=0.5).train()
    replayed, batch = ReplayedPass(model.decoder, capture), batch_of(drawn(LENGTHS))
    for _ in range(2 * CAPTURED_WHEN_SEEN):
        expected = gradients(model, batch, 1)
        for one, other in zip(gradients(model, batch, 1, stepped=replayed), expected, strict=True):
            torch.testing.assert_close(one, other)
    assert not replayed.graphs
    assert caplog.text.count(said) == 1
