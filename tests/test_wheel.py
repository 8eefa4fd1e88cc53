"""A wheel carries its recipes and corpora, and the command finds them from anywhere; so does a checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import s2s
from s2s.corpus.find import names
from s2s.recipe.load import recipe_names

ROOT = Path(__file__).parents[1]
CLEAN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def output(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=CLEAN | variables, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel; all else it sees through a .pth file."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    output(*build, ROOT, cwd=folder, PIP_DISABLE_PIP_VERSION_CHECK="1")
    (wheel,) = folder.glob("s2s-*-py3-none-any.whl")
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    python = folder / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--no-compile"]
    output(*install, wheel, cwd=folder)
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return python.parent


def test_the_installed_command_lists_recipes_and_corpora_from_another_folder(installed: Path, tmp_path: Path) -> None:
    place = output(installed / "python", "-c", "import s2s; print(s2s.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.parent)
    listed = output(installed / "s2s", "recipes", cwd=tmp_path)
    assert [line.split()[0] for line in listed.splitlines()] == recipe_names()
    listed = output(installed / "s2s", "corpora", cwd=tmp_path)
    assert [line.split()[0] for line in listed.splitlines()] == names()


def test_the_wheel_holds_every_file_of_recipes_and_corpora(installed: Path) -> None:
    (package,) = installed.parent.glob("lib/python*/site-packages/s2s")
    for kind in ("recipes", "corpora"):
        shipped = {path.relative_to(ROOT / kind) for path in (ROOT / kind).rglob("*") if path.is_file()}
        there = {path.relative_to(package / kind) for path in (package / kind).rglob("*") if path.is_file()}
        assert there == shipped


def test_the_module_runs_and_says_its_version(installed: Path, tmp_path: Path) -> None:
    said = output(installed / "python", "-m", "s2s", "--version", cwd=tmp_path)
    assert said == f"s2s, version {s2s.__version__}\n"
    of_the_wheel = "from importlib.metadata import version; print(version('s2s'))"
    assert output(installed / "python", "-c", of_the_wheel, cwd=tmp_path) == f"{s2s.__version__}\n"


def test_a_checkout_lists_them_too(tmp_path: Path) -> None:
    listed = output(sys.executable, "-m", "s2s", "recipes", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert [line.split()[0] for line in listed.splitlines()] == recipe_names()
