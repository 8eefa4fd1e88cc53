"""DeepL's interface: what its clients send, and the fields without which they fail."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

PATH = "/v2/translate"


def asked(client: httpx.Client, **given: Any) -> list[dict[str, Any]]:
    answer = client.post(PATH, json={"target_lang": "KO", **given})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["translations"]
    return found


def text_of(client: httpx.Client, text: str, **given: Any) -> str:
    return str(asked(client, text=[text], **given)[0]["text"])


def test_every_translation_has_all_three_fields_in_order(client: httpx.Client) -> None:
    assert asked(client, text=["b c", "", "a"]) == [
        {"detected_source_language": "EN", "text": "B C", "billed_characters": 3},
        {"detected_source_language": "EN", "text": "", "billed_characters": 0},
        {"detected_source_language": "EN", "text": "A", "billed_characters": 1},
    ]
    assert asked(client, text=[]) == []
    assert [each["text"] for each in asked(client, text="alone")] == ["ALONE"]


def test_forms_and_queries(client: httpx.Client) -> None:
    values = {"text": ["a", "b"], "target_lang": "ko", "source_lang": "en"}
    for answer in (client.post(PATH, data=values), client.post(PATH, params=values), client.post(PATH, json=values)):
        assert [each["text"] for each in answer.json()["translations"]] == ["A", "B"]


@pytest.mark.parametrize("target", ["EN", "en", "EN-US", "en-gb", "EN_US"])
def test_regions_are_passed_over(client: httpx.Client, target: str) -> None:
    assert asked(client, text="a", target_lang=target)[0]["detected_source_language"] == "DE"
    assert asked(client, text="a", target_lang=target, source_lang="de-AT")[0]["text"] == "A"


@pytest.mark.parametrize("target", ["ZH", "zh-hans", "ZH-HANT"])
def test_chinese_in_any_script(live_of: Callable[..., Any], target: str) -> None:
    assert text_of(live_of(("en", "zh", "")).client, "a", target_lang=target) == "A"


def test_markup(client: httpx.Client) -> None:
    xml = 'go <x id="6"></x> on <keep>this</keep> &amp; <b>that</b>'
    kept = 'GO <x id="6"></x> ON <keep>this</keep> &amp; <b>THAT</b>'
    assert text_of(client, xml, tag_handling="xml", ignore_tags=["keep", "x"]) == kept
    assert text_of(client, xml, tag_handling="xml", ignore_tags="keep,x") == kept
    html = '<p>go</p> <i translate="no">on</i>'
    assert text_of(client, html, tag_handling="html") == '<p>GO</p> <i translate="no">on</i>'
    assert text_of(client, "a &amp; c") == "A &AMP; C"


@pytest.mark.parametrize("split", ["0", "1", 0, 1, True, False, "nonewlines", None, ""])
def test_sentences_are_not_lost_however_they_are_split(client: httpx.Client, split: object) -> None:
    text = "One. Two.\nThree"
    assert text_of(client, text, split_sentences=split).split() == ["ONE.", "TWO.", "THREE"]


def test_what_is_only_preferred_is_passed_over(client: httpx.Client) -> None:
    options = {"formality": "prefer_more", "context": "c", "model_type": "quality_optimized", "glossary_id": None}
    assert text_of(client, "a", preserve_formatting=True, non_splitting_tags=["x"], outline_detection="0", **options)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": None}, "text: missing"),
        ({"text": [1]}, "text: must be a text or a list"),
        ({"text": "a", "target_lang": None}, "target_lang: missing"),
        ({"text": "a", "target_lang": "FR"}, "nothing is translated to FR"),
        ({"text": "a", "source_lang": "FR"}, "FR to KO is not served"),
        ({"text": "a", "formality": "more"}, "formality"),
        ({"text": "a", "glossary_id": "x"}, "glossary_id"),
        ({"text": "a", "tag_handling": "markdown"}, "tag_handling: must be xml or html"),
        ({"text": "a", "split_sentences": "2"}, "split_sentences"),
        ({"text": "a", "ignore_tags": 5}, "ignore_tags"),
    ],
)
def test_what_is_wrong_is_said(client: httpx.Client, given: dict[str, Any], words: str) -> None:
    answer = client.post(PATH, json={"target_lang": "KO", **given})
    assert answer.status_code == 400
    assert list(answer.json()) == ["message", "detail"]
    assert words in answer.json()["message"]


def test_languages(client: httpx.Client) -> None:
    sources = [{"language": "EN", "name": "English"}, {"language": "DE", "name": "German"}]
    targets = [
        {"language": "KO", "name": "Korean", "supports_formality": False},
        {"language": "DE", "name": "German", "supports_formality": False},
        {"language": "EN-US", "name": "English (US)", "supports_formality": False},
        {"language": "EN-GB", "name": "English (GB)", "supports_formality": False},
    ]
    assert client.get("/v2/languages").json() == sources
    for answer in (
        client.get("/v2/languages", params={"type": "target"}),
        client.request("GET", "/v2/languages", data={"type": "target"}),  # a form in the body of a GET
        client.post("/v2/languages", data={"type": "target"}),
    ):
        assert answer.json() == targets
    assert client.get("/v2/languages", params={"type": "x"}).status_code == 400


def test_usage_and_glossaries(client: httpx.Client) -> None:
    before = client.get("/v2/usage").json()
    asked(client, text=["12345"])
    after = client.get("/v2/usage").json()
    assert after["character_count"] == before["character_count"] + 5
    assert after["character_limit"] > 10**9
    assert client.get("/v2/glossary-language-pairs").json() == {"supported_languages": []}
    assert client.get("/v2/glossaries").json() == {"glossaries": []}


def test_a_prefix_doubled_by_a_base_url(client: httpx.Client) -> None:
    assert client.post("/v2/v2/translate", json={"text": "a", "target_lang": "KO"}).status_code == 200
    assert client.post("/v2//translate", json={"text": "a", "target_lang": "KO"}).status_code == 200


def test_a_key(live_of: Callable[..., Any]) -> None:
    client = live_of(("en", "ko", ""), api_key="k").client
    body = {"text": "a", "target_lang": "KO"}
    for headers in ({}, {"authorization": "DeepL-Auth-Key x"}, {"authorization": "Bearer k"}):
        answer = client.post(PATH, json=body, headers=headers)
        assert (answer.status_code, list(answer.json())) == (403, ["message", "detail"])
    assert client.get("/v2/languages").status_code == 403
    assert client.post(PATH, json=body, headers={"authorization": "DeepL-Auth-Key k"}).status_code == 200
    assert client.post(PATH, data={**body, "auth_key": "k"}).status_code == 200


def test_weblates_test_request(client: httpx.Client, live_of: Callable[..., Any]) -> None:
    probe = {"text": ["test"], "source_lang": "EN", "target_lang": "DE", "tag_handling": "xml", "ignore_tags": ["x"]}
    korean = live_of(("en", "ko", ""), weblate_probe=True).client
    assert asked(korean, **probe) == [{"detected_source_language": "EN", "text": "test", "billed_characters": 4}]
    assert korean.post(PATH, json={**probe, "text": ["other"]}).status_code == 400
    assert live_of(("en", "ko", "")).client.post(PATH, json=probe).status_code == 400
