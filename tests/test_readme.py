"""The README tells the truth: its commands exist, and the first example of its tour runs as written."""

import re
import shlex
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner

from s2s.cli.commands import main
from s2s.forecast.recipe import ForecastRecipe, SeriesData
from s2s.language.recipe import LanguageRecipe
from s2s.recipe.load import recipe_names
from s2s.translation.recipe import TranslationRecipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)).replace("\\\n", " ")
COMMANDS = sorted({part.strip() for part in re.split(r"&&|\||\n|#.*", SHELL) if part.strip().startswith("s2s ")})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_s2s_has(command: str) -> None:
    words = shlex.split(re.sub(r"[<>]\s*\S+", "", command))[1:]
    found: click.Command = main
    while isinstance(found, click.Group) and words and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    known = [option for parameter in found.params for option in parameter.opts]
    assert found is not main
    assert [word for word in words if word.startswith("--") and word not in known] == []


def test_every_recipe_is_in_the_table_and_none_besides() -> None:
    table = README[README.index("| recipe | what it trains |") :]
    table = table[: table.index("\n\n")]
    assert sorted(re.findall(r"`([\w-]+)`", table)) == recipe_names()


def test_both_install_commands_name_the_torch_version() -> None:
    installs = re.findall(r"pip install .*", SHELL)
    assert len(installs) == 2
    assert all("torch==2.13.0" in install for install in installs)


def test_ci_runs_the_readme_test_command() -> None:
    command = next(line for line in SHELL.split("\n") if "pytest" in line)
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_sections_of_the_table_are_those_of_a_recipe() -> None:
    tables = README.split("| section |")[1:]
    translation, language, forecast = (
        set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) for table in tables
    )
    assert translation == TranslationRecipe.model_fields.keys() - {"task", "title", "seed"}
    assert language == LanguageRecipe.model_fields.keys() - {"task", "title", "seed", "variants"}
    assert forecast == ForecastRecipe.model_fields.keys() - {"task", "title", "seed", "variants"}


def test_every_scaling_of_a_series_is_named() -> None:
    scalings = get_args(SeriesData.model_fields["scaling"].annotation)
    assert [name for name in scalings if f"`{name}`" not in README] == []


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
