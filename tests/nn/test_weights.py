"""Weights come back as they were written, shared ones shared, and only those of the model are taken."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from s2s.errors import RunError
from s2s.forecast.data import SeriesData
from s2s.forecast.model import Forecaster
from s2s.forecast.recipe import ForecastModel
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageModel
from s2s.nn.weights import frozen, load_model, load_tensors, put_weights, save_tensors, weights_of
from s2s.translation.model import build_seq2seq
from s2s.translation.recipe import Seq2SeqModel


class Shared(nn.Module):
    """Two layers that share one matrix."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, size)
        self.output = nn.Linear(size, 5)
        self.output.weight = self.embedding.weight


def test_a_round_trip_gives_every_type_and_shape_back(tmp_path: Path) -> None:
    tensors = {
        "weight": torch.randn(3, 4),
        "step": torch.tensor(7.0),
        "empty": torch.zeros(0, 2),
        "random": torch.get_rng_state(),
        "turned": torch.arange(6.0).view(2, 3).T,
        "half": torch.randn(3).bfloat16(),
    }
    save_tensors(tmp_path / "deep" / "a.safetensors", tensors)
    loaded = load_tensors(tmp_path / "deep" / "a.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_the_same_tensors_are_the_same_bytes(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(2), "a": torch.zeros(3)}
    save_tensors(tmp_path / "one", tensors)
    save_tensors(tmp_path / "two", dict(reversed(tensors.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_shared_weight_stands_once_and_comes_back_shared() -> None:
    model, other = Shared(), Shared()
    weights = weights_of(model)
    assert set(weights) == {"embedding.weight", "output.bias"}
    put_weights(other, weights, origin="x")
    assert other.output.weight is other.embedding.weight
    assert torch.equal(other.output.weight, model.output.weight)
    assert other.output.weight is not model.output.weight


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_found_before_any_weight_changes(value: float) -> None:
    model, weights = Shared(), {name: weight + 1 for name, weight in weights_of(Shared()).items()}
    before = {name: weight.clone() for name, weight in weights_of(model).items()}
    weights["output.bias"][-1] = value
    with pytest.raises(RunError, match=r"runs/a/best: output.bias holds numbers that are not finite.*learning_rate"):
        put_weights(model, weights, origin="runs/a/best")
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(model).items())


def test_a_frozen_copy_has_no_gradients_and_does_not_change_with_its_model() -> None:
    model = Shared().train()
    copied = frozen(model, torch.device("cpu"))
    before = {name: weight.clone() for name, weight in weights_of(copied).items()}
    with torch.no_grad():
        for weight in model.parameters():
            weight.neg_()
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(copied).items())
    assert copied.output.weight is copied.embedding.weight
    assert not any(weight.requires_grad for weight in copied.parameters())
    assert (model.training, copied.training) == (True, False)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "translation": lambda: build_seq2seq(
        Seq2SeqModel(embedding_size=4, hidden_size=6, tied_embeddings="all"), source_vocabulary=9, target_vocabulary=9
    ),
    "language": lambda: build_language_model(LanguageModel(embedding_size=4, hidden_size=4, output="tied"), 9),
    "forecast": lambda: Forecaster(
        ForecastModel(hidden_size=4, autoregression=True),
        SeriesData(series="x/y", inputs=("a", "b"), targets=("a",), window=3, horizon=2),
    ),
}


@pytest.mark.parametrize("task", BUILDERS)
def test_a_loaded_model_shares_what_is_shared_and_takes_no_random_number(task: str, tmp_path: Path) -> None:
    path, build = tmp_path / "best.safetensors", BUILDERS[task]
    model = build()
    save_tensors(path, weights_of(model))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loaded = load_model(build, path)
    assert torch.equal(torch.rand(3), expected)
    assert [name for name, _ in loaded.named_parameters()] == [name for name, _ in model.named_parameters()]
    for name, weight in model.named_parameters():
        own = loaded.get_parameter(name)
        assert own.requires_grad
        assert torch.equal(own, weight)


def test_weights_of_another_model_are_refused_by_name() -> None:
    weights = {**weights_of(Shared()), "extra.weight": torch.zeros(1)}
    del weights["output.bias"]
    with pytest.raises(RunError, match=r"runs/a/best: holds the weights of another model.*extra\.weight, output\.bias"):
        put_weights(Shared(), weights, origin="runs/a/best")


def test_weights_of_another_size_are_refused_with_both_sizes() -> None:
    with pytest.raises(RunError, match=r"runs/a/best: embedding\.weight is \(5, 4\), the recipe says \(5, 3\)"):
        put_weights(Shared(3), weights_of(Shared(4)), origin="runs/a/best")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone\.safetensors: no such file"):
        load_tensors(tmp_path / "gone.safetensors")


def test_a_file_cut_off_anywhere_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    save_tensors(path, {"weight": torch.randn(2, 2), "bias": torch.randn(2)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match=r"cut\.safetensors: damaged"):
            load_tensors(path)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_damaged_whatever_it_holds(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.safetensors"
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"garbage\.safetensors: damaged"):
        load_tensors(path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path, evidence = tmp_path / "evil.safetensors", tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(evidence),)

    torch.save({"weight": Evil()}, path)
    with pytest.raises(RunError, match="damaged"):
        load_tensors(path)
    assert not evidence.exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.safetensors"
    save_tensors(path, {"weight": torch.zeros(2)})

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_tensors(path, {"weight": torch.ones(2)})
    assert torch.equal(load_tensors(path)["weight"], torch.zeros(2))
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]
