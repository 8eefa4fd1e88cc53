"""Every file missing from a run folder in turn: a command gives its result, or one line that names the file."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from s2s.cli.commands import main

RUNS = Path(__file__).parent / "runs"
COMMANDS = {
    "tiny-en-ko": {"translate": ["--input", "input.txt"], "evaluate": [], "train": []},
    "words-one-to-five": {"generate": ["--prompt", "one", "--length", "3"], "evaluate": [], "train": []},
    "sunspots": {"forecast": [], "evaluate": [], "train": []},
}
USE = {
    "best.safetensors",
    "recipe.toml",
    "series.json",
    *(f"tokenizer{side}.json" for side in (".source", ".target", "")),
}
GO_ON = (USE - {"series.json"}) | {"last", "checkpoint.json"}
"""Files without which a run cannot be used, and a training cannot go on; and the states in last/."""
FILES = {
    name: sorted(str(path.relative_to(RUNS / name)) for path in (RUNS / name).rglob("*") if path.name != "series.json")
    + ["series.json"] * (name == "sunspots")
    for name in COMMANDS
}


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the runs, with plots and a report so that they count as finished."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    (tmp_path / "input.txt").write_text("good morning\n")
    shutil.copytree(RUNS, tmp_path / "runs")
    for name in COMMANDS:
        (tmp_path / "runs" / name / "plots").mkdir()
        (tmp_path / "runs" / name / "plots" / "curves.png").touch()
        (tmp_path / "runs" / name / "report.html").touch()
        shutil.copy(tmp_path / "runs" / name / "recipe.toml", tmp_path / f"{name}.toml")
    return tmp_path / "runs"


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def run_s2s(command: str, name: str, *options: str) -> Result:
    run = f"runs/{name}"
    arguments = [f"{name}.toml", "--out", run, "--resume"] if command == "train" else [run, *options]
    return CliRunner().invoke(main, [command, *arguments, "--device", "cpu"], catch_exceptions=False)


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in FILES.items() for file in files])
def test_a_missing_file_is_named_where_it_is_needed(runs: Path, name: str, file: str) -> None:
    remove(runs / name / file)
    before = content(runs)
    last = Path(file).name
    for command, options in COMMANDS[name].items():
        needed = GO_ON if command == "train" else USE
        result = run_s2s(command, name, *options)
        said = [line for line in result.stderr.splitlines() if line.startswith("s2s: ")]
        if last in needed or (command == "train" and last.startswith("state-")):
            assert result.exit_code == 1, result.stderr
            assert len(said) == 1
            assert ("checkpoint.json" if last == "last" else last) in said[0]
            assert content(runs) == before
        else:
            assert result.exit_code == 0, result.stderr
            assert not said
            assert result.stdout or command == "train"
    if last in ("scores.json", "series.json"):  # nothing but the finished run is needed to make it again
        assert (runs / name / file).exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_without_the_record_of_its_data_a_run_says_what_it_cannot_check(runs: Path, name: str) -> None:
    (runs / name / "environment.json").write_text("{")
    said = run_s2s("train", name).stderr
    key = "series" if name == "sunspots" else "train"
    assert f"environment.json: missing, damaged, or without data.{key}: whether " in said
    assert "nothing to do: " in said
    if name == "sunspots":
        assert (
            "whether sunspots/all is what the run was trained on cannot be checked" in run_s2s("evaluate", name).stderr
        )


@pytest.mark.parametrize("kept", ["nothing", "checkpoint.json", "state-100.safetensors"])
def test_without_a_whole_checkpoint_finished_weights_are_not_touched(runs: Path, kept: str) -> None:
    for path in (runs / "tiny-en-ko" / "last").iterdir():
        if path.name != kept:
            path.unlink()
    before = content(runs)
    result = run_s2s("train", "tiny-en-ko")
    assert result.exit_code == 1
    assert "put back a copy" in result.stderr
    assert "or start a new run with --out" in result.stderr
    assert content(runs) == before
