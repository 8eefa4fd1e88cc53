"""Captured passes train as plain ones do. The capturing itself needs a GPU (tests/test_cuda.py); here it is acted."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from s2s.nn.graphs import CAPTURED_WHEN_SEEN
from s2s.text.batches import Batch
from s2s.training import graphs
from s2s.training.forcing import ScheduledSampling
from s2s.training.graphs import Pass, ReplayedPass
from tests.translation.test_model import CELLS, batch_of, build, drawn, loss_of, small

LENGTHS = [(5, 7), (9, 3), (1, 4), (8, 8)]


class Acted(torch.autograd.Function):
    """What a CUDA graph does: it reads and fills the same tensors, and so do its gradients."""

    @staticmethod
    def forward(ctx: Any, memory: dict[str, Any], function: Pass, samples: tuple[Tensor, ...], *given: Tensor) -> Any:
        ctx.memory = memory
        for own, fresh in zip(samples, given, strict=True):
            if own.data_ptr() != fresh.data_ptr():
                own.copy_(fresh)
        with torch.enable_grad():
            memory["outputs"] = function(*samples)
        return tuple(own.detach() for own in filled(memory, "values", memory["outputs"]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        memory, samples = ctx.memory, ctx.memory["samples"]
        pairs = [(out, each) for out, each in zip(memory["outputs"], gradients, strict=True) if out.requires_grad]
        wanted = [each for each in samples if each.requires_grad]
        outputs, given = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, wanted, given, allow_unused=True)
        left = iter(filled(memory, "gradients", found))
        return None, None, None, *(next(left) if each.requires_grad else None for each in samples)


def filled(memory: dict[str, Any], name: str, found: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    """The same tensors each time, with the values found."""
    kept: list[Tensor | None] = memory.setdefault(name, [None if each is None else each.clone() for each in found])
    with torch.no_grad():
        for own, fresh in zip(kept, found, strict=True):
            if own is not None and fresh is not None:
                own.copy_(fresh)
    return kept


def act(function: Pass, samples: tuple[Tensor, ...]) -> Pass:
    memory: dict[str, Any] = {"samples": samples}
    return lambda *given: Acted.apply(memory, function, samples, *given)  # type: ignore[no-untyped-call, no-any-return]


def gradients(
    model: Any, batch: Batch, seed: int, *, replayed: ReplayedPass | None = None, **values: Any
) -> list[Tensor]:
    torch.manual_seed(seed)
    model.decoder.replayed = replayed
    loss = loss_of(model, batch, **values)
    loss.backward()  # type: ignore[no-untyped-call]
    found = [loss.detach(), *(part.grad.clone() for part in model.parameters() if part.grad is not None)]
    model.zero_grad()
    return found


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rate", [None, 0.5])
@pytest.mark.parametrize("tied", ["all", "none"])
def test_captured_passes_train_as_plain_ones_do(cell: str, rate: float | None, tied: str) -> None:
    dropout = {"layers": 0.3, "output": 0.3}
    model = build(small(cell=cell, input_feeding=True, dropout=dropout, tied_embeddings=tied), spread=0.5).train()
    replayed, choose = ReplayedPass(model.decoder, act), None if rate is None else ScheduledSampling(rate)
    for seed in range(2 * CAPTURED_WHEN_SEEN):
        batch = batch_of(drawn(LENGTHS, seed)).widened(8)
        expected = gradients(model, batch, seed, choose=choose)
        found = gradients(model, batch, seed, choose=choose, replayed=replayed)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
    assert len(replayed.graphs.kept) == 1


def test_gradients_of_several_passes_add_up() -> None:
    model = build(small(input_feeding=True), spread=0.5).train()
    replayed = ReplayedPass(model.decoder, act)
    batches = [batch_of(drawn(LENGTHS, seed)) for seed in range(2)]
    for _ in range(CAPTURED_WHEN_SEEN):
        gradients(model, batches[0], 0, replayed=replayed)
    assert replayed.graphs.kept
    for model.decoder.replayed in (None, replayed):
        for batch in batches:
            loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        found = [part.grad.clone() for part in model.parameters() if part.grad is not None]
        model.zero_grad()
        if model.decoder.replayed is None:
            expected = found
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_graph_serves_every_forcing_rate() -> None:
    model = build(small(), spread=0.5).train()
    replayed, batch = ReplayedPass(model.decoder, act), batch_of(drawn(LENGTHS))
    for feed in ("greedy", "sampled"):
        plain = ReplayedPass(model.decoder, refused)
        for rate in (0.0, 0.3, 0.5, 0.7, 0.9):
            choose = ScheduledSampling(rate, feed)
            expected = gradients(model, batch, 1, choose=choose, replayed=plain)
            for one, other in zip(gradients(model, batch, 1, choose=choose, replayed=replayed), expected, strict=True):
                torch.testing.assert_close(one, other)
    assert len(replayed.graphs.kept) == 2


def test_weights_that_move_to_other_memory_are_followed() -> None:
    model = build(small(input_feeding=True), spread=0.5).train()
    replayed, batch = ReplayedPass(model.decoder, act), batch_of(drawn(LENGTHS))
    for _ in range(2 * CAPTURED_WHEN_SEEN):
        for weight in model.parameters():
            weight.data = 0.9 * weight.data
        expected = gradients(model, batch, 1)
        for one, other in zip(gradients(model, batch, 1, replayed=replayed), expected, strict=True):
            torch.testing.assert_close(one, other)
    assert replayed.graphs.kept


def test_a_copied_decoder_begins_without_graphs() -> None:
    model = build(small(input_feeding=True))
    model.decoder.replayed = ReplayedPass(model.decoder, act)
    assert deepcopy(model).decoder.replayed is None


def test_the_oldest_graph_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "LARGEST_GRAPHS", 2)
    model = build(small(input_feeding=True)).train()
    replayed = ReplayedPass(model.decoder, act)
    for width in (3, 4, 5, 3):
        for _ in range(CAPTURED_WHEN_SEEN):
            gradients(model, batch_of(drawn([(width, width)])), 1, replayed=replayed)
    assert len(replayed.graphs.kept) == 2


def wrong(function: Pass, samples: tuple[Tensor, ...]) -> Pass:
    right = act(function, samples)
    return lambda *given: tuple(1.1 * output for output in right(*given))


def empty(function: Pass, samples: tuple[Tensor, ...]) -> Pass:
    """What torch captures on another device than the tensors': nothing, so that only the first values remain."""
    found = function(*samples)
    return lambda *given: found


def refused(function: Pass, samples: tuple[Tensor, ...]) -> Pass:
    raise RuntimeError("no graphs here")


@pytest.mark.parametrize(
    ("capture", "said"), [(wrong, "other values"), (empty, "other values"), (refused, "no graphs here")]
)
def test_a_device_that_refuses_or_is_wrong_is_warned_of_and_stepped(
    capture: graphs.Capture, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = build(small(input_feeding=True), spread=0.5).train()
    replayed, batch = ReplayedPass(model.decoder, capture), batch_of(drawn(LENGTHS))
    for _ in range(2 * CAPTURED_WHEN_SEEN):
        expected = gradients(model, batch, 1)
        for one, other in zip(gradients(model, batch, 1, replayed=replayed), expected, strict=True):
            torch.testing.assert_close(one, other)
    assert not replayed.graphs.kept
    assert caplog.text.count(said) == 1
