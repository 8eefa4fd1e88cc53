"""Files and folders that are whole or absent: made beside their place, flushed to the disk, renamed; JSON."""

import atexit
import errno
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from s2s.errors import RunError, S2SError

if TYPE_CHECKING:
    from filelock import BaseFileLock

SUFFIX = ".tmp"
"""Suffix of files and folders that are not finished; their names begin with a dot."""
_unfinished: dict[Path, str] = {}
"""What this process is making now, for a process that ends at once, and the name of a file with which it goes on."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Temporary path beside `path`; the file written there takes the place and the mode of `path` at the end.

    If the block fails, the temporary file is removed and `path` is as it was. A link is followed, and a device or a
    pipe is written to directly: it must not be replaced by a file. An OSError names `path`.
    """
    place = Path(os.path.realpath(path))
    temporary = place.with_name(f".{place.name}.{os.getpid()}{SUFFIX}")
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        _make_parent(place)
        _unfinished[temporary] = ""
        if place.exists():
            temporary.touch()
            temporary.chmod(stat.S_IMODE(place.stat().st_mode))
        yield temporary
        put_in_place(temporary, place)
    except BaseException as problem:
        with suppress(OSError):
            temporary.unlink()
        named = getattr(problem, "filename", None) or SUFFIX
        if isinstance(problem, OSError) and problem.errno is not None and str(named).endswith(SUFFIX):
            problem.filename, problem.filename2 = str(path), None
        raise
    finally:
        _unfinished.pop(temporary, None)


def put_in_place(finished: Path, place: Path) -> None:
    """Give a finished file the name and the mode of another, once all of it is on the disk."""
    if place.exists():
        finished.chmod(stat.S_IMODE(place.stat().st_mode))
    _sync(finished)
    os.replace(finished, place)
    _sync_names(place.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a whole file or leaves it as it was."""
    with writing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 file or leaves it as it was; one that holds the text already is not touched."""
    content = text.encode("utf-8")
    with suppress(OSError):
        if path.is_file() and path.read_bytes() == content:
            return
    write_bytes(path, content)


@contextmanager
def building(
    folder: Path, is_whole: Callable[[Path], bool] = Path.is_dir, *, progress: str = "progress.json"
) -> Iterator[Path | None]:
    """Empty folder to fill with files, which takes the place of `folder` at the end; None if that is whole.

    A process that finds another building the same folder waits and takes the result. If the block fails, nothing is
    left; what killed processes left of any folder beside it is removed. One with a file `progress` is kept instead, and
    given to the next that builds it, unless the block fails by an Exception.
    """
    if is_whole(folder):
        yield None
        return
    with locked(folder):
        if is_whole(folder):
            yield None
            return
        for left in folder.parent.glob(f".*{SUFFIX}"):
            if (left / progress).exists():
                continue
            with suppress(OSError), lock_of(left.with_name(left.name[1:].removesuffix(SUFFIX))).acquire(blocking=False):
                shutil.rmtree(left, ignore_errors=True)  # a killed process was building it: nobody holds its lock
        temporary = folder.with_name(f".{folder.name}{SUFFIX}")
        if not (temporary / progress).exists():
            shutil.rmtree(temporary, ignore_errors=True)
        with _becoming(folder, temporary, progress):
            yield temporary
            shutil.rmtree(folder, ignore_errors=True)  # it is there only if it is damaged


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Empty folder to fill with files, which becomes `place` at the end; if the block fails, nothing is left."""
    temporary = place.with_name(f".{place.name}.{os.getpid()}{SUFFIX}")
    _make_parent(place)
    with _becoming(place, temporary):
        yield temporary


@contextmanager
def _becoming(place: Path, temporary: Path, progress: str = "") -> Iterator[None]:
    """A new folder `temporary`, which takes the name of `place` at the end and is removed if the block fails.

    One with a file `progress` goes on, and stays if the block is interrupted.
    """
    _unfinished[temporary] = progress
    try:
        temporary.mkdir(exist_ok=bool(progress))
        yield
        for path in temporary.iterdir():
            _sync(path)
        _sync_names(temporary)
        temporary.rename(place)
        _sync_names(place.parent)
    except BaseException as problem:
        if isinstance(problem, Exception) or not _goes_on(temporary, progress):
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        _unfinished.pop(temporary, None)


def _goes_on(folder: Path, progress: str) -> bool:
    return bool(progress) and (folder / progress).exists()


def _make_parent(place: Path) -> None:
    """Make the folder that a file or folder is to be in; NotADirectoryError where a file is in the way."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as problem:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), problem.filename) from None


def remove_unfinished() -> None:
    """Removes what this process is making now; only for one that ends at once after that."""
    for path, progress in list(_unfinished.items()):
        if path.is_dir() and not _goes_on(path, progress):
            shutil.rmtree(path, ignore_errors=True)
        elif not path.is_dir():
            with suppress(OSError):
                path.unlink()


@cache
def temporary_folder() -> Path:
    """Folder of this process, which goes when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="s2s-"))
    _unfinished[folder] = ""
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Excludes other processes and threads that lock the same path, until the block ends.

    The lock is a file beside the path and stays: if it were removed, a waiting and a new process could both go on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock_of(path):
        yield


@contextmanager
def locked_at_once(path: Path) -> Iterator[None]:
    """Excludes others as `locked` does, and leaves no file; RunError where another process has the lock.

    OSError where no file can be made.
    """
    from filelock import Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:  # or a lock that cannot be made would be taken for one that another has
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as problem:
        problem.filename = str(path)
        raise
    lock = lock_of(path)
    try:
        with lock.acquire(blocking=False):
            try:
                yield
            finally:
                Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        raise RunError(f"{path}: another process is writing it; wait until that has ended, or name another") from None


def lock_of(path: Path) -> "BaseFileLock":
    from filelock import FileLock  # takes 70 ms to import

    return FileLock(path.with_name(f".{path.name}.lock"))


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_names(folder: Path) -> None:
    """Flushes the names in a folder to the disk, where the system and the file system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_unfinished(path: Path) -> bool:
    """Whether a file was left by a process that was killed while it wrote."""
    return path.name.startswith(".") and path.name.endswith(SUFFIX)


def shipped(kind: Literal["recipes", "corpora"]) -> Path:
    """Folder of recipes or corpora that ships with s2s; S2SError if it is missing.

    A wheel has it inside the package; a checkout, and so an editable install, beside it. The inner one comes first:
    other packages may have put a folder of that name beside an installed package.
    """
    package = Path(__file__).resolve().parent
    inner, outer = package / kind, package.parent / kind
    for place in (inner, outer):
        if place.is_dir():
            return place
    looked = f"neither {inner} nor {outer} is there"
    raise S2SError(f"the folder {kind} that ships with s2s is missing ({looked}); install s2s again")


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """JSON, with null for a number that is not finite: JSON has none, and a reader may refuse the whole text."""
    return json.dumps(_with_null(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _with_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_null(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_null(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rows_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """JSON objects, one a line."""
    return "".join(json_text(row, indent=None) + "\n" for row in rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file with one a line, without lines that are damaged; none where there is no file."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]


def recorded(path: Path, *keys: str) -> Any:
    """Value below nested keys of a JSON file; None where the file or the key is missing, or the file is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            value = value[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all, with null for numbers that are not finite."""
    write_text(path, json_text(value) + "\n")
