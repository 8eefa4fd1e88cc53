"""A run folder: refused where a path is in use, and readable whatever a kill left in it."""

import json
import math
from pathlib import Path

import pytest

from s2s.errors import RunError
from s2s.run import Metrics, RunFolder, json_text, read_run, write_json
from s2s.tasks import TREES


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
    with pytest.raises(RunError, match=r"not a run folder \(it has no recipe.toml\)"):
        RunFolder(tmp_path).require_recipe()
    with pytest.raises(RunError, match="no weights yet"):
        RunFolder(tmp_path).require_best()


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
