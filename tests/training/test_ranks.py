"""Several processes train what one trains: the same rows, masks and choices, and weights equal but for rounding."""

import json
import signal
from copy import deepcopy
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import RECIPES, run_in_processes, small_recipe
from torch import Tensor
from torch import distributed as dist

from s2s.device import choose_compute
from s2s.errors import RunError, TrainingError
from s2s.jobs.train import train
from s2s.nn.weights import load_tensors
from s2s.run import RunFolder
from s2s.tasks import recipe_of, task_of
from s2s.training.ranks import Ranks, joined
from s2s.training.trainer import Trainer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))


def state_of(run: Path) -> dict[str, Tensor]:
    """All tensors of a run's last checkpoint."""
    return load_tensors(next((run / "last").glob("state-*.safetensors")))


def assert_equal_but_for_rounding(one: Path, other: Path) -> None:
    expected, found = state_of(one), state_of(other)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=0, msg=name)
    assert torch.equal(expected["random.cpu"], found["random.cpu"])


def validations(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["validation"] for row in rows if "validation" in row]


@pytest.mark.parametrize("name", RECIPES)
def test_gradients_of_all_ranks_add_up_to_those_of_one_process(name: str, tmp_path: Path) -> None:
    """With as many processes as there are rows, and more; the carried state of a stream is that of each rank's rows."""
    recipe = small_recipe(name, tmp_path)
    run, compute, module = RunFolder(tmp_path / "run"), choose_compute("cpu", "float32"), task_of(recipe)
    run.path.mkdir()
    task = module.prepare(recipe, run, compute, module.find(recipe, None))
    batches = [batch for batch in islice(task.batches(0, 0), 3) if task.rows(batch) > 1]
    random = torch.get_rng_state()

    def summed(count: int) -> tuple[list[Tensor], Tensor]:
        found: list[Tensor] = []
        for rank in range(count):
            torch.set_rng_state(random)
            trainer = Trainer(deepcopy(task), recipe.training, RunFolder(tmp_path / "no"), compute)
            trainer.model.train()
            if count > 1:
                trainer.ranks = Ranks(rank, count, dist.HashStore())
            for batch in batches:
                trainer._loss(batch).smoothed.backward()
            own = [weight.grad for weight in trainer.model.parameters() if weight.grad is not None]
            found = [a + b for a, b in zip(found, own, strict=True)] if found else own
        return found, torch.get_rng_state()

    whole, after = summed(1)
    for count in (2, 3, max(map(task.rows, batches)) + 1):
        shares, random_after = summed(count)
        for one, other in zip(whole, shares, strict=True):
            torch.testing.assert_close(other, one, atol=2e-5, rtol=2e-5)
        assert torch.equal(random_after, after)


def test_rows_are_dealt_in_turn_so_that_tokens_are_shared_evenly() -> None:
    lengths = sorted(3 + row * row % 29 for row in range(40))
    for count in (1, 2, 3, 7, 41):
        dealt = [rows for rank in range(count) if (rows := Ranks(rank, count, dist.HashStore()).rows(40)) is not None]
        shares = [lengths[rows.taken] for rows in dealt if rows.counted]
        assert sorted(chain.from_iterable(shares)) == lengths
        assert max(map(sum, shares)) - min(map(sum, shares)) <= max(lengths)
        assert sum(not rows.counted for rows in dealt) == max(count - 40, 0)


def test_two_processes_train_and_go_on_after_a_kill_as_one_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="s2s")
    limit, folder = ("training.steps=12",), str(tmp_path)
    train(small_recipe("translation", tmp_path, *limit), tmp_path / "alone", device="cpu")
    assert run_in_processes(2, "translation", folder, "two", limit) == [0, 0]
    assert_equal_but_for_rounding(tmp_path / "alone", tmp_path / "two")
    for one, other in zip(validations(tmp_path / "alone"), validations(tmp_path / "two"), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    alone, two = (json.loads((tmp_path / run / "scores.json").read_text()) for run in ("alone", "two"))
    assert alone["scores"] == two["scores"]
    names = [sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("alone", "two")]
    assert names[0] == names[1]

    codes = run_in_processes(2, "translation", folder, "killed", limit, 6)
    assert codes == [3, -signal.SIGKILL]
    said = (tmp_path / "failed-0").read_text()
    assert said.startswith("another process of the training has ended or cannot be reached (")
    # as torchrun starts them anew, without --resume: at one number of processes not a byte differs
    assert run_in_processes(2, "translation", folder, "killed", limit, restarts=1) == [0, 0]
    assert (tmp_path / "killed/best.safetensors").read_bytes() == (tmp_path / "two/best.safetensors").read_bytes()
    once, again = state_of(tmp_path / "two"), state_of(tmp_path / "killed")
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert validations(tmp_path / "killed") == validations(tmp_path / "two")

    more = small_recipe("translation", tmp_path, "training.steps=14", "training.schedule=constant")
    train(more, tmp_path / "two", resume=True, device="cpu")
    assert "resumed by 1 process, 2 before" in caplog.text


@pytest.mark.parametrize(("name", "count"), [("stream", 4), ("forecast", 3)])
def test_processes_with_and_without_rows_train_what_one_trains(name: str, count: int, tmp_path: Path) -> None:
    limit, folder = ("training.steps=10",), str(tmp_path)
    train(small_recipe(name, tmp_path, *limit), tmp_path / "alone", device="cpu")
    assert run_in_processes(count, name, folder, "several", limit) == [0] * count
    assert_equal_but_for_rounding(tmp_path / "alone", tmp_path / "several")
    assert recipe_of(RunFolder(tmp_path / "several")) == recipe_of(RunFolder(tmp_path / "alone"))


def test_the_first_process_alone_says_what_is_wrong_with_all(tmp_path: Path) -> None:
    """A folder in use that was not begun by this torchrun is refused, also when torchrun tries again."""
    train(small_recipe("forecast", tmp_path, "training.steps=2"), tmp_path / "run", device="cpu")
    before = (tmp_path / "run/best.safetensors").read_bytes()
    for restarts in (0, 1):
        given = ("forecast", str(tmp_path), "run", ("training.steps=4",))
        assert run_in_processes(1, *given, restarts=restarts) == [3]
        assert "exists already; go on with --resume" in (tmp_path / "failed-0").read_text()
    assert (tmp_path / "run/best.safetensors").read_bytes() == before


def test_a_later_process_that_does_not_see_the_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = dist.HashStore()
    store.set("prepared", "")
    monkeypatch.setattr("s2s.training.ranks._present", Ranks(1, 2, store))
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(RunError, match=r"run: process 1 does not see what the first one has written; give --out a fol"):
        train(small_recipe("forecast", tmp_path), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_of_several_errors_the_first_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(master.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in {**meeting, "RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RESTART_COUNT": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="the first"), joined("cpu"):
        raise TrainingError("the first")
    monkeypatch.setattr("s2s.training.ranks.is_first_to_fail", lambda: False)
    with pytest.raises(SystemExit), joined("cpu"):
        raise TrainingError("connection closed by peer")
    assert not dist.is_initialized()
