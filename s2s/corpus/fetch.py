"""Download of one file, which is always whole and verified, or absent."""

import gzip
import hashlib
import tempfile
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator
from tqdm import tqdm

from s2s.errors import CorpusError
from s2s.files import is_unfinished, locked, writing

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16
SPARE_BYTES = 1 << 16  # for the head of an archive and its other members
_RETRY = "nothing was kept, so run the same command again, and if it stays so the origin has changed"


class Kept(BaseModel):
    """One file as it is kept: its size and checksum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(ge=0, description="Size of the file as it is kept, in bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file as it is kept, in hexadecimal.")

    def is_verified(self, path: Path) -> bool:
        """Whether the file at path is there with the right size and checksum."""
        return path.is_file() and path.stat().st_size == self.bytes and sha256_of(path) == self.sha256


class Download(Kept):
    """One file to fetch: also its origin, and how it is unpacked."""

    url: str = Field(pattern=r"^https?://\S+$", description="Address of the download, pinned so that it never changes.")
    unpack: str = Field(
        default="none", pattern=r"^(none|gzip|zip:.+)$", description="none, gzip, or zip:MEMBER of a zip archive."
    )
    normalise: bool = Field(
        default=True, description="Whether it is text, kept without a byte-order mark and with LF after every line."
    )
    download_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the download before unpacking, if known."
    )
    unencrypted: bool = Field(default=False, description="Whether its origin has http only, where anyone could look.")

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        self.require_encrypted(self.url)
        return self

    def require_encrypted(self, url: str) -> None:
        """ValueError for an address to read it from that is not https, unless it may be."""
        if not (self.unencrypted or url.startswith("https://")):
            raise ValueError(
                f"url: must begin with https:// (given {url}); for an origin without it: unencrypted = true"
            )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(item: Download, destination: Path) -> None:
    """Puts the verified file at destination, which stays as it was if anything fails.

    One process at a time downloads into a folder; the next one takes what is there. A download longer than the file
    can be is given up. CorpusError for a URL that cannot be reached, a wrong checksum, or a full disk.
    """
    try:
        with locked(destination.parent):
            if item.is_verified(destination):
                return
            destination.parent.mkdir(parents=True, exist_ok=True)
            for left in filter(is_unfinished, destination.parent.iterdir()):
                left.unlink()
            with writing(destination) as temporary, tempfile.TemporaryFile(dir=destination.parent) as received:
                _receive(item, received, destination.name)
                with temporary.open("wb") as file:
                    _keep(item, received, file)
    except OSError as error:
        raise CorpusError(_reason(item, destination, error)) from error


class _Checked:
    """Writer into a file that counts and hashes the bytes, and takes `most` at most."""

    def __init__(self, file: IO[bytes], most: int, url: str) -> None:
        self._file, self._most, self._url = file, most, url
        self._size, self._digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            raise _changed(self._url, f"at most {self._most:,} bytes", "more")
        self._digest.update(data)
        self._file.write(data)

    def flush(self) -> None:
        """Nothing: pooch asks for it after each piece."""

    def verify(self, sha256: str, size: int | None = None) -> None:
        """CorpusError if other bytes were written."""
        expected, found = f"sha256 {sha256}", f"sha256 {self._digest.hexdigest()}"
        if size is not None:
            expected, found = f"{size:,} bytes with {expected}", f"{self._size:,} bytes with {found}"
        if expected != found:
            raise _changed(self._url, expected, found)


def _receive(item: Download, received: IO[bytes], name: str) -> None:
    """Downloads into a file, without unpacking: at most twice the size that is kept, as CRLF is twice LF."""
    from pooch import HTTPDownloader  # takes 0.1 s to import

    checked = _Checked(received, 2 * item.bytes + SPARE_BYTES, item.url)
    headers = {"User-Agent": "s2s", "Accept-Encoding": "identity"}
    with ExitStack() as stack:

        def close_at_the_end(response: Any, **_: Any) -> None:  # pooch leaves it open where an error ends the transfer
            stack.callback(response.close)
            try:
                item.require_encrypted(response.url)
            except ValueError as problem:
                raise CorpusError(f"{item.url}: was sent on to another address; {problem}") from None

        bar = stack.enter_context(tqdm(total=item.bytes, desc=name, unit="B", unit_scale=True, disable=None))
        hooks = {"response": close_at_the_end}
        HTTPDownloader(bar, CHUNK_BYTES, headers=headers, timeout=TIMEOUT_SECONDS, hooks=hooks)(item.url, checked, None)
    if item.download_sha256 is not None:
        checked.verify(item.download_sha256)
    received.seek(0)


def _keep(item: Download, received: IO[bytes], file: IO[bytes]) -> None:
    """Unpacks a download into a file and verifies it. pooch's own processors unpack without a bound."""
    checked = _Checked(file, item.bytes, item.url)
    try:
        with _unpacked(item, received) as stream:
            chunks = iter(lambda: stream.read(CHUNK_BYTES), b"")
            for piece in _normalised(stream, item.bytes + 4) if item.normalise else chunks:
                checked.write(piece)
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        fault = f"{item.url}: the download cannot be unpacked as {item.unpack} ({error})"
        raise CorpusError(f"{fault}; {_RETRY}") from error
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


def _normalised(stream: IO[bytes], longest: int) -> Iterator[bytes]:
    """Lines without a byte-order mark, each with LF as its end; none is read further than `longest` bytes."""
    line = stream.readline(longest).removeprefix(BOM_UTF8)
    while line:
        yield line.removesuffix(b"\n").removesuffix(b"\r") + b"\n"
        line = stream.readline(longest)


def _changed(url: str, expected: str, found: str) -> CorpusError:
    fault = f"{url}: the download is not the file that the manifest describes: expected {expected}, found {found}"
    return CorpusError(f"{fault}; {_RETRY}")


def _reason(item: Download, destination: Path, error: OSError) -> str:
    """Message about an error; those of the network are OSErrors without a number."""
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
