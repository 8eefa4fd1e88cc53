"""Downloads against a local server: whole, cut off, changed, missing, packed; never a half or a wrong file in place."""

import gzip
import hashlib
import io
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from s2s.corpus.fetch import Download, download, sha256_of
from s2s.errors import CorpusError

CONTENT = b"".join(b"line %d of a file that is long enough to be cut\n" % number for number in range(5000))


class Origin(ThreadingHTTPServer):
    """A file server on the loopback interface that can misbehave on request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.cut_after: int | None = None
        """Bytes of a body after which the connection is dropped."""
        self.endless = False
        """Whether the body of any file goes on and on."""
        self.sent = 0
        """Bytes of endless bodies."""
        self.accepted: list[str | None] = []
        """What each request said of packing."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Answer(BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        self.server.accepted.append(self.headers.get("Accept-Encoding"))
        if self.server.endless:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.server.sent += self.wfile.write(CONTENT)
        content = self.server.files.get(self.path.removeprefix("/"))
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_after])

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: stderr belongs to the tests."""


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    monkeypatch.setenv("no_proxy", "*")
    with Origin() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def described(url: str, content: bytes = CONTENT, **more: object) -> Download:
    sha256 = hashlib.sha256(content).hexdigest()
    return Download.model_validate({"url": url, "bytes": len(content), "sha256": sha256, "unencrypted": True, **more})


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_is_put_in_place(origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    origin.files["train.de"] = CONTENT
    item, destination = described(origin.url("train.de")), tmp_path / "new" / "folder" / "train.de"
    assert not item.is_verified(destination)
    download(item, destination)
    assert destination.read_bytes() == CONTENT
    assert item.is_verified(destination)
    assert left_in(destination.parent) == ["train.de"]
    assert capsys.readouterr() == ("", ""), "progress is for terminals"


def test_an_empty_file_is_a_file(origin: Origin, tmp_path: Path) -> None:
    origin.files["empty"] = b""
    download(described(origin.url("empty"), b""), tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("cut_after", [0, 1000, len(CONTENT) - 1])
def test_a_cut_off_file_is_not_kept(origin: Origin, tmp_path: Path, cut_after: int) -> None:
    origin.files["train.de"] = CONTENT
    origin.cut_after = cut_after
    item, destination = described(origin.url("train.de")), tmp_path / "train.de"
    with pytest.raises(CorpusError, match=f"{item.url}: cannot be downloaded: .*check the network and run the same"):
        download(item, destination)
    assert left_in(tmp_path) == []
    origin.cut_after = None
    download(item, destination)
    assert destination.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["train.de"]


def test_what_a_kill_left_is_removed(origin: Origin, tmp_path: Path) -> None:
    origin.files["train.de"] = CONTENT
    (tmp_path / ".train.de.1234.tmp").write_bytes(CONTENT[:10])
    download(described(origin.url("train.de")), tmp_path / "train.de")
    assert left_in(tmp_path) == ["train.de"]


def test_a_body_without_end_is_given_up(origin: Origin, tmp_path: Path) -> None:
    origin.endless = True
    item = described(origin.url("train.de"))
    with pytest.raises(CorpusError, match=r"expected at most [0-9,]+ bytes, found more"):
        download(item, tmp_path / "train.de")
    assert left_in(tmp_path) == []
    assert origin.sent < 100 * len(CONTENT)


@pytest.mark.parametrize("unpack", ["gzip", "zip:fra.txt"])
@pytest.mark.parametrize("line", [b"", b"\n"], ids=["one line", "lines"])
def test_what_unpacks_to_more_than_the_file_is_given_up(
    origin: Origin, tmp_path: Path, unpack: str, line: bytes
) -> None:
    bomb = (b"0" * 1023 + (line or b"0")) * 50_000
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("fra.txt", bomb)
    origin.files["packed"] = gzip.compress(bomb) if unpack == "gzip" else archive.getvalue()
    tracemalloc.start()
    with pytest.raises(CorpusError, match=f"expected at most {len(CONTENT):,} bytes, found more"):
        download(described(origin.url("packed"), unpack=unpack), tmp_path / "file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(bomb) / 5
    assert left_in(tmp_path) == []


def test_the_bytes_are_those_that_the_origin_keeps(origin: Origin, tmp_path: Path) -> None:
    """Asked for nothing else, a server may pack them for the way, or unpack them."""
    origin.files["train.de"] = CONTENT
    download(described(origin.url("train.de")), tmp_path / "train.de")
    assert origin.accepted == ["identity"]


def test_a_changed_file_is_refused_with_both_checksums(origin: Origin, tmp_path: Path) -> None:
    changed = CONTENT.replace(b"line 7 ", b"line 8 ")
    origin.files["train.de"] = changed
    (tmp_path / "train.de").write_bytes(b"what was there before")
    item = described(origin.url("train.de"))
    with pytest.raises(CorpusError) as raised:
        download(item, tmp_path / "train.de")
    assert f"expected {item.bytes:,} bytes with sha256 {item.sha256}" in str(raised.value)
    found = hashlib.sha256(changed).hexdigest()
    assert f"found {len(changed):,} bytes with sha256 {found}" in str(raised.value)
    assert left_in(tmp_path) == ["train.de"]
    assert (tmp_path / "train.de").read_bytes() == b"what was there before"


def test_a_wrong_file_in_place_is_replaced(origin: Origin, tmp_path: Path) -> None:
    origin.files["train.de"] = CONTENT
    (tmp_path / "train.de").write_bytes(b"wrong")
    download(described(origin.url("train.de")), tmp_path / "train.de")
    assert (tmp_path / "train.de").read_bytes() == CONTENT


def test_a_missing_file_names_url_and_what_to_do(origin: Origin, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as raised:
        download(described(origin.url("gone")), tmp_path / "gone")
    assert f"{origin.url('gone')}: the server answered 404 Not Found" in str(raised.value)
    assert f"put it at {tmp_path / 'gone'}" in str(raised.value)
    assert left_in(tmp_path) == []


def test_no_server_is_an_error_that_speaks_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with Origin() as server:
        url = server.url("train.de")
    with pytest.raises(CorpusError) as raised:
        download(described(url), tmp_path / "train.de")
    assert f"{url}: cannot be downloaded" in str(raised.value)
    assert "check the network" in str(raised.value)
    assert left_in(tmp_path) == []


def test_gzip_is_unpacked_and_checked_on_both_sides(origin: Origin, tmp_path: Path) -> None:
    packed = gzip.compress(CONTENT)
    origin.files["train.de.gz"] = packed
    item = described(origin.url("train.de.gz"), unpack="gzip", download_sha256=hashlib.sha256(packed).hexdigest())
    download(item, tmp_path / "train.de")
    assert (tmp_path / "train.de").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["train.de"]


def test_another_packing_of_the_same_content_is_refused_where_the_origin_is_known(
    origin: Origin, tmp_path: Path
) -> None:
    origin.files["train.de.gz"] = gzip.compress(CONTENT, compresslevel=1)
    known = hashlib.sha256(gzip.compress(CONTENT, compresslevel=9)).hexdigest()
    with pytest.raises(CorpusError, match=f"expected sha256 {known}, found sha256 [0-9a-f]{{64}}"):
        download(described(origin.url("train.de.gz"), unpack="gzip", download_sha256=known), tmp_path / "train.de")
    assert left_in(tmp_path) == []


def test_a_member_of_a_zip_is_unpacked_under_its_own_name(origin: Origin, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("_about.txt", "terms")
        writer.writestr("fra.txt", CONTENT)
    origin.files["fra-eng.zip"] = archive.getvalue()
    download(described(origin.url("fra-eng.zip"), unpack="zip:fra.txt"), tmp_path / "eng-fra.txt")
    assert (tmp_path / "eng-fra.txt").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["eng-fra.txt"]
    with pytest.raises(CorpusError, match=r"cannot be unpacked as zip:spa\.txt"):
        download(described(origin.url("fra-eng.zip"), unpack="zip:spa.txt"), tmp_path / "eng-spa.txt")
    assert left_in(tmp_path) == ["eng-fra.txt"]


@pytest.mark.parametrize("unpack", ["gzip", "zip:fra.txt"])
@pytest.mark.parametrize("content", [b"", b"<html>an error page</html>", gzip.compress(CONTENT)[:-20]])
def test_what_cannot_be_unpacked_is_removed(origin: Origin, tmp_path: Path, unpack: str, content: bytes) -> None:
    origin.files["packed"] = content
    with pytest.raises(CorpusError, match=r"cannot be unpacked as|not the file that the manifest describes"):
        download(described(origin.url("packed"), unpack=unpack), tmp_path / "file")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "served", [b"one\r\ntwo\r\n", b"one\ntwo", b"\xef\xbb\xbfone\r\ntwo", b"one\ntwo\n", b"one\r\ntwo"]
)
def test_text_is_kept_in_one_form(origin: Origin, tmp_path: Path, served: bytes) -> None:
    origin.files["text"] = served
    download(described(origin.url("text"), b"one\ntwo\n"), tmp_path / "text")
    assert (tmp_path / "text").read_bytes() == b"one\ntwo\n"


def test_a_file_can_be_kept_as_it_is(origin: Origin, tmp_path: Path) -> None:
    served = b"\xef\xbb\xbfone\r\ntwo"
    origin.files["table.csv"] = served
    download(described(origin.url("table.csv"), served, normalise=False), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == served


def test_a_place_that_cannot_be_written_is_named(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_bytes(b"a file where a folder should be")
    destination = tmp_path / "occupied" / "train.de"
    with pytest.raises(CorpusError) as raised:
        download(described(origin.url("train.de")), destination)
    assert f"{destination}: cannot be written: " in str(raised.value)
    assert "--corpora" in str(raised.value)


def test_two_downloads_at_once_leave_one_right_file(origin: Origin, tmp_path: Path) -> None:
    origin.files["train.de"] = CONTENT
    item, destination = described(origin.url("train.de")), tmp_path / "train.de"

    with ThreadPoolExecutor(4) as pool:
        for attempt in [pool.submit(download, item, destination) for _ in range(4)]:
            attempt.result()
    assert item.is_verified(destination)
    assert left_in(tmp_path) == ["train.de"]
    assert len(origin.accepted) == 1, "the others waited and took what was there"


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    """The example of FIPS 180-2, appendix B.1."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_address_without_encryption_is_refused_unless_the_manifest_allows_it(origin: Origin, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"url: must begin with https:// \(given http://example\.org/a\)"):
        described("http://example.org/a", unencrypted=False)
    described("http://example.org/a")
    origin.files["a"] = CONTENT
    sent_on = described("https://example.org/a", unencrypted=False).model_copy(update={"url": origin.url("a")})
    with pytest.raises(CorpusError, match=r"was sent on to another address; url: must begin with https://"):
        download(sent_on, tmp_path / "a")
    assert left_in(tmp_path) == []
