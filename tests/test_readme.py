"""The README tells the truth: its commands exist, its trainings begin, and its first examples run as written."""

import re
import shlex
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from shutil import copytree

import click
import pytest
from click.testing import CliRunner
from small_runs import TOKENIZERS, small_run

from s2s import Translator, load_recipe
from s2s.cli.commands import main
from s2s.export.export import export
from s2s.recipe.load import recipe_names, recipe_toml
from s2s.run import RunFolder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)).replace("\\\n", " ")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
INLINE = re.findall(r"`(s2s [^`]+)`", README)
COMMANDS = sorted(
    {*INLINE, *(part.strip() for part in re.split(r"&&|\||\n|#.*", SHELL) if part.strip().startswith("s2s "))}
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_s2s_has(command: str) -> None:
    words = shlex.split(re.sub(r"[<>]\s*\S+", "", command))[1:]
    found: click.Command = main
    while isinstance(found, click.Group) and words and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    known = ["--help", *(option for parameter in found.params for option in parameter.opts)]
    assert found is not main
    assert [word for word in words if word.startswith("--") and word not in known] == []


@pytest.mark.usefixtures("own_data")
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("s2s train ")])
def test_every_training_is_of_a_valid_recipe_and_finds_its_data(command: str) -> None:
    CliRunner().invoke(main, ["recipes", "copy", "multi30k-de-en", "my.toml"], catch_exceptions=False)
    run = RunFolder(Path("runs/multi30k-de-en"))  # to go on from
    copytree(ROOT / "tests" / "runs" / "tiny-en-ko", run.path)
    run.recipe.write_text(recipe_toml(load_recipe("multi30k-de-en")), encoding="utf-8")
    found = CliRunner().invoke(main, [*shlex.split(command)[1:], "--dry-run"])
    assert found.exit_code == 0 or re.search("s2s corpora fetch (multi30k|tinyshakespeare)", found.stderr)


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that a reader is to have, in the working directory."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{number} and {number}\n" for number in range(20)]
    for name in ("train.de", "train.en", "dev.de", "dev.en", "book.txt"):
        Path(name).write_text("".join(lines), encoding="utf-8")
    for name in ("pairs.tsv", "dev.tsv"):
        rows = "".join(f"{line.strip()}\t{line}" for line in lines)
        Path(name).write_text("german\tenglish\n" + rows, encoding="utf-8")
    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(200)]
    prices = "".join(f"{day},{number * number % 17}\n" for number, day in enumerate(days))
    Path("mine.csv").write_text("date,price\n" + prices, encoding="utf-8")


def test_every_recipe_is_in_the_results_that_it_links_to() -> None:
    assert "(recipes/README.md)" in README
    results = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if not re.search(rf"[ `]{name}[ `]", results)] == []


def test_both_install_commands_name_the_torch_version() -> None:
    installs = re.findall(r"pip install .*", SHELL)
    assert len(installs) == 2
    assert all("torch==2.13.0" in install for install in installs)


def test_ci_runs_the_readme_test_command() -> None:
    command = next(line for line in SHELL.split("\n") if "pytest" in line)
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_path_of_the_layout_is_there() -> None:
    layout = README[README.index("```\ns2s/recipe/") :].split("```")[1].strip().splitlines()
    package = [re.split(" {2,}", line)[0] for line in layout if line.startswith("s2s/")]
    paths = " ".join(line.removeprefix("s2s/") for line in package).split()
    assert [path for path in paths if not (ROOT / "s2s" / path).exists()] == []


@pytest.mark.usefixtures("korean_font")
def test_the_first_example_of_the_tour_learns_its_sentences_by_heart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*words: str, line: str = "") -> str:
        return CliRunner().invoke(main, words, input=line, catch_exceptions=False).stdout

    assert "좋은 아침이에요" in run("recipes", "show", "tiny-en-ko")
    run("train", "tiny-en-ko")
    assert run("translate", "runs/tiny-en-ko", line="good morning\n") == "좋은 아침이에요\n"
    run("translate", "runs/tiny-en-ko", "--attention", "alignment.png", line="where is the station ?\n")
    assert (tmp_path / "alignment.png").read_bytes().startswith(b"\x89PNG")


def test_the_example_in_python_prints_its_translations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(PYTHON[0], {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("좋은 아침이에요 -")
    assert second.startswith("정말 고마워요 -")


def test_the_reader_of_bundles_gives_what_the_run_gives(tmp_path: Path) -> None:
    run, lines = small_run(tmp_path / "run", tokenizer=TOKENIZERS["unigram-no-bytes"]), ["good morning", "where ?"]
    export(run, tmp_path / "bundle", "onnx", "float32")
    assert len(PYTHON[1].splitlines()) <= 40
    (tmp_path / "reader.py").write_text(PYTHON[1], encoding="utf-8")
    command = [sys.executable, str(tmp_path / "reader.py"), str(tmp_path / "bundle")]
    found = subprocess.run(command, input="\n".join(lines), capture_output=True, encoding="utf-8", check=True)
    expected = Translator.load(run, device="cpu").translate(lines, beam=1)
    assert found.stdout.splitlines() == [each.text for each in expected]
