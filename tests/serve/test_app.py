"""The application: every answer readable for its client, within its limits, and without texts in the log."""

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

Make = Callable[..., Any]
ENGLISH = {"source": "en", "target": "ko"}
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "Authorization, Content-Type",
    "access-control-max-age": "1728000",
}


@pytest.mark.parametrize(
    ("method", "path", "status", "keys"),
    [
        ("GET", "/nothing", 404, ["error"]),
        ("GET", "/v2/nothing", 404, ["message", "detail"]),
        ("DELETE", "/translate", 405, ["error"]),
        ("PUT", "/languages", 405, ["error"]),
        ("GET", "/v2/translate", 405, ["message", "detail"]),
    ],
)
def test_errors_are_json_of_the_interface(
    client: httpx.Client, method: str, path: str, status: int, keys: list[str]
) -> None:
    answer = client.request(method, path, content=b"read all the same")
    assert (answer.status_code, list(answer.json())) == (status, keys)
    assert status != 405 or "POST" in answer.headers["allow"] or "GET" in answer.headers["allow"]


@pytest.mark.parametrize(("path", "key"), [("/translate", "q"), ("/v2/translate", "text")])
def test_a_fault_is_told_without_its_text(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, path: str, key: str
) -> None:
    with caplog.at_level(logging.ERROR, "s2s"):
        answer = client.post(path, json={key: "explode, secret", **ENGLISH, "target_lang": "ko"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "MemoryError" in caplog.text
    assert "in _one" in caplog.text
    assert "secret" not in caplog.text
    assert client.post("/translate", json={"q": "a", **ENGLISH}).json() == {"translatedText": "A"}


def test_cors_is_on_every_answer_and_can_be_set(client: httpx.Client, live_of: Make) -> None:
    for answer in (
        client.options("/translate"),
        client.options("/nothing"),
        client.get("/health"),
        client.get("/nothing"),
        client.post("/translate"),
    ):
        assert CORS.items() <= dict(answer.headers).items()
        assert "access-control-allow-credentials" not in answer.headers
    assert client.options("/v2/translate").status_code == 204
    one = live_of(("en", "ko", ""), cors="https://a.example").client.get("/health")
    assert one.headers["access-control-allow-origin"] == "https://a.example"
    none = live_of(("en", "ko", ""), cors=None).client.get("/health")
    assert not [name for name in none.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/translate", "/v2/translate"])
def test_a_body_that_is_too_large_is_told_so(live_of: Make, path: str) -> None:
    live = live_of(("en", "ko", ""), limits={"body": 1000})
    for content in (b"x" * 1001, iter([b"x" * 400] * 9_000)):  # with a length, and in chunks
        answer = live.client.post(path, content=content)
        assert answer.status_code == 413
        assert "a request may have 1,000 bytes" in answer.text
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n".encode()
    assert live.raw(head).startswith(b"HTTP/1.1 413 ")


def test_a_megabyte_is_read(client: httpx.Client) -> None:
    answer = client.post("/translate", json={"q": "x" * 2**20, **ENGLISH})
    assert (answer.status_code, "characters" in answer.text) == (400, True)


def test_a_body_that_takes_too_long(live_of: Make) -> None:
    live = live_of(("en", "ko", ""), limits={"seconds": 0.1})
    head = b"POST /translate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
    assert live.raw(head).startswith(b"HTTP/1.1 408 ")


def test_requests_are_logged_without_texts(live_of: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = live_of(("en", "ko", ""), log_requests=True).client
    with caplog.at_level(logging.INFO, "s2s"):
        client.post("/translate?api_key=hidden", json={"q": "secret", **ENGLISH})
        client.get("/secret\u2028path")
    assert "POST /translate 200 " in caplog.text
    assert "hidden" not in caplog.text
    assert "secret" not in caplog.text.replace("secret\\u2028path", "")


def test_metrics(live_of: Make) -> None:
    client = live_of(("en", "ko", "")).client
    for text in ("a", "a", "b"):
        client.post("/translate", json={"q": text, **ENGLISH})
    client.get("/nothing")
    answer = client.get("/metrics")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        's2s_requests_total{path="/translate",status="200"} 3.0',
        's2s_requests_total{path="other",status="404"} 1.0',
        's2s_sentences_total{origin="searched",pair="en-ko"} 2.0',
        's2s_sentences_total{origin="cached",pair="en-ko"} 1.0',
        's2s_waiting_sentences{pair="en-ko"} 0.0',
        "s2s_characters_total 3.0",
    ):
        assert line in lines


def test_the_page_and_what_it_asks_for(client: httpx.Client, live_of: Make) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.lower().startswith("<!doctype html>")
    assert client.head("/").status_code == 200
    given = {"line": "a b", **ENGLISH, "nbest": 2, "attention": True}
    assert client.post("/translations", json=given).json() == {
        "text": "A B", "score": -3.0, "logProbability": -3.0, "flags": [], "tokens": ["A B"],
        "logProbabilities": [-3.0], "sourceTokens": [], "attention": None,
        "nbest": [{"text": "A B", "score": -3.0, "logProbability": -3.0},
                  {"text": "A B!", "score": -3.0, "logProbability": -3.0}],
    }  # fmt: skip
    assert client.post("/translations", json={**given, "line": ""}).json()["text"] == ""
    long = client.post("/translations", json={**given, "line": "w " * 80 + "w"}).json()
    assert (long["text"], long["flags"], long["score"]) == ("W " * 80 + "W", ["long"], None)
    for wrong in ({"line": None}, {"line": ["a"]}, {"attention": "x"}, {"nbest": "x"}, {"target": "fr"}):
        assert client.post("/translations", json={**given, **wrong}).status_code == 400
    assert live_of(("en", "ko", ""), api_key="k").client.get("/").status_code == 403


def test_the_specification_holds(live_of: Make) -> None:
    """Schemathesis makes requests from /spec, right ones and wrong ones, and compares the answers with it."""
    import schemathesis

    schema = schemathesis.openapi.from_url(f"{live_of(('en', 'ko', '')).url}/spec")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {"/translate", "/v2/translate"} < {operation.path for operation in operations}
    for operation in operations:

        @settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            case.call_and_validate()

        holds()
