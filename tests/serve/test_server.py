"""The process: clients as they are published, careless HTTP, those that go away, and the end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import deepl
import pytest
from capitals import Live, finished
from click.testing import CliRunner
from deep_translator import LibreTranslator
from libretranslatepy import LibreTranslateAPI
from load import Load

import s2s
from s2s.cli.commands import main
from s2s.errors import S2SError
from s2s.serve.server import bound

Make = Callable[..., Any]
JSON = b'{"q": "hello", "source": "en", "target": "ko"}'
ANSWER = '{"translatedText":"HELLO"}'


# Clients


def test_libretranslatepy(live: Live) -> None:
    api = LibreTranslateAPI(live.url)
    assert api.translate("hello there", "en", "ko") == "HELLO THERE"
    assert api.detect("die Katze")[0]["language"] == "de"
    assert [each["code"] for each in api.languages()] == ["en", "de", "ko"]


def test_deep_translator(live: Live) -> None:
    translator = LibreTranslator(source="en", target="ko", custom_url=f"{live.url}/", api_key="any")
    assert translator.translate("hello there") == "HELLO THERE"
    assert translator.translate("한" * 4999) == "한" * 4999  # in the query: 45,000 bytes


def test_deepl(live: Live) -> None:
    with closing(deepl.DeepLClient("key:fx", server_url=live.url)) as client:
        one = client.translate_text("Hello there.", target_lang="KO")
        assert (one.text, one.detected_source_lang, one.billed_characters) == ("HELLO THERE.", "EN", 12)
        several = client.translate_text(["a", "b"], source_lang="DE", target_lang="EN-US")
        assert [each.text for each in several] == ["A", "B"]
        xml = client.translate_text("a <x>b</x>", target_lang="KO", tag_handling="xml", ignore_tags=["x"])
        assert xml.text == "A <x>b</x>"
        assert [each.code for each in client.get_source_languages()] == ["EN", "DE"]
        assert [each.code for each in client.get_target_languages()] == ["KO", "DE", "EN-US", "EN-GB"]
        assert not client.get_usage().any_limit_reached
        assert not client.list_glossaries()
        with pytest.raises(deepl.DeepLException, match="formality"):
            client.translate_text("a", target_lang="KO", formality="more")


# HTTP


def request(body: bytes, *headers: str, version: str = "1.1", line: str = "POST /translate") -> bytes:
    lines = [f"{line} HTTP/{version}", "Host: x", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_http_10_and_a_connection_that_stays(live: Live) -> None:
    length = f"Content-Length: {len(JSON)}"
    assert live.raw(request(JSON, length, version="1.0")).decode().endswith(ANSWER)
    two = request(JSON, length) + request(JSON, length, "Connection: close")
    assert live.raw(two).decode().count(ANSWER) == 2
    get = request(JSON, length, line="GET /languages") + request(JSON, length, "Connection: close")
    assert live.raw(get).decode().endswith(ANSWER)  # a body of a GET is not the next request


def test_a_request_line_may_have_the_whole_address(live: Live) -> None:
    found = live.raw(
        request(JSON, f"Content-Length: {len(JSON)}", "Connection: close", line="POST http://x:80/translate")
    )
    assert found.decode().endswith(ANSWER)


def test_expect_100_continue(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(request(b"", f"Content-Length: {len(JSON)}", "Expect: 100-continue", "Connection: close"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(JSON)
        assert b"".join(iter(lambda: connection.recv(1000), b"")).decode().endswith(ANSWER)


def test_a_request_line_of_64_kib(live: Live) -> None:
    line = f"POST /translate?q={'%41' * 21_000}&source=en&target=ko"
    found = live.raw(request(b"", "Content-Length: 0", "Connection: close", line=line))
    assert found.endswith(b'"' + b"A" * 21_000 + b'"}')
    assert live.raw(b"\x16\x03\x01 not HTTP \r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_headers_have_a_limit(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.serve.server.HEAD_BYTES", 1000)
    for head in (b"GET /" + b"x" * 1000, b"GET / HTTP/1.1\r\nA: " + b"x" * 1000, b"GET / HTTP/1.1" + b"\r\na: b" * 200):
        assert live.raw(head).startswith(b"HTTP/1.1 400 ")
    assert live.raw(request(b"x" * 2000, "Content-Length: 2000", "Connection: close")).startswith(b"HTTP/1.1 400 ")
    assert b"The request line" not in live.raw(request(b"x" * 2000, "Content-Length: 2000", "Connection: close"))


def test_an_offer_of_http_2_loses_no_body(live: Live) -> None:
    offer = "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk"
    length = f"Content-Length: {len(JSON)}"
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        for headers in (offer, (), ("Connection: close",)):
            connection.sendall(request(JSON, length, *headers))
            assert read_to_brace(connection).decode().endswith(ANSWER)


def read_to_brace(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"}"):
        found += connection.recv(1000)
    return found


def test_headers_that_do_not_come_end_the_connection(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.serve.server.HEAD_SECONDS", 0.05)
    assert live.raw(b"POST /translate HT") == b""
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(request(JSON, f"Content-Length: {len(JSON)}"))
        read_to_brace(connection)
        connection.sendall(b"POST")
        assert connection.recv(1000) == b""


def test_one_who_goes_away_leaves_nothing_waiting(live_of: Make) -> None:
    live = live_of(("en", "ko", ""))
    queue = live.service.pairs[0].queue
    length = f"Content-Length: {len(JSON)}"
    with live.held(), ExitStack() as stays:
        connections = [socket.create_connection(("127.0.0.1", live.port), timeout=20) for _ in range(2)]
        stays.enter_context(connections[0]).sendall(request(JSON, length))
        live.until(lambda: queue.searched == 1 and not queue.waiting)
        with connections[1]:
            connections[1].sendall(request(JSON.replace(b"hello", b"he110"), length))
            live.until(lambda: queue.waiting == 1)
        live.until(lambda: queue.waiting == 0)


def test_a_translation_that_takes_too_long_is_given_up(live_of: Make) -> None:
    live = live_of(("en", "ko", ""), limits={"seconds": 0.1})
    with live.held():
        answer = live.client.post("/translate", content=JSON, headers={"content-type": "application/json"})
        assert answer.status_code == 503
        assert answer.json() == {"error": "not finished within 0.1 s; try again later"}


def test_a_small_load_of_good_and_bad_clients(live: Live) -> None:
    """10,000 requests to a trained model: `python tests/load.py --help`."""
    load = Load("127.0.0.1", live.port, "en", "ko", {f"word {number}.": f"WORD {number}." for number in range(50)})
    report = finished(load.run(requests=200, clients=32, pause=0.01))
    assert report.good == 180
    assert (report.lost, report.wrong) == (0, 0)
    assert report.bad == 20
    assert live.client.get("/health").json() == {"status": "ok"}


# The command


def test_the_command_listens_when_it_can_answer_and_ends_when_asked(run_folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    command = [sys.executable, "-m", "s2s", "serve", str(run_folder), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        assert process.stderr.readline() == "en → ko\n"
        port = int(process.stderr.readline().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(request(b"", f"Content-Length: {len(JSON)}", "Expect: 100-continue"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")  # it has begun, and is finished
            process.send_signal(signal.SIGTERM)
            connection.sendall(JSON)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert process.wait(20) == 0


def test_answers_are_sent_without_delay(live: Live) -> None:
    """asyncio switches Nagle's algorithm off for sockets that name TCP as their protocol, and for no others."""
    assert live.socket.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with bound("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(S2SError, match=rf"127.0.0.1:{port}: Address already in use; choose another --host or --p"):
            bound("127.0.0.1", port)
        result = CliRunner().invoke(main, ["serve", str(tmp_path), "--port", str(port)])
        assert (result.exit_code, "already in use" in result.stderr) == (1, True)
    with pytest.raises(S2SError, match=r"not\.a\.host:1: "):
        bound("not.a.host", 1)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(main, ["serve", str(tmp_path)])
    assert result.exit_code == 1
    assert "s2s serve needs uvicorn, which is not installed: pip install 's2s[serve]'" in result.stderr
