"""What `import s2s` gives: these names, and nothing heavy before they are used."""

import inspect
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import s2s
from s2s import errors

NAMES = {
    "Continuation",
    "CorpusError",
    "DataError",
    "Generator",
    "RecipeError",
    "RunError",
    "S2SError",
    "TrainingError",
    "Translation",
    "Translator",
    "__version__",
    "evaluate",
    "load_recipe",
    "train",
    "train_variants",
}


def test_the_public_names_are_exactly_these() -> None:
    assert set(s2s.__all__) == NAMES == set(dir(s2s))
    assert all(hasattr(s2s, name) for name in NAMES)
    with pytest.raises(AttributeError, match="module s2s has no attribute 'Trainer'"):
        s2s.Trainer  # type: ignore[attr-defined]  # noqa: B018


def test_every_error_is_public_and_one_tree() -> None:
    classes = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
    assert set(classes) == {name for name in NAMES if name.endswith("Error")}
    assert all(issubclass(kind, s2s.S2SError) for kind in classes.values())
    assert all(name in (errors.__doc__ or "") for name in classes)


def test_what_is_public_says_what_it_does() -> None:
    assert all(getattr(s2s, name).__doc__ for name in NAMES if name != "__version__")


def test_importing_s2s_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'pydantic', 'matplotlib', 'sentencepiece', 'click'}"
    program = f"import sys, s2s; found = {heavy} & set(sys.modules); assert not found, found"
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_the_version_is_typed_once() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"] == {"path": "s2s/__init__.py"}
