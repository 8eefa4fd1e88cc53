"""LibreTranslate's interface, with the fields and answers of its version 1.9."""

from typing import Any

from s2s.serve.arguments import Arguments, count_of, text_of, texts_of
from s2s.serve.codes import name_of
from s2s.serve.limits import Refused
from s2s.serve.pairs import Text
from s2s.serve.service import Answer, Service

AUTO = "auto"
PROBE = {"q": ["test"], "source": "en", "target": "de"}
"""What Weblate asks before it lets itself be set up."""


async def translate(service: Service, given: Arguments) -> Any:
    """POST /translate."""
    require_key(service, given)
    if service.weblate_probe and all(given.get(name) == value for name, value in PROBE.items()):
        return {"translatedText": PROBE["q"]}
    texts, listed = texts_of(given, "q")
    if not any(texts) and (not listed or not texts):
        raise Refused(400, "q: empty; give a text or a list of texts")
    source, target = text_of(given, "source"), text_of(given, "target")
    form = text_of(given, "format", "text")
    if form not in ("text", "html"):
        raise Refused(400, f"format: must be text or html (given {form[:40]!r})")
    alternatives = count_of(given, "alternatives")
    answers = await service.translate(
        [Text(text, "html" if form == "html" else "text") for text in texts],
        None if source.lower() == AUTO else source,
        target,
        alternatives=alternatives,
    )
    fields: dict[str, list[Any]] = {"translatedText": [answer.texts[0] for answer in answers]}
    if alternatives:
        fields["alternatives"] = [answer.texts[1:] for answer in answers]
    if source.lower() == AUTO:
        fields["detectedLanguage"] = [_detected(answer) for answer in answers]
    return fields if listed else {name: values[0] for name, values in fields.items()}


def _detected(answer: Answer) -> dict[str, Any]:
    return {"confidence": answer.source.confidence, "language": answer.source.language}


async def apertium(service: Service, given: Arguments) -> Any:
    """GET /translate?langpair=en|de, as clients of Apertium ask; Refused with 405 without a langpair."""
    if "langpair" not in given:
        raise Refused(405, "GET: send a translation by POST")
    require_key(service, given)
    (text, *_), _ = texts_of(given, "q")
    source, bar, target = text_of(given, "langpair").partition("|")
    if not bar:
        raise Refused(400, "langpair: must be two codes with | between them")
    [answer] = await service.translate([Text(text)], source, target)
    return {"responseStatus": 200, "responseDetails": None, "responseData": {"translatedText": answer.texts[0]}}


async def detect(service: Service, given: Arguments) -> Any:
    """POST /detect."""
    require_key(service, given)
    texts, _ = texts_of(given, "q")
    if not any(texts):
        raise Refused(400, "q: empty; give a text")
    service.require_size(texts)
    found = await service.pairs.detect(" ".join(texts))
    return [{"confidence": each.confidence, "language": each.language} for each in found]


async def languages(service: Service, given: Arguments) -> Any:
    """GET /languages: every source and every target has an entry."""
    pairs = service.pairs
    return [
        {"code": code, "name": name_of(code), "targets": pairs.targets_of(code)}
        for code in dict.fromkeys([*pairs.sources, *pairs.targets])
    ]


async def health(service: Service, given: Arguments) -> Any:
    """GET /health."""
    return {"status": "ok"}


async def settings(service: Service, given: Arguments) -> Any:
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
            "source": {"code": first.source, "name": name_of(first.source)},
            "target": {"code": first.target, "name": name_of(first.target)},
        },
        "limits": {
            "bodyBytes": service.limits.body,
            "texts": service.limits.texts,
            "waitingCharacters": service.limits.waiting,
            "seconds": service.limits.seconds,
        },
    }


def require_key(service: Service, given: Arguments) -> None:
    """Refused with 403 for a wrong api_key, which one client calls apiKey."""
    service.require_key(given.get("api_key") or given.get("apiKey"))
