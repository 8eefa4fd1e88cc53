"""LibreTranslate's interface, with the fields and answers of its version 1.9."""

from typing import Any

from s2s.serve.fields import Endpoint, Field, Given
from s2s.serve.limits import Refused
from s2s.serve.pairs import Text
from s2s.serve.service import Service
from s2s.text.codes import name_of

AUTO = "auto"
DETECTED = {"confidence": float, "language": str}


async def translate(service: Service, given: Given) -> Any:
    """POST /translate."""
    texts, listed = _listed(given["q"]), isinstance(given["q"], list)
    if not any(texts) and (not listed or not texts):
        raise Refused(400, "q: empty; give a text or a list of texts")
    source = None if given["source"].lower() == AUTO else given["source"]
    asked = [Text(text, given["format"]) for text in texts]
    answers = await service.translate(asked, source, given["target"], alternatives=given["alternatives"])
    fields: dict[str, list[Any]] = {"translatedText": [answer.texts[0] for answer in answers]}
    if given["alternatives"]:
        fields["alternatives"] = [answer.texts[1:] for answer in answers]
    if source is None:
        fields["detectedLanguage"] = [answer.source._asdict() for answer in answers]
    return fields if listed else {name: values[0] for name, values in fields.items()}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


async def apertium(service: Service, given: Given) -> Any:
    """GET /translate?langpair=en|de, as clients of Apertium ask; Refused with 405 without a langpair."""
    if not given["langpair"]:
        raise Refused(405, "GET: send a translation by POST", {"allow": "POST"})
    source, bar, target = given["langpair"].partition("|")
    if not bar:
        raise Refused(400, "langpair: must be two codes with | between them")
    [answer] = await service.translate([Text(given["q"])], source, target)
    return {"responseStatus": 200, "responseDetails": None, "responseData": {"translatedText": answer.texts[0]}}


async def detect(service: Service, given: Given) -> Any:
    """POST /detect."""
    texts = _listed(given["q"])
    if not any(texts):
        raise Refused(400, "q: empty; give a text")
    service.require_size(texts)
    return [each._asdict() for each in await service.pairs.detect(" ".join(texts))]


async def languages(service: Service, given: Given) -> Any:
    """GET /languages: every source and every target has an entry."""
    pairs = service.pairs
    return [
        {"code": code, "name": name_of(code), "targets": pairs.targets_of(code)}
        for code in dict.fromkeys([*pairs.sources, *pairs.targets])
    ]


async def health(service: Service, given: Given) -> Any:
    """GET /health."""
    return {"status": "ok"}


async def settings(service: Service, given: Given) -> Any:
    """GET /frontend/settings."""
    first, has_key = service.pairs[0], service.api_key is not None
    return {
        "charLimit": service.limits.characters,
        "frontendTimeout": 500,
        "apiKeys": has_key,
        "keyRequired": has_key,
        "suggestions": False,
        "filesTranslation": False,
        "supportedFilesFormat": [],
        "language": {
            side: {"code": code, "name": name_of(code)}
            for side, code in (("source", first.source), ("target", first.target))
        },
    }


TRANSLATE = Endpoint(
    translate,
    {
        "q": Field("texts"),
        "source": Field("source", values=(AUTO,)),
        "target": Field("target"),
        "format": Field("choice", "text", ("text", "html")),
        "alternatives": Field("count", 0),
    },
    {"translatedText": (str, [str]), "detectedLanguage?": (DETECTED, [DETECTED]), "alternatives?": ([str], [[str]])},
)
PATHS = {
    "/translate": {
        "GET": Endpoint(apertium, {"langpair": Field("text", ""), "q": Field("text", "")}),
        "POST": TRANSLATE,
    },
    "/detect": {"POST": Endpoint(detect, {"q": Field("texts")}, [DETECTED])},
    "/languages": {"GET": Endpoint(languages, {}, [{"code": str, "name": str, "targets": [str]}])},
    "/health": {"GET": Endpoint(health, {}, {"status": str})},
    "/frontend/settings": {"GET": Endpoint(settings, {}, {"charLimit": int, "language": {}})},
}
