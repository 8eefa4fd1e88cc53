"""A file is whole or absent, whatever happens while it is written; what is shipped is found in each way to install."""

import errno
import os
import stat
from pathlib import Path

import pytest

import s2s.files
from s2s.errors import S2SError
from s2s.files import is_unfinished, shipped, write_bytes, write_text, writing


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
    calls = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        calls.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append(("replace", Path(source).stat().st_size))
        assert is_unfinished(Path(source))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    write_bytes(tmp_path / "file", b"12345")
    assert calls == [("fsync", 5), ("replace", 5)]


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
