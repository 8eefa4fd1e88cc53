"""The cache is listed and pruned: what is in use stays, what killed processes left goes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import s2s
from s2s.cache import entries, hold, prune, remove_unused
from s2s.cli.commands import main
from s2s.files import building

DAY = 86_400


def fill(root: Path, name: str, *, size: int = 10, days: float = 0) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * size)
    for path in (folder / "file", folder):
        os.utime(path, (time.time() - days * DAY,) * 2)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path, "encoded/abc", size=100, days=40)
    (tmp_path / "encoded/abc/meta.json").write_text('{"description": "multi30k/train"}')
    for path in (tmp_path / "encoded/abc/meta.json", tmp_path / "encoded/abc"):
        os.utime(path, (time.time() - 40 * DAY,) * 2)
    fill(tmp_path, "encoded/damaged", days=3)
    fill(tmp_path, "splits/tanaka-1", size=50, days=100)
    fill(tmp_path, "corpora/multi30k", size=1000, days=100)
    fill(tmp_path, "splits/.tanaka-2.tmp")
    (tmp_path / "splits" / ".tanaka-1.lock").touch()
    return tmp_path


def names(root: Path) -> set[str]:
    return {str(entry.path.relative_to(root)) for entry in entries(root)}


def test_what_where_size_and_age_are_told(root: Path) -> None:
    found = {entry.name: entry for entry in entries(root)}
    assert {name: entry.kind for name, entry in found.items()} == {
        "multi30k/train": "encoded text",
        "damaged": "encoded text",
        "tanaka-1": "split",
        ".tanaka-2.tmp": "unfinished",
        "multi30k": "corpus",
    }
    assert found["tanaka-1"].bytes == 50
    assert found["tanaka-1"].path == root / "splits" / "tanaka-1"
    assert found["multi30k/train"].age_days == pytest.approx(40, abs=0.1)
    assert list(entries(root / "nowhere")) == []


@pytest.mark.parametrize(
    ("days", "fetched", "left"),
    [
        (30, False, {"encoded/damaged", "corpora/multi30k"}),
        (0, False, {"corpora/multi30k"}),
        (30, True, {"encoded/damaged"}),
        (0, True, set()),
    ],
)
def test_what_was_not_used_for_long_is_removed(root: Path, days: float, fetched: bool, left: set[str]) -> None:
    before = names(root)
    removed = {str(entry.path.relative_to(root)) for entry in prune(root, older_than_days=days, fetched=fetched)}
    assert names(root) == left
    assert removed == before - left


def test_what_is_in_use_stays(root: Path) -> None:
    program = f"from pathlib import Path; from s2s.cache import hold; hold(Path({str(root)!r}, 'splits/tanaka-1'))"
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    command = [sys.executable, "-c", f"{program}; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        process.stdout.readline()
        list(prune(root, older_than_days=0, fetched=True))
        assert names(root) == {"splits/tanaka-1"}
        process.communicate(b"\n")
    list(prune(root, older_than_days=0, fetched=True))
    assert names(root) == set()


def test_a_folder_that_is_held_or_built_is_not_removed_and_holding_makes_it_new(root: Path) -> None:
    hold(root / "splits" / "tanaka-1")
    hold(root / "nowhere")
    assert not remove_unused(root / "splits" / "tanaka-1")
    (used,) = [entry for entry in entries(root) if entry.name == "tanaka-1"]
    assert used.age_days < 0.1
    with building(root / "encoded" / "new") as fresh:
        assert fresh is not None
        assert not remove_unused(fresh)
        assert not remove_unused(root / "encoded" / "new")
    assert remove_unused(root / "encoded" / "new")
    assert not remove_unused(root / "encoded" / "new")


def test_the_command_lists_and_prunes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(root))

    def call(*words: str) -> list[str]:
        result = CliRunner().invoke(main, ["cache", *words], catch_exceptions=False)
        assert result.exit_code == 0
        return [line.split("  ")[-1] for line in result.stdout.splitlines()]

    assert call()[-1] == f"{root}: 5 folders, 1.20kB"
    assert call("prune") == [
        *(str(root / name) for name in ("encoded/abc", "splits/.tanaka-2.tmp", "splits/tanaka-1")),
        f"{root}: removed 3 folders, 193B",
    ]
    assert call("prune", "--older-than", "5")[-1] == f"{root}: removed 0 folders, 0.00B"
    assert call("prune", "--all")[-1] == f"{root}: removed 2 folders, 1.01kB"
    assert call() == [f"{root}: 0 folders, 0.00B"]
