"""Sequences of token ids in memory-mapped files, encoded once and kept in a cache.

A cache folder holds, for each side (source and target, or text), `tokens` (ids one after another), `offsets` (int64
starts of the sequences, and the end) and `lengths` (int32), and `meta.json` with the size of each file.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2s.cache import hold, in_cache
from s2s.errors import DataError
from s2s.files import building
from s2s.text.tokenizer import Tokenizer

_FORMAT = 1
_PARTS = ("tokens", "offsets", "lengths")
_BUFFERED_SEQUENCES = 8192
PROGRESS = "progress.json"
"""File of what is encoded, in a folder that is not finished."""
_BUFFERED_TOKENS = 1 << 20  # with the sequences, some MB


class Sequences:
    """Sequences of one side, mapped from files and not held in memory."""

    def __init__(self, folder: Path, side: str, token_type: str) -> None:
        """OSError when one of the three files is missing."""
        self.tokens: NDArray[np.integer] = _mapped(folder / f"{side}.tokens", token_type)
        """(all tokens,) of the sequences, one after another"""
        self._offsets = _mapped(folder / f"{side}.offsets", "int64")
        self.lengths: NDArray[np.int32] = _mapped(folder / f"{side}.lengths", "int32")
        """(N,) tokens of each sequence"""

    def __len__(self) -> int:
        """N, the number of sequences."""
        return len(self.lengths)

    def __getitem__(self, index: int) -> NDArray[np.integer]:
        """Token ids (length,) of a sequence; read-only."""
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        return self.tokens[self._offsets[index] : self._offsets[index + 1]]


class Joined:
    """Sequences of several parts, one after another, of which only the lengths are held in memory."""

    def __init__(self, parts: Sequence["Sequences | Joined"]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self.lengths: NDArray[np.int32] = np.concatenate([part.lengths for part in parts])
        """(N,) tokens of each sequence"""

    def __len__(self) -> int:
        """N, the number of sequences."""
        return len(self.lengths)

    def __getitem__(self, index: int) -> NDArray[np.integer]:
        """Token ids (length,) of a sequence; read-only."""
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        part = int(np.searchsorted(self._ends, index, side="right"))
        return self._parts[part][index - int(self._ends[part]) + len(self._parts[part])]


class SequenceWriter:
    """Buffered writer of the three files of a side, which goes on where a killed one had written all."""

    def __init__(self, folder: Path, side: str, token_type: str, stack: ExitStack, before: Sequence[int] = ()) -> None:
        """Opens the files; when `stack` is closed, the buffer is written and they are closed.

        `before` is what `written` gave; what the files hold beyond it is cut off.
        """
        self._type = token_type
        paths = [folder / f"{side}.{part}" for part in _PARTS]
        self._files = [stack.enter_context(path.open("r+b" if before else "w+b")) for path in paths]
        self._tokens: list[int] = []
        self._lengths: list[int] = []
        self._end, *sizes = before or (0, 0, 0, 0)
        for file, size in zip(self._files, sizes, strict=True):
            file.truncate(size)
            file.seek(size)
        if not before:
            self._files[1].write(np.zeros(1, np.int64).tobytes())
        stack.callback(self._write)

    def append(self, tokens: Sequence[int]) -> None:
        self._tokens.extend(tokens)
        self._lengths.append(len(tokens))
        if len(self._lengths) == _BUFFERED_SEQUENCES or len(self._tokens) > _BUFFERED_TOKENS:
            self._write()

    def written(self) -> list[int]:
        """Number of tokens, and sizes of the files, when all so far is on the disk."""
        self._write()
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        return [self._end, *(file.tell() for file in self._files)]

    def _write(self) -> None:
        ends = self._end + np.cumsum(self._lengths, dtype=np.int64)
        parts = [np.asarray(self._tokens, self._type), ends, np.asarray(self._lengths, np.int32)]
        for file, part in zip(self._files, parts, strict=True):
            file.write(part.tobytes())
        self._end += len(self._tokens)
        self._tokens.clear()
        self._lengths.clear()


def progress_of(folder: Path) -> dict[str, Any]:
    """What a killed process had encoded into a folder; empty where there is nothing."""
    with suppress(OSError, ValueError):
        return dict(json.loads((folder / PROGRESS).read_bytes()))
    return {}


def encoded_folder(
    cache: Path, key: Sequence[object], encode: Callable[[Path], dict[str, Any]], description: str
) -> tuple[Path, dict[str, Any]]:
    """Cache folder of a key, and its meta; if it is missing or damaged, `encode` fills a new one.

    `encode` writes files and returns what meta.json holds besides their sizes; what a killed one had written before its
    PROGRESS is there again. DataError when writing fails, into a temporary cache too, and for a folder that is there
    and cannot be read, as one of another user's, which is left alone.
    """
    name = Path("encoded") / hashlib.sha256(json.dumps([_FORMAT, *key]).encode()).hexdigest()
    try:
        return in_cache(cache, lambda root: _encoded(root / name, encode, description))
    except OSError as error:
        room = "free some space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise DataError(
            f"{description}: the encoded text cannot be kept in {cache / 'encoded'}: {error.strerror or error};"
            f" {room}name another folder in S2S_CACHE"
        ) from error


def _encoded(folder: Path, encode: Callable[[Path], dict[str, Any]], description: str) -> tuple[Path, dict[str, Any]]:
    try:
        with building(folder, lambda place: _meta(place) is not None, progress=PROGRESS) as fresh:
            if fresh is not None:
                more = encode(fresh)
                (fresh / PROGRESS).unlink(missing_ok=True)
                sizes = {path.name: path.stat().st_size for path in fresh.iterdir()}
                text = json.dumps({"description": description, **more, "bytes": sizes}, indent=1)
                (fresh / "meta.json").write_text(text + "\n", encoding="utf-8")
        hold(folder)
        meta = _meta(folder)
    except PermissionError as error:
        if Path(str(error.filename)).parent != folder:
            raise
        raise DataError(
            f"{description}: its encoded text is there and cannot be read ({error.filename}: {error.strerror}); ask its"
            " owner for the right to read it (chmod -R a+rX), or name another folder in S2S_CACHE"
        ) from error
    assert meta is not None, folder
    return folder, meta


def token_type(tokenizer: Tokenizer) -> str:
    """Smallest numpy type for the ids of a tokenizer."""
    return "uint16" if tokenizer.vocabulary_size <= 2**16 else "int32"


def _meta(folder: Path) -> dict[str, Any] | None:
    """Content of meta.json; None where it is missing or damaged, or a file has another size than it says.

    PermissionError for a file that is there and cannot be read.
    """
    with suppress(FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        meta = json.loads((folder / "meta.json").read_bytes())
        if {name: (folder / name).stat().st_size for name in meta["bytes"]} == meta["bytes"]:
            for name in meta["bytes"]:
                (folder / name).open("rb").close()
            return dict(meta)
    return None


def identity_of(paths: Sequence[Path]) -> str:
    """SHA-256 over the contents of files, in their order; DataError names one that cannot be read, or only once."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_fifo():
            raise DataError(f"{path}: is a pipe, which can be read only once, and here more is needed; give a file")
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _mapped(path: Path, kind: str) -> NDArray[Any]:
    if path.stat().st_size == 0:
        return np.zeros(0, kind)  # an empty file cannot be mapped
    return np.memmap(path, dtype=kind, mode="r").view(np.ndarray)
