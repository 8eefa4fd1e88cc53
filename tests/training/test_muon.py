"""Muon: what is orthogonal after a step, what stays AdamW's, and that gates do not meet."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2s import Translator
from s2s.forecast.forecaster import SeriesForecaster
from s2s.language.generator import Generator
from s2s.training.muon import LENGTH, MOMENTUM, Muon, gates_of, orthogonalized
from s2s.translation.engine import engine_of

RATE = 0.1


class Small(nn.Module):
    """Every kind of weight that a model has."""

    def __init__(self, layer: type[nn.RNNBase] = nn.GRU) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(7, 4)
        self.layer = layer(4, 5, bidirectional=True)
        self.readout = nn.Linear(5, 4)
        self.output = nn.Linear(4, 7)

    def put_gradients(self, seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        for weight in self.parameters():
            weight.grad = torch.randn_like(weight)
        return {name: weight.grad.clone() for name, weight in self.named_parameters() if weight.grad is not None}


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(0, 20), st.integers(0, 1000))
def test_an_orthogonalized_matrix_keeps_its_directions_and_has_singular_values_of_about_one(
    rows: int, more: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, rows, generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(rows + more, rows, generator=generator, dtype=torch.float64))
    values = 0.05 + 0.95 * torch.rand(rows, generator=generator, dtype=torch.float64)
    found = left.T @ orthogonalized((left * values @ right.T)[None])[0] @ right
    assert torch.allclose(found, found.diagonal().diag(), atol=1e-9)
    assert ((found.diagonal() > 0.6) & (found.diagonal() < 1.3)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rank", [1, 2, 40])
def test_a_matrix_of_few_directions_is_not_blown_up_by_rounding(rank: int, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    matrices = (torch.randn(20, 40, rank) @ torch.randn(20, rank, 60)).to(dtype)
    values = torch.linalg.svdvals(orthogonalized(matrices).float())
    assert (values[:, 0] > 0.6).all()
    assert (values < 1.3).all()
    assert not orthogonalized(torch.zeros(1, 3, 4, dtype=dtype)).any()


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_each_gate_of_a_recurrent_layer_moves_by_an_orthogonal_matrix(layer: type[nn.RNNBase]) -> None:
    model = Small(layer)
    gates = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}[layer]
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    model.put_gradients(14)  # no gate's is nearly singular
    Muon(model, RATE, 0.0, torch.float32).step()
    for name, weight in model.named_parameters():
        if weight.dim() == 1 or "embedding" in name or "output" in name:
            continue
        for moved in (before[name] - weight.detach()).chunk(gates if name.startswith("layer") else 1):
            values = torch.linalg.svdvals(moved) / (RATE * LENGTH * max(moved.shape) ** 0.5)
            assert ((values > 0.72) & (values < 1.28)).all(), name


def test_gates_do_not_meet_and_the_length_of_a_gradient_does_not_count() -> None:
    one, other = Small(), Small()
    one.put_gradients(3)
    other.put_gradients(3)
    assert other.layer.weight_hh_l0.grad is not None
    other.layer.weight_hh_l0.grad[:5] *= 1000.0
    for model in (one, other):
        Muon(model, RATE, 0.0, torch.float32).step()
    for name, weight in one.named_parameters():
        assert torch.allclose(weight, other.get_parameter(name), atol=1e-5), name


def test_tokens_and_biases_are_updated_by_adamw() -> None:
    model, adam = Small(), Small()
    muon, reference = (
        Muon(model, RATE, 0.2, torch.float32),
        torch.optim.AdamW(adam.parameters(), RATE, weight_decay=0.2),
    )
    for seed in range(3):
        model.put_gradients(seed)
        adam.put_gradients(seed)
        muon.step()
        reference.step()
    for name, weight in model.named_parameters():
        same = torch.allclose(weight, adam.get_parameter(name), atol=1e-6)
        assert same == (weight.dim() == 1 or "embedding" in name or "output" in name), name


def test_a_matrix_follows_nesterov_s_momentum_and_decays() -> None:
    model = Small()
    muon, decay = Muon(model, RATE, 0.2, torch.float32), 1 - RATE * 0.2
    weight, momentum = model.readout.weight.detach().clone(), torch.zeros(4, 5)
    for seed in range(3):
        gradient = model.put_gradients(seed)["readout.weight"]
        muon.step()
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        ahead = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        weight = decay * weight - RATE * LENGTH * 5**0.5 * orthogonalized(ahead[None])[0]
    assert torch.allclose(weight, model.readout.weight, atol=1e-6)


def test_the_output_of_every_task_stays_with_adamw() -> None:
    runs = Path(__file__).parents[1] / "runs"
    models: list[nn.Module] = [
        SeriesForecaster.load(runs / "sunspots", device="cpu").model,
        Generator.load(runs / "words-one-to-five", device="cpu").model,
        engine_of(Translator.load(runs / "tiny-en-ko", device="cpu")).models[0],
    ]
    for model in models:
        orthogonal = {name for name, weight in model.named_parameters() if weight in gates_of(model)}
        assert any("weight_hh" in name for name in orthogonal)
        assert not [name for name in orthogonal if {"output", "head", "linear", "embedding"} & {*name.split(".")}]
        matrices = {name for name, weight in model.named_parameters() if weight.dim() == 2}
        assert matrices - orthogonal


def test_a_weight_without_a_gradient_stays() -> None:
    model = Small()
    before = model.readout.weight.detach().clone()
    model.put_gradients(1)
    model.readout.weight.grad = None
    Muon(model, RATE, 0.2, torch.float32).step()
    assert torch.equal(model.readout.weight, before)
