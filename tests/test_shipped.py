"""Where shipped files are found, in each way to install s2s."""

from pathlib import Path

import pytest

import s2s.shipped
from s2s.errors import S2SError
from s2s.shipped import shipped


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "s2s"
    folder.mkdir()
    monkeypatch.setattr(s2s.shipped, "__file__", str(folder / "shipped.py"))
    return folder


def test_a_checkout_has_them_beside_the_package(package: Path) -> None:
    (package.parent / "corpora").mkdir()
    (package / "corpora.py").touch()
    assert shipped("corpora") == package.parent / "corpora"


def test_a_wheel_has_them_inside_and_ignores_what_lies_beside(package: Path) -> None:
    (package.parent / "recipes").mkdir()
    (package / "recipes").mkdir()
    assert shipped("recipes") == package / "recipes"


def test_none_of_both_is_an_error_that_names_both(package: Path) -> None:
    with pytest.raises(S2SError) as raised:
        shipped("recipes")
    assert str(package / "recipes") in str(raised.value)
    assert str(package.parent / "recipes") in str(raised.value)
    assert "install s2s again" in str(raised.value)
