"""The cache: where it is, what in it is in use, what lies in it, and its removal. All of it can be made again."""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import platformdirs

from s2s.files import SUFFIX, is_unfinished, lock_of, temporary_folder

log = logging.getLogger("s2s")
Made = TypeVar("Made")
SECONDS_A_DAY = 86_400
KINDS = {"encoded": "encoded text", "splits": "split", "corpora": "corpus"}
"""Folders of the cache, and what each folder in them holds."""
FETCHED = "corpora"
UNWRITABLE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST))
"""Numbers of errors of folders that cannot be written, however much room there is."""


def cache_root() -> Path:
    """Folder for what can be made or fetched again: `S2S_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("S2S_CACHE") or platformdirs.user_cache_path("s2s")).expanduser()


def in_cache(root: Path, make: Callable[[Path], Made]) -> Made:
    """What `make` gives for a cache, or, with a warning, for a temporary one where that cannot be written.

    OSError where there is no room, or no temporary one can be written either.
    """
    try:
        return make(root)
    except OSError as problem:
        if problem.errno not in UNWRITABLE:
            raise
        log.warning(
            "%s: the cache cannot be written (%s), so what belongs there is made for this command alone; name a folder"
            " that can be written in S2S_CACHE",
            root, problem.strerror,
        )  # fmt: skip
        return make(temporary_folder())


def hold(folder: Path) -> None:
    """Keeps `remove_unused` from a folder until this process ends, and makes its time of last use now.

    A folder that cannot be opened, or a system without shared locks, is let be.
    """
    with suppress(OSError):
        os.utime(folder)
    with suppress(OSError, ImportError):
        _held(folder, folder.stat().st_ino)


@cache
def _held(folder: Path, inode: int) -> int:
    """Descriptor of a folder with a shared lock, which the system takes back when the process ends."""
    from fcntl import LOCK_NB, LOCK_SH, flock  # Windows has none, and removes no file that is open

    descriptor = os.open(folder, os.O_RDONLY)
    flock(descriptor, LOCK_SH | LOCK_NB)
    return descriptor


def remove_unused(folder: Path) -> bool:
    """Removes a folder that no process builds or holds, whole or not at all; whether it is gone."""
    from filelock import Timeout

    try:
        name = folder.name[1:].removesuffix(SUFFIX) if is_unfinished(folder) else folder.name
        with lock_of(folder.with_name(name)).acquire(blocking=False), _excluded(folder):
            unfinished = folder.with_name(f".{name}{SUFFIX}")
            folder.rename(unfinished)
            shutil.rmtree(unfinished)
            return True
    except (Timeout, OSError):
        return False


@contextmanager
def _excluded(folder: Path) -> Iterator[None]:
    """Excludes those who hold a folder; OSError while there are some."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        yield
    finally:
        os.close(descriptor)


class Entry(NamedTuple):
    """A folder of the cache."""

    kind: str
    """of KINDS, or `unfinished` for what a killed process left"""
    name: str
    path: Path
    bytes: int
    age_days: float
    """since it was last used"""


def entries(root: Path) -> Iterator[Entry]:
    """What lies in a cache, by kind and name."""
    for folder, kind in KINDS.items():
        for path in sorted((root / folder).glob("*")):
            if path.is_dir():
                yield _entry(path, "unfinished" if is_unfinished(path) else kind)


def prune(root: Path, *, older_than_days: float, fetched: bool) -> Iterator[Entry]:
    """Removes what was not used for so many days and is not in use, and gives it; unfinished folders of any age.

    Corpora, which were downloaded, only with `fetched`.
    """
    for entry in entries(root):
        unwanted = entry.age_days >= older_than_days and (fetched or entry.path.parent.name != FETCHED)
        if (unwanted or entry.kind == "unfinished") and remove_unused(entry.path):
            yield entry


def _entry(path: Path, kind: str) -> Entry:
    size, used = 0, 0.0
    for each in (path, *path.rglob("*")):
        with suppress(OSError):  # it may be going
            found = each.stat()
            size, used = size + found.st_size * each.is_file(), max(used, found.st_mtime)
    name = path.name
    with suppress(OSError, ValueError, KeyError, TypeError):
        name = str(json.loads((path / "meta.json").read_bytes())["description"])
    return Entry(kind, name, path, size, max(time.time() - used, 0) / SECONDS_A_DAY)
