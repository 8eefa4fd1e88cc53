"""`last/` is one whole checkpoint at every instant."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2s.errors import RunError
from s2s.nn.weights import save_tensors
from s2s.recipe.sections import Optimization
from s2s.training.checkpoint import Checkpoint, average, load_checkpoint, put_state, save_checkpoint, state_of, under
from s2s.training.optimizer import build_optimizer


class Killed(BaseException):
    """A kill: nothing catches it."""


def at(step: int) -> Checkpoint:
    """A checkpoint whose every part says its step."""
    return Checkpoint(
        {"model.weight": torch.full((3,), float(step))}, {"step": step}, [f"validated-{step}.safetensors"]
    )


def save(folder: Path, step: int) -> None:
    """As the trainer does: the file for the average first."""
    save_tensors(folder / f"validated-{step}.safetensors", {"weight": torch.full((3,), float(step))})
    save_checkpoint(folder, at(step))


def whole(folder: Path) -> int:
    """The step that all parts agree on."""
    loaded = load_checkpoint(folder)
    assert loaded is not None
    step = int(loaded.progress["step"])
    assert torch.equal(loaded.tensors["model.weight"], torch.full((3,), float(step)))
    assert loaded.averaged == [f"validated-{step}.safetensors"]
    assert (folder / loaded.averaged[0]).exists()
    return step


def test_a_checkpoint_comes_back_as_it_was_saved_and_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for step in (10, 20):
        save(tmp_path, step)
        assert whole(tmp_path) == step
    names = {"checkpoint.json", "state-20.safetensors", "validated-20.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_where_nothing_was_saved_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "last") is None


def kill_at(patch: pytest.MonkeyPatch, owner: Any, name: str, count: int, when: Literal["before", "after"]) -> None:
    """Make the count-th call of a function the last thing that happens, or the thing that does not."""
    function: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(count))

    def dying(*args: Any, **values: Any) -> Any:
        if next(calls, None) is not None:
            return function(*args, **values)
        if when == "after":
            function(*args, **values)
        raise Killed

    patch.setattr(owner, name, dying)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("function", "calls"), [("replace", 3), ("fsync", 6)])
def test_killed_at_any_rename_or_flush_it_still_loads_as_one_whole(
    tmp_path: Path, function: str, calls: int, when: Literal["before", "after"]
) -> None:
    """A save renames three files: the weights for the average, the state, and the index that makes both count.

    Each is flushed before, and its folder after.
    """
    for count in range(calls + 1):
        folder = tmp_path / str(count)
        save(folder, 10)
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, os, function, count, when)
            if count < calls:
                with pytest.raises(Killed):
                    save(folder, 20)
            else:
                save(folder, 20)  # so there is no call more
        renamed = count == calls or (count == calls - 1 and (function, when) != ("replace", "before"))
        assert whole(folder) == (20 if renamed else 10)
        save(folder, 30)
        assert whole(folder) == 30


@pytest.mark.parametrize("count", range(3))
def test_killed_while_it_removes_old_files_it_still_loads_as_one_whole(tmp_path: Path, count: int) -> None:
    save(tmp_path, 10)
    (tmp_path / ".state-11.safetensors.1234.tmp").write_bytes(b"left by a kill")
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, Path, "unlink", count, "before")
        with pytest.raises(Killed):
            save(tmp_path, 20)
    assert whole(tmp_path) == 20
    save(tmp_path, 30)
    assert len(list(tmp_path.iterdir())) == 3, "what was left over is removed by the next save"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "state": "a", "averaged": null, "progress": {}}', "\xff"],
)
def test_a_damaged_index_is_an_error_that_names_it_and_a_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "checkpoint.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(
        RunError, match=r"checkpoint\.json: damaged; put back a copy of .*, or start a new run with --out"
    ):
        load_checkpoint(tmp_path)


def test_a_checkpoint_of_another_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    save(tmp_path, 10)
    index = json.loads((tmp_path / "checkpoint.json").read_text())
    (tmp_path / "checkpoint.json").write_text(json.dumps(index | {"format": 99}))
    with pytest.raises(RunError, match="has format 99, this version of s2s reads 1"):
        load_checkpoint(tmp_path)


def test_a_state_that_is_missing_or_cut_off_is_named(tmp_path: Path) -> None:
    save(tmp_path, 10)
    state = tmp_path / "state-10.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"state-10\.safetensors: damaged"):
        load_checkpoint(tmp_path)
    state.unlink()
    with pytest.raises(RunError, match=r"state-10\.safetensors: no such file"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("kind", ["adam", "adamw", "muon", "sgd"])
def test_an_optimizer_with_its_tensors_put_back_steps_as_if_never_stopped(
    kind: Literal["adam", "adamw", "muon", "sgd"],
) -> None:
    def begin() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(1)
        model = nn.Linear(3, 2)
        settings = Optimization(steps=1, optimizer=kind, learning_rate=0.1, momentum=0.9 if kind == "sgd" else 0.0)
        return model, build_optimizer(model, settings, torch.float32)

    def step(model: nn.Linear, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()

    model, optimizer = begin()
    assert under("optimizer.", state_of(model, optimizer)) == {}
    for seed in range(3):
        step(model, optimizer, seed)
    saved = {name: tensor.clone() for name, tensor in state_of(model, optimizer).items()}
    other, resumed = begin()
    put_state(other, resumed, saved, origin="here")
    for seed in range(3, 6):
        step(model, optimizer, seed)
        step(other, resumed, seed)
    assert torch.equal(model.weight, other.weight)
    assert state_of(model, optimizer).keys() == saved.keys()
    assert under("optimizer.", saved)


def test_random_states_put_back_sample_the_same_again() -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters())
    saved = state_of(model, optimizer)
    sampled = torch.randn(5)
    put_state(model, optimizer, saved, origin="here")
    assert torch.equal(torch.randn(5), sampled)


def test_a_score_that_is_not_a_number_comes_back_as_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, at(1)._replace(progress={"step": 1, "best": math.nan, "validated": [math.inf]}))
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert math.isnan(loaded.progress["best"])
    assert loaded.progress["validated"] == [math.inf]


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6))
def test_the_average_is_the_mean_of_each_weight(values: list[float]) -> None:
    sets: list[dict[str, Tensor]] = [{"a": torch.full((2,), value), "b": torch.tensor(-value)} for value in values]
    mean = average(sets)
    expected = torch.tensor(sum(values) / len(values))
    torch.testing.assert_close(mean["a"], expected.expand(2), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(mean["b"], -expected, rtol=1e-4, atol=1e-3)
