"""The cache: what lies in it, and its removal. All of it can be made or fetched again."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from s2s.files import is_unfinished, remove_unused

SECONDS_A_DAY = 86_400
KINDS = {"encoded": "encoded text", "splits": "split", "corpora": "corpus"}
"""Folders of the cache, and what each folder in them holds."""
FETCHED = "corpora"


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
