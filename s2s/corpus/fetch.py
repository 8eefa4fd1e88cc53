"""Download one file so that what stands at its place is always the whole, verified file, or nothing."""

import gzip
import hashlib
import http.client
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from s2s.errors import CorpusError

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16


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

    The transfer goes to `<destination>.part`, which survives a broken connection or a kill and is resumed by the next
    call; it is removed once its content proves wrong.
    Raises CorpusError for a URL that cannot be reached, a cut-off transfer, a wrong checksum, or a full disk.
    """
    part = destination.with_name(f"{destination.name}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _receive(item.url, part, destination)
        if item.download_sha256 is not None and (found := sha256_of(part)) != item.download_sha256:
            part.unlink()
            raise CorpusError(_changed(item.url, f"sha256 {item.download_sha256}", f"sha256 {found}"))
        _put_in_place(item, part, destination)
    except OSError as error:
        raise CorpusError(
            f"{destination}: cannot be written: {error.strerror or error}; free space or use --corpora DIR"
        ) from error


def _receive(url: str, part: Path, destination: Path) -> None:
    """Bring part to the full length of what the URL serves, continuing after the bytes that it already has."""
    received = part.stat().st_size if part.exists() else 0
    with _response(url, received, destination) as (response, start):
        if response is None:
            return
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        with (
            part.open("r+b" if part.exists() else "wb") as stream,
            tqdm(
                total=total,
                initial=start,
                desc=destination.name,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as progress,
        ):
            stream.seek(start)
            stream.truncate()
            for chunk in _chunks(response, url, destination):
                stream.write(chunk)
                progress.update(len(chunk))
        received = part.stat().st_size
    if total is not None and received < total:
        raise CorpusError(
            f"{url}: the connection ended after {received:,} of {total:,} bytes; run the same command to resume"
        )


@contextmanager
def _response(url: str, received: int, destination: Path) -> Iterator[tuple[http.client.HTTPResponse | None, int]]:
    """The response and the position in the file at which its body starts; None if nothing is left to receive."""
    headers = {"User-Agent": "s2s", **({"Range": f"bytes={received}-"} if received else {})}
    try:
        response = cast(http.client.HTTPResponse, urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS))
    except HTTPError as error:
        with error:
            whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if error.code == 416 and received:  # nothing lies after what is there: complete, or not a prefix of this file
            if whole and int(whole[1]) == received:
                yield None, received
                return
            with _response(url, 0, destination) as again:
                yield again
            return
        raise CorpusError(
            f"{url}: the server answered {error.code} {error.reason}; if that stays so, get the file elsewhere and "
            f"put it at {destination}"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise CorpusError(_unreachable(url, error, destination)) from error
    with response:
        start = 0
        if response.status == 206:
            position = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if position is None or int(position[1]) > received:
                raise CorpusError(
                    f"{url}: the server did not resume at byte {received:,}; remove {destination}.part and run again"
                )
            start = int(position[1])
        yield response, start


def _chunks(response: http.client.HTTPResponse, url: str, destination: Path) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK_BYTES)
        except http.client.IncompleteRead as error:
            chunk = error.partial
        except (OSError, http.client.HTTPException) as error:
            raise CorpusError(_unreachable(url, error, destination)) from error
        if not chunk:
            return
        yield chunk


def _put_in_place(item: Download, part: Path, destination: Path) -> None:
    """Unpack part under a name of this process's own, verify what was written, and only then rename it."""
    unpacked = destination.with_name(f".{destination.name}.{os.getpid()}-{secrets.token_hex(4)}")
    digest, size = hashlib.sha256(), 0
    try:
        with unpacked.open("xb") as stream:
            for piece in _pieces(item, part):
                stream.write(piece)
                digest.update(piece)
                size += len(piece)
            stream.flush()
            os.fsync(stream.fileno())
        if (size, digest.hexdigest()) != (item.bytes, item.sha256):
            part.unlink(missing_ok=True)
            expected = f"{item.bytes:,} bytes with sha256 {item.sha256}"
            raise CorpusError(_changed(item.url, expected, f"{size:,} bytes with sha256 {digest.hexdigest()}"))
        os.replace(unpacked, destination)
    finally:
        unpacked.unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _pieces(item: Download, part: Path) -> Iterator[bytes]:
    """The bytes to keep; a download that cannot be unpacked is removed."""
    try:
        with _unpacked(item, part) as stream:
            if item.normalise:
                yield from _normalised(stream)
            else:
                while piece := stream.read(CHUNK_BYTES):
                    yield piece
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        part.unlink(missing_ok=True)
        raise CorpusError(
            f"{item.url}: the download cannot be unpacked as {item.unpack} ({error}); it was removed, so run the same "
            "command again, and if it stays so the origin has changed"
        ) from error


@contextmanager
def _unpacked(item: Download, part: Path) -> Iterator[BinaryIO]:
    if item.unpack == "gzip":
        with gzip.open(part, "rb") as unzipped:
            yield cast(BinaryIO, unzipped)
    elif item.unpack.startswith("zip:"):
        with zipfile.ZipFile(part) as archive, archive.open(item.unpack.removeprefix("zip:")) as member:
            yield cast(BinaryIO, member)
    else:
        with part.open("rb") as stream:
            yield stream


def _normalised(stream: BinaryIO) -> Iterator[bytes]:
    for number, line in enumerate(stream):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line:
            yield line.removesuffix(b"\n").removesuffix(b"\r") + b"\n"


def _changed(url: str, expected: str, found: str) -> str:
    return (
        f"{url}: the download is not the file that the manifest describes: expected {expected}, found {found}; nothing "
        "was kept, so run the same command again, and if it stays so the origin has changed"
    )


def _unreachable(url: str, error: Exception, destination: Path) -> str:
    reason = getattr(error, "reason", None) or error
    return (
        f"{url}: cannot be downloaded: {reason}; check the network and run the same command again (it resumes), "
        f"or get the file elsewhere and put it at {destination}"
    )
