"""What every test stands on: no setting, cache or font of the machine, one thread a process, and plots that are blank.

Set in the environment before torch and matplotlib are imported, so that the commands which tests run have it too.
"""

import gc
import os
import shutil
import site
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:  # what follows is inherited
        return
    folder = tempfile.TemporaryDirectory(prefix="s2s-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    for name in [name for name in os.environ if name.startswith("S2S_")]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each command that a test starts would compile s2s anew
    home = Path(folder.name)
    os.environ |= {
        "PYTHONUSERBASE": site.getuserbase(),  # or what is installed there would go with the home
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "MPL_IGNORE_SYSTEM_FONTS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Libraries and tests are a million objects, which no collection of garbage need look through."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Nothing waits until the disk has what is written: no test turns the power off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def blank_plots() -> Iterator[Callable[..., None]]:
    """Figures are composed and their files written, but not drawn, which takes longer than a small training."""
    from matplotlib.figure import Figure
    from PIL import Image

    drawn = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, path, format: Image.new("RGB", (8, 8)).save(path, format))
        yield drawn


@pytest.fixture
def drawn_plots(blank_plots: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn after all."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", blank_plots)


@pytest.fixture
def korean_font(drawn_plots: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots with one font more than matplotlib's own: with Hangul, kana and Han."""
    from matplotlib.font_manager import fontManager
    from pylopdf_fonts_ko import sans_path

    monkeypatch.delenv("MPL_IGNORE_SYSTEM_FONTS")  # or matplotlib would not find it among those that it knows
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    fontManager.addfont(sans_path())


@pytest.fixture(scope="session")
def node() -> str:
    """Path of Node."""
    return _program("node")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The machine's Chromium, which reaches no network."""
    from playwright.sync_api import sync_playwright

    path = _program("chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} on this machine")
    return path
