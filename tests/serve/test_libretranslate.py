"""LibreTranslate's interface: what its clients send, and the fields that they read."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

Make = Callable[..., Any]
ENGLISH = {"source": "en", "target": "ko"}


def asked(client: httpx.Client, **given: Any) -> Any:
    answer = client.post("/translate", json={**ENGLISH, **given})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: httpx.Client, status: int = 400, **given: Any) -> str:
    answer = client.post("/translate", json={**ENGLISH, **given})
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])


def test_a_text_for_a_text_and_a_list_for_a_list(client: httpx.Client) -> None:
    assert asked(client, q="hello there") == {"translatedText": "HELLO THERE"}
    assert asked(client, q=["b", "", "a", " \n "]) == {"translatedText": ["B", "", "A", " \n "]}
    assert asked(client, q=["one"]) == {"translatedText": ["ONE"]}
    assert asked(client, q="  ") == {"translatedText": "  "}


def test_sentences_line_ends_and_placeables_are_kept(client: httpx.Client) -> None:
    text = "One two. Three?\n\n  Press [X6X] or %s.\n"
    assert asked(client, q=text)["translatedText"] == "ONE TWO. THREE?\n\n  PRESS [X6X] OR %s.\n"
    assert asked(client, q="a &amp; b")["translatedText"] == "A &AMP; B"


def test_html_keeps_tags_and_stays_escaped(client: httpx.Client) -> None:
    html = '<p class="x">hello <b>you</b> &lt;3</p><code translate="no">let it</code>'
    expected = '<p class="x">HELLO <b>YOU</b> &lt;3</p><code translate="no">let it</code>'
    assert asked(client, q=html, format="html")["translatedText"] == expected


def test_a_blank_translation_is_the_text_itself(client: httpx.Client) -> None:
    assert asked(client, q="silence")["translatedText"] == "silence"


def test_auto_tells_the_language_of_each(client: httpx.Client) -> None:
    found = asked(client, q=["die Tür", "the door"], source="auto", target="en")
    assert found["translatedText"] == ["DIE TÜR", "THE DOOR"]
    assert found["detectedLanguage"] == [{"confidence": 100.0, "language": "de"}] * 2  # nothing else goes to English
    found = asked(client, q="the door", source="auto", target="ko")
    assert found["detectedLanguage"] == {"confidence": 100.0, "language": "en"}


def test_alternatives_are_others_and_only_where_they_are_asked_for(client: httpx.Client) -> None:
    assert asked(client, q="a", alternatives=2) == {"translatedText": "A", "alternatives": ["A!", "A!!"]}
    assert asked(client, q=["a"], alternatives="1")["alternatives"] == [["A!"]]
    assert "alternatives" not in asked(client, q="a", alternatives=0)
    assert len(asked(client, q="a", alternatives=999)["alternatives"]) == 10


@pytest.mark.parametrize("target", ["ko", "KO", "Korean", "kor"])
def test_codes_in_any_case(client: httpx.Client, target: str) -> None:
    assert asked(client, q="a", target=target, source="EN") == {"translatedText": "A"}


def test_what_clients_add_is_passed_over(client: httpx.Client) -> None:
    for extra in ({"api_key": None}, {"api_key": ""}, {"api_key": "any"}, {"apiKey": "any"}, {"secret": 1}):
        assert asked(client, q="a", **extra) == {"translatedText": "A"}


def test_arguments_may_stand_anywhere(client: httpx.Client) -> None:
    expected = {"translatedText": "ÄÖ\nB"}
    values = {"q": "äö\nb", **ENGLISH}
    content = json.dumps(values)
    assert client.post("/translate", data=values).json() == expected
    assert client.post("/translate", data={**values, "q": "äö\r\nb"}).json() == expected
    assert client.post("/translate", files={name: (None, value) for name, value in values.items()}).json() == expected
    assert client.post("/translate", params=values).json() == expected  # no body, no content type
    assert client.post("/translate", params=ENGLISH, data={"q": "äö\nb"}).json() == expected
    for kind in ("application/json; charset=utf-8", "application/json;charset=UTF-8", ""):
        assert client.post("/translate", content=content, headers={"content-type": kind}).json() == expected
    repeated = client.post("/translate", data={"q": ["a", "b"], **ENGLISH})
    assert repeated.json() == {"translatedText": ["A", "B"]}


@pytest.mark.parametrize("path", ["/translate", "//translate", "/translate/", "/"])
def test_paths_of_careless_clients(client: httpx.Client, path: str) -> None:
    assert client.post(client.base_url.join("/").copy_with(path=path), json={"q": "a", **ENGLISH}).json() == {
        "translatedText": "A"
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"q": ""}, "q: empty"),
        ({"q": []}, "q: empty"),
        ({"q": None}, "q: missing"),
        ({"q": 5}, "q: must be a text or a list"),
        ({"q": ["a", None]}, "q: must be a text or a list"),
        ({"q": "a", "source": None}, "source: missing"),
        ({"q": "a", "source": ["en"]}, "source: must be a text"),
        ({"q": "a", "target": ""}, "target: missing"),
        ({"q": "a", "target": "fr"}, "en to fr is not served; there are: en → ko, en → de, de → en"),
        ({"q": "a", "target": "en"}, "en to en is not served"),
        ({"q": "a", "source": "auto", "target": "fr"}, "nothing is translated to fr"),
        ({"q": "a", "format": "pdf"}, "format: must be text or html"),
        ({"q": "a", "alternatives": -1}, "alternatives: must be a whole number"),
        ({"q": "a", "alternatives": True}, "alternatives: must be a whole number"),
        ({"q": "a" * 100_001}, "100,001 characters; a request may have 100,000"),
        ({"q": ["a"] * 1001}, "1,001 texts; a request may have 1,000"),
    ],
)
def test_what_is_wrong_is_said(client: httpx.Client, given: dict[str, Any], words: str) -> None:
    assert words in refused(client, **given)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("application/json", b'{"q": ', "not JSON at character"),
        ("application/json", b'["q"]', "must be a JSON object"),
        ("application/json", b'{"q": "a", "q": "b"}', "a key twice"),
        ("application/json", b'{"q": "\xff"}', "not UTF-8: byte 7 is 0xff"),
        ("application/json", b'{"q": "\\ud800"}', "half of a surrogate pair"),
        ("application/json", b"[" * 100_000, "nested too deeply"),
        ("application/json", b'{"q": ' + b"1" * 5000 + b"}", "not JSON"),
        ("application/json; charset=latin-1", b"{}", "must be UTF-8"),
        ("application/x-www-form-urlencoded", b"q=%ff", "not percent-encoded UTF-8"),
        ("application/x-www-form-urlencoded", b"q=a&source=en&source=de", "source: given twice"),
        ("application/x-www-form-urlencoded", b"a=1&" * 6000, "more than 5,000 arguments"),
        ("multipart/form-data", b"--x", "multipart body cannot be read"),
        ("multipart/form-data; boundary=y", b"--x", "multipart body cannot be read"),
    ],
)
def test_a_body_that_cannot_be_read(client: httpx.Client, kind: str, body: bytes, words: str) -> None:
    answer = client.post("/translate", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_get_is_for_apertiums_clients_alone(client: httpx.Client) -> None:
    assert client.get("/translate").status_code == 405
    for bar in ("|", "%7C"):
        found = client.get(f"/translate?langpair=en{bar}ko&q=a+b&markUnknown=no").json()
        assert found == {"responseStatus": 200, "responseDetails": None, "responseData": {"translatedText": "A B"}}


def test_languages_lists_sources_and_targets(client: httpx.Client) -> None:
    assert client.request("GET", "/languages", content=b'{"api_key": ""}').json() == [
        {"code": "en", "name": "English", "targets": ["ko", "de"]},
        {"code": "de", "name": "German", "targets": ["en"]},
        {"code": "ko", "name": "Korean", "targets": []},
    ]


def test_detection(client: httpx.Client, live_of: Make) -> None:
    assert client.post("/detect", data={"q": "die Katze"}).json()[0]["language"] == "de"
    [first, second] = client.post("/detect", json={"q": "the cat", "api_key": ""}).json()
    assert (first["language"], second["language"]) == ("en", "de")
    assert 0 <= second["confidence"] < first["confidence"] <= 100
    assert client.post("/detect", json={"q": ""}).status_code == 400
    one = live_of(("ko", "en", "")).client
    assert one.post("/detect", json={"q": "hello"}).json() == [{"confidence": 100.0, "language": "ko"}]


def test_health_and_settings(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    found = client.get("/frontend/settings").json()
    assert found["charLimit"] == 100_000
    assert not found["keyRequired"]
    assert found["language"]["source"] == {"code": "en", "name": "English"}


def test_a_key(live_of: Make) -> None:
    client = live_of(("en", "ko", ""), api_key="gehäim").client
    assert "none is given" in refused(client, 403, q="a")
    assert "another" in refused(client, 403, q="a", api_key="x")
    assert refused(client, 403, q="a", api_key=5)
    for name in ("api_key", "apiKey"):
        assert asked(client, q="a", **{name: "gehäim"}) == {"translatedText": "A"}
    assert client.get("/frontend/settings").json()["keyRequired"]
    assert client.get("/languages").status_code == 200
    assert client.post("/detect", json={"q": "a"}).status_code == 403
    assert client.post("/translations", json={"line": "a", **ENGLISH}).status_code == 403


def test_weblates_test_request(client: httpx.Client, live_of: Make) -> None:
    probe = {"q": ["test"], "source": "en", "target": "de"}
    korean = live_of(("en", "ko", ""), weblate_probe=True).client
    assert asked(korean, **probe) == {"translatedText": ["test"]}
    assert "not served" in refused(live_of(("en", "ko", "")).client, **probe)
    assert "not served" in refused(korean, **{**probe, "q": ["other"]})
    assert asked(client, **probe) == {"translatedText": ["TEST"]}
