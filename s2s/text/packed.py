"""Files opened as bytes, those that are packed unpacked while they are read, with an end to how much comes out."""

import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from s2s.errors import DataError

PACKED = {".gz": "gzip", ".xz": "xz", ".zst": "zstd"}
"""Endings of packed files, and what packs them."""
MOST_TIMES = 200
"""How many times its own size a packed file may hold."""
ALWAYS_BYTES = 1 << 30
"""What it may hold at any size."""
_BLOCK = 1 << 18


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Bytes of a file, unpacked; what goes wrong with them inside the block is a DataError."""
    kind = PACKED.get(path.suffix.lower(), "")
    try:
        with path.open("rb") as file:
            yield io.BufferedReader(_Unpacked(path, _pieces(file, path, kind)), _BLOCK) if kind else file
    except EOFError:
        raise DataError(f"{path}: the {kind} file is cut off before its end; copy or download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: the name ends in {path.suffix}, but it cannot be unpacked ({error}); rename plain text, else get"
            " it again"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}; give the path of a readable file"
        ) from None


def missing(problem: ImportError, path: Path) -> DataError:
    """The error for a file of which a library is missing."""
    return DataError(f"{path}: reading it needs {problem.name or problem}; install it with: pip install 's2s[files]'")


class _Unpacked(io.RawIOBase):
    """What comes out of a packed file, up to MOST_TIMES its size."""

    def __init__(self, path: Path, pieces: Iterator[bytes]) -> None:
        self._path, self._pieces, self._most = path, pieces, max(MOST_TIMES * path.stat().st_size, ALWAYS_BYTES)
        self._held, self._bytes = memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._held:
            self._held = memoryview(next(self._pieces, b""))
            self._bytes += len(self._held)
        if self._bytes > self._most:
            raise DataError(
                f"{self._path}: unpacks to more than {self._most:,} bytes, as no text of its size does; find out what"
                " it holds, and unpack it yourself if that is right"
            )
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


def _pieces(file: BinaryIO, path: Path, kind: str) -> Iterator[bytes]:
    """What comes out of a packed file; EOFError where it is cut off."""
    if kind == "gzip":
        with gzip.open(file) as unpacked:
            yield from iter(partial(unpacked.read1, _BLOCK), b"")
    elif kind == "xz":
        yield from _streams(file, lzma.LZMADecompressor, lzma.LZMAError)
    else:
        try:
            from backports import zstd
        except ImportError as problem:
            raise missing(problem, path) from None
        yield from _streams(file, zstd.ZstdDecompressor, zstd.ZstdError)


def _streams(file: BinaryIO, new: Callable[[], Any], broken: type[Exception]) -> Iterator[bytes]:
    """Streams of a file, one after another; xz may fill up with NUL bytes after each, where lzma.open stops."""
    held = file.read(_BLOCK)
    while True:
        stream = new()
        while not stream.eof:
            if stream.needs_input and not held and not (held := file.read(_BLOCK)):
                raise EOFError
            try:
                piece = stream.decompress(held, _BLOCK)
            except broken as problem:
                raise zlib.error(str(problem)) from None
            held = b""
            if piece:
                yield piece
        held = stream.unused_data or file.read(_BLOCK)
        while held and broken is lzma.LZMAError and not (held := held.lstrip(b"\0")):
            held = file.read(_BLOCK)
        if not held:
            return
