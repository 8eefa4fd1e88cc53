"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed; and those shipped."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from s2s.errors import S2SError

SUFFIX = ".tmp"
"""Ends the names of files that are not finished; the names begin with a dot."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; what is written there takes the place and the mode of `path` at the end.

    If the block fails, the temporary file is removed and `path` is as it was. A link is followed, and a device or a
    pipe is written to directly: it must not be replaced by a file. An OSError names `path`.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        with _replacing(Path(os.path.realpath(path))) as temporary:
            yield temporary
    except OSError as problem:
        if problem.errno is not None and (problem.filename is None or str(problem.filename).endswith(SUFFIX)):
            problem.filename, problem.filename2 = str(path), None
        raise


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        if path.exists():
            temporary.touch()
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or leave it as it was."""
    with writing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file or leave it as it was."""
    write_bytes(path, text.encode("utf-8"))


def is_unfinished(path: Path) -> bool:
    """Whether a file is what a killed process left of its writing."""
    return path.name.startswith(".") and path.name.endswith(SUFFIX)


def shipped(kind: Literal["recipes", "corpora"]) -> Path:
    """The folder of that kind, whether s2s runs from a wheel, a checkout or an editable install.

    A wheel carries it inside the package; in a checkout, where an editable install points, it lies beside the package.
    The inner one comes first: beside an installed package lie the folders of strangers.
    Raises S2SError if neither is there.
    """
    package = Path(__file__).resolve().parent
    places = (package / kind, package.parent / kind)
    for place in places:
        if place.is_dir():
            return place
    looked = f"neither {places[0]} nor {places[1]} is there"
    raise S2SError(f"the folder {kind} that ships with s2s is missing ({looked}); install s2s again")
