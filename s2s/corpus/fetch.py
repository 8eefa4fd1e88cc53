"""Download one file so that what stands at its place is always the whole, verified file, or nothing."""

import gzip
import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from s2s.errors import CorpusError
from s2s.files import is_unfinished, locked, writing

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16
SPARE_BYTES = 1 << 16  # for the head of an archive and its other members


class Download(BaseModel):
    """One file: where it comes from, how it is unpacked, and by what it is known to be right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://\S+$", description="Where it is downloaded, pinned so that it never changes.")
    bytes: int = Field(ge=0, description="Size of the file as it is kept, in bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file as it is kept, in hexadecimal.")
    unpack: str = Field(
        default="none",
        pattern=r"^(none|gzip|zip:.+)$",
        description="How the download is unpacked: none, gzip, or zip:MEMBER for one member of a zip archive.",
    )
    normalise: bool = Field(
        default=True,
        description="The file is text and kept in one form, that of its size and checksum: no byte-order mark, LF as "
        "line end, also of the last line.",
    )
    download_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the download before it is unpacked, where the origin is known to that detail.",
    )

    def is_verified(self, path: Path) -> bool:
        """Whether the file at path is there with the right size and checksum."""
        return path.is_file() and path.stat().st_size == self.bytes and sha256_of(path) == self.sha256


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(item: Download, destination: Path) -> None:
    """Put the file at destination, verified; whatever fails, destination stays as it was.

    One process at a time downloads into a folder; the next one takes what is there. What is longer than the file can
    be is given up. Raises CorpusError for a URL that cannot be reached, a wrong checksum, or a full disk.
    """
    try:
        with locked(destination.parent):
            if item.is_verified(destination):
                return
            destination.parent.mkdir(parents=True, exist_ok=True)
            for left in filter(is_unfinished, destination.parent.iterdir()):
                left.unlink()  # by a kill
            with writing(destination) as temporary, tempfile.TemporaryFile(dir=destination.parent) as received:
                _receive(item, received, destination.name)
                with temporary.open("wb") as file:
                    _keep(item, received, file)
    except OSError as error:
        raise CorpusError(_reason(item, destination, error)) from error


class _Checked:
    """Hands bytes on to a file, counts and hashes them, and takes no more than there may be."""

    def __init__(self, file: IO[bytes], most: int, url: str) -> None:
        self._file, self._most, self._url = file, most, url
        self._size, self._digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            raise CorpusError(_changed(self._url, f"at most {self._most:,} bytes", "more"))
        self._digest.update(data)
        self._file.write(data)

    def flush(self) -> None:
        """Nothing: pooch asks for it after each piece."""

    def verify(self, sha256: str, size: int | None = None) -> None:
        """CorpusError if what was written is something else."""
        expected, found = f"sha256 {sha256}", f"sha256 {self._digest.hexdigest()}"
        if size is not None:
            expected, found = f"{size:,} bytes with {expected}", f"{self._size:,} bytes with {found}"
        if expected != found:
            raise CorpusError(_changed(self._url, expected, found))


def _receive(item: Download, received: IO[bytes], name: str) -> None:
    """Download into a file, as it comes: at most twice the size that is kept, as CRLF is twice LF."""
    from pooch import HTTPDownloader  # takes 0.1 s to import

    checked = _Checked(received, 2 * item.bytes + SPARE_BYTES, item.url)
    headers = {"User-Agent": "s2s", "Accept-Encoding": "identity"}
    with ExitStack() as stack:

        def close_at_the_end(response: Any, **_: Any) -> None:  # pooch leaves it open where an error ends the transfer
            stack.callback(response.close)

        bar = stack.enter_context(tqdm(total=item.bytes, desc=name, unit="B", unit_scale=True, disable=None))
        hooks = {"response": close_at_the_end}
        HTTPDownloader(bar, CHUNK_BYTES, headers=headers, timeout=TIMEOUT_SECONDS, hooks=hooks)(item.url, checked, None)
    if item.download_sha256 is not None:
        checked.verify(item.download_sha256)
    received.seek(0)


def _keep(item: Download, received: IO[bytes], file: IO[bytes]) -> None:
    """Unpack what was received into a file and verify it. pooch's own processors unpack without a bound."""
    checked = _Checked(file, item.bytes, item.url)
    try:
        with _unpacked(item, received) as stream:
            for piece in _normalised(stream, item.bytes + 4) if item.normalise else _chunks(stream):
                checked.write(piece)
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise CorpusError(
            f"{item.url}: the download cannot be unpacked as {item.unpack} ({error}); nothing was kept, so run the "
            "same command again, and if it stays so the origin has changed"
        ) from error
    checked.verify(item.sha256, item.bytes)


@contextmanager
def _unpacked(item: Download, received: IO[bytes]) -> Iterator[IO[bytes]]:
    if item.unpack == "gzip":
        with gzip.open(received) as unzipped:
            yield cast(IO[bytes], unzipped)
    elif item.unpack.startswith("zip:"):
        with zipfile.ZipFile(received) as archive, archive.open(item.unpack.removeprefix("zip:")) as member:
            yield member
    else:
        yield received


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK_BYTES), b"")


def _normalised(stream: IO[bytes], longest: int) -> Iterator[bytes]:
    """The lines without a byte-order mark, each with LF as its end; none is read further than `longest` bytes."""
    line = stream.readline(longest).removeprefix(b"\xef\xbb\xbf")
    while line:
        yield line.removesuffix(b"\n").removesuffix(b"\r") + b"\n"
        line = stream.readline(longest)


def _changed(url: str, expected: str, found: str) -> str:
    return (
        f"{url}: the download is not the file that the manifest describes: expected {expected}, found {found}; nothing "
        "was kept, so run the same command again, and if it stays so the origin has changed"
    )


def _reason(item: Download, destination: Path, error: OSError) -> str:
    """What went wrong, said to people. The errors of the network are OSErrors without a number."""
    if error.errno is not None:
        return f"{destination}: cannot be written: {error.strerror}; free space or use --corpora DIR"
    elsewhere = f"get the file elsewhere and put it at {destination}"
    response = getattr(error, "response", None)
    if response is not None:
        answer = f"{response.status_code} {response.reason}"
        return f"{item.url}: the server answered {answer}; if that stays so, {elsewhere}"
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    why = getattr(cause, "strerror", None) or cause
    return f"{item.url}: cannot be downloaded: {why}; check the network and run the same command again, or {elsewhere}"
