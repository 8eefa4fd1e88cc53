"""Files and folders are whole or absent, whatever happens meanwhile; what ships is found in each way to install."""

import errno
import json
import math
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import s2s
import s2s.files
from s2s.errors import S2SError
from s2s.files import building, is_unfinished, json_text, shipped, write_bytes, write_json, write_text, writing
from s2s.run import Metrics


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_text(path, "één\n")
    assert path.read_bytes() == "één\n".encode()
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file"]


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "before")
    path.chmod(0o600)
    write_text(path, "after")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("problem", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_failure_leaves_the_file_before(tmp_path: Path, problem: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def fail() -> None:
        with writing(path) as temporary:
            temporary.write_text("half")
            raise problem

    with pytest.raises(type(problem)):
        fail()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_names_the_file_and_not_its_temporary_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    path.write_text("before")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_text(path, "after")
    assert raised.value.filename == str(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int | str]] = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        found = os.fstat(descriptor)
        calls.append(("fsync", "folder" if stat.S_ISDIR(found.st_mode) else found.st_size))
        fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append(("replace", Path(source).stat().st_size))
        assert is_unfinished(Path(source))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    write_bytes(tmp_path / "file", b"12345")
    assert calls == [("fsync", 5), ("replace", 5), ("fsync", "folder")]


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_pipe_or_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    write_text(Path(os.devnull), "nowhere")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_folder_in_the_way_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_text(tmp_path / "folder", "text")
    assert os.listdir(tmp_path) == ["folder"]


# Folders


def without_locks(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def build(folder: Path, text: str = "whole") -> bool:
    """Whether it was built, and not found there."""
    with building(folder, lambda place: (place / "file").is_file()) as fresh:
        if fresh is not None:
            (fresh / "file").write_text(text)
    return fresh is not None


def test_a_folder_is_built_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert build(folder)
    assert not build(folder, "other")
    assert (folder / "file").read_text() == "whole"
    assert without_locks(folder.parent) == ["folder"]


def test_a_damaged_folder_makes_way(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "half").touch()
    assert build(tmp_path / "folder")
    assert os.listdir(tmp_path / "folder") == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="needs modes")
def test_a_folder_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    build(tmp_path / "folder")
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("problem", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_failure_leaves_no_folder(tmp_path: Path, problem: BaseException) -> None:
    def fail() -> None:
        with building(tmp_path / "folder") as fresh:
            assert fresh is not None
            (fresh / "file").write_text("half")
            raise problem

    with pytest.raises(type(problem)):
        fail()
    assert without_locks(tmp_path) == []
    assert build(tmp_path / "folder")


def test_a_folder_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fsync, rename = os.fsync, Path.rename

    def flush(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def move(path: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "rename", move)
    build(tmp_path / "folder")
    assert calls == ["file", "folder", "rename", "folder"]


BUILDER = """
import sys
from pathlib import Path
from s2s.files import building
with building(Path(sys.argv[1])) as fresh:
    (fresh / "file").write_text("by the other process")
    print("building", flush=True)
    sys.stdin.read()
"""


def builder(folder: Path) -> subprocess.Popen[str]:
    """A process in the midst of building."""
    process = subprocess.Popen(
        [sys.executable, "-c", BUILDER, folder],
        env={**os.environ, "PYTHONPATH": str(Path(s2s.files.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "building\n"
    return process


def test_who_comes_second_takes_what_the_first_process_made(tmp_path: Path) -> None:
    with builder(tmp_path / "folder") as first, ThreadPoolExecutor(3) as pool:
        others = [pool.submit(build, tmp_path / "folder") for _ in range(3)]
        assert without_locks(tmp_path) == [".folder.tmp"]
        first.communicate("")
        assert not any(other.result() for other in others)
    assert (tmp_path / "folder" / "file").read_text() == "by the other process"
    assert without_locks(tmp_path) == ["folder"]


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_let_be(tmp_path: Path) -> None:
    with builder(tmp_path / "dead") as dead, builder(tmp_path / "living") as living:
        dead.kill()
        dead.wait()
        assert without_locks(tmp_path) == [".dead.tmp", ".living.tmp"]
        build(tmp_path / "another")
        assert without_locks(tmp_path) == [".living.tmp", "another"]
        living.kill()
        living.wait()
        assert build(tmp_path / "living")
    assert without_locks(tmp_path) == ["another", "living"]


# What is shipped


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "s2s"
    folder.mkdir()
    monkeypatch.setattr(s2s.files, "__file__", str(folder / "files.py"))
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


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for making in (s2s.files.writing, s2s.files.new_folder):
        with pytest.raises(NotADirectoryError, match=r"Not a directory: .*file'"), making(file / "new"):
            pass


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "한국어", "value": 0.1})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "name": "한국어",\n  "value": 0.1\n}\n'


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    value = {"scores": [math.nan, (math.inf, 1.5)], "ratio": -math.inf, "count": 3}
    assert json.loads(json_text(value)) == {"scores": [None, [None, 1.5]], "ratio": None, "count": 3}
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append({"step": 1, "loss": math.nan})
    assert metrics.read() == [{"step": 1, "loss": None}]
