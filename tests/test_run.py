"""A run folder: refused where a path is in use, readable whatever a kill left in it, its weights what was written."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import s2s
from s2s.errors import RunError
from s2s.forecast.model import Forecaster
from s2s.forecast.recipe import ForecastModel, SeriesData
from s2s.language.model import build_language_model
from s2s.language.recipe import LanguageModel
from s2s.run import (
    Metrics,
    RunFolder,
    frozen,
    json_text,
    load_model,
    load_tensors,
    put_weights,
    read_run,
    save_tensors,
    weights_of,
    write_json,
)
from s2s.tasks import TREES
from s2s.translation.model import build_seq2seq
from s2s.translation.recipe import Seq2SeqModel


def test_a_folder_with_something_in_it_is_not_taken(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "deep" / "run")
    assert not run.exists()
    run.create()
    assert not run.exists()
    run.create()
    run.recipe.write_text("task")
    assert run.exists()
    with pytest.raises(RunError, match=r"run: exists already; go on with --resume, or .*--out"):
        run.create()
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunError, match="exists already"):
        RunFolder(file).create()


def test_what_a_kill_left_unfinished_is_nothing_and_is_removed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    leftovers = [tmp_path / ".recipe.toml.123.tmp", tmp_path / ".tokenizer.model.9.tmp"]
    leftovers[0].touch()
    assert not run.exists()
    run.plots.mkdir()
    for path in (*leftovers, run.plots / ".curves.png.7.tmp", run.recipe, tmp_path / ".hidden"):
        path.touch()
    run.remove_unfinished()
    assert {path.name for path in tmp_path.iterdir()} == {"plots", "recipe.toml", ".hidden"}
    assert not list(run.plots.iterdir())


def test_discarding_takes_back_only_what_a_training_wrote(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.create()
    for name in ("recipe.toml", "environment.json", "tokenizer.source.model"):
        (run.path / name).touch()
    run.discard()
    assert not run.path.exists()
    run.create()
    (run.path / "mine.txt").touch()
    run.discard()
    assert [path.name for path in run.path.iterdir()] == ["mine.txt"]


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone: no such run folder; train one with s2s train RECIPE --out .*gone"):
        RunFolder(tmp_path / "gone").require_recipe()
    with pytest.raises(RunError, match=r"a b: no such run folder; train one .* --out '.*a b'$"):
        RunFolder(tmp_path / "a b").require_recipe()
    with pytest.raises(RunError, match=r"not a run folder \(it has no recipe.toml\)"):
        RunFolder(tmp_path).require_recipe()
    with pytest.raises(RunError, match="no weights yet"):
        RunFolder(tmp_path).require_best()
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(RunError, match="an export, not a run folder; give the run that it was written from"):
        RunFolder(tmp_path).require_recipe()
    with pytest.raises(RunError, match=r"bundle\.json: a file, and a run is a folder; give the folder that s2s train"):
        RunFolder(tmp_path / "bundle.json").require_recipe()


@pytest.mark.parametrize(
    ("asked", "held", "said"),
    [
        ("translation", "forecast", "holds no translator but a forecaster; use s2s forecast"),
        ("language", "translation", "holds no language model but a translator; use s2s translate"),
        ("forecast", "language", "holds no forecaster but a language model; use s2s generate"),
    ],
)
def test_a_run_of_another_task_names_the_command_that_uses_it(asked: str, held: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(f'task = "{held}"\n')
    with pytest.raises(RunError) as caught:
        read_run(RunFolder(tmp_path), {asked: TREES[asked]})
    assert str(caught.value) == f"{tmp_path}: {said}"


HOLDER = """
import os, sys
from pathlib import Path
from s2s.run import RunFolder
with RunFolder(Path(sys.argv[1])).locked(["s2s", "train", "x"]):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_first_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        assert not run.exists()
        for _ in range(2):
            with pytest.raises(RunError) as caught, run.locked():
                pytest.fail("the lock was given twice")
            assert str(caught.value).startswith(f"{run}: process {holder.pid} on ")
            assert " (s2s train x) is writing into it, so nothing was started; " in str(caught.value)
        holder.kill()
    with run.locked():
        run.recipe.touch()
    assert [path.name for path in run.path.iterdir()] == ["recipe.toml"]


def test_a_lock_is_for_one_at_a_time_in_a_process_too_and_leaves_no_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.locked(), pytest.raises(RunError, match=f"process {os.getpid()} on "), run.locked():
        pytest.fail("the lock was given twice")
    assert not run.path.exists()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: is a file, not a folder"), RunFolder(tmp_path / "file").locked():
        pytest.fail("a file was locked")


def test_where_nothing_can_be_locked_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", fail)
    with RunFolder(tmp_path).locked():
        assert "the file system has no locks; see to it that only one process writes into the folder" in caplog.text


@pytest.mark.parametrize(
    ("format", "said"),
    [
        ("3\n", r": was written by a newer s2s \(format 3; this version reads up to 2\); update s2s"),
        ("one", r"format: damaged, it holds no number; write 2 into it"),
    ],
)
def test_a_run_of_another_format_is_refused_in_one_line(tmp_path: Path, format: str, said: str) -> None:
    run = RunFolder(tmp_path)
    run.recipe.write_text("a recipe that only a newer version can read")
    run.format.write_text(format)
    with pytest.raises(RunError, match=said) as caught:
        read_run(run, TREES)
    assert "\n" not in str(caught.value)


TRANSLATOR = """task = "translation"
[data]
source = "a"
target = "b"
train = {table = "t.tsv"}
validation = {table = "v.tsv"}
[training]
steps = 1
"""


@pytest.mark.parametrize(
    ("more", "left_out"),
    [
        ('warm_restarts = 2\n[archive]\nkind = "zip"', ["training.warm_restarts", "archive"]),
        ('optimizer = "lion"\nmetric = "ter"', ["training.optimizer", "training.metric"]),
        ("[data.train]\n", None),
        ("[model]\nhiden_size = 2", None),
        ("[decoding]\nspeed = 2", None),
    ],
)
def test_only_what_a_run_is_used_by_must_be_known(
    tmp_path: Path, more: str, left_out: list[str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.recipe.write_text(TRANSLATOR + more)
    with pytest.raises(RunError):
        read_run(run, TREES, whole=True)
    if left_out is None:
        with pytest.raises(RunError):
            read_run(run, TREES)
        return
    assert read_run(run, TREES).training.steps == 1
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{run.recipe}: left out, since using the run does not need it: ")
    assert sorted(record.getMessage().rsplit(": ", 1)[1].split("; ")) == sorted(left_out)


def test_metrics_come_back_without_a_line_that_was_cut_off(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl")
    assert metrics.read() == []
    for step in (10, 20):
        metrics.append({"step": step, "loss": 1.5})
    with metrics.path.open("a") as file:
        file.write('{"step": 30, "lo')
    assert [row["step"] for row in metrics.read()] == [10, 20]
    metrics.forget_after(10)
    metrics.append({"step": 20, "loss": 1.25})
    assert metrics.path.read_text() == '{"step": 10, "loss": 1.5}\n{"step": 20, "loss": 1.25}\n'


def test_metrics_that_cannot_be_written_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        Metrics(tmp_path / "metrics.jsonl").append({"step": 1})


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "한국어", "value": 0.1})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "name": "한국어",\n  "value": 0.1\n}\n'


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    value = {"scores": [math.nan, (math.inf, 1.5)], "ratio": -math.inf, "count": 3}
    assert json.loads(json_text(value)) == {"scores": [None, [None, 1.5]], "ratio": None, "count": 3}
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append({"step": 1, "loss": math.nan})
    assert metrics.read() == [{"step": 1, "loss": None}]


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
