"""A run folder: refused where a path is in use, and readable whatever a kill left in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import s2s
from s2s.errors import RunError
from s2s.run import Metrics, RunFolder, read_run
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
