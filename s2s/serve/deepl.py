"""DeepL's interface, version 2, as far as its clients and Weblate use it."""

from typing import Any, Literal

from s2s.serve.fields import Endpoint, Field, Given
from s2s.serve.pairs import Text
from s2s.serve.service import Service
from s2s.text.codes import base, name_of

CHARACTER_LIMIT = 10**12
"""Of /v2/usage: there is none, but clients take 0 for one that is reached."""
REGIONS = {"en": ("EN-US", "EN-GB"), "pt": ("PT-PT", "PT-BR")}
"""Targets that clients want in place of EN and PT, which they refuse to ask for."""
SPLITS: dict[str, bool | Literal["nonewlines"]] = {"0": False, "1": True, "nonewlines": "nonewlines"}


async def translate(service: Service, given: Given) -> Any:
    """POST /v2/translate; what is only preferred of a translation is passed over."""
    texts = [given["text"]] if isinstance(given["text"], str) else given["text"]
    tags = [given["ignore_tags"]] if isinstance(given["ignore_tags"], str) else given["ignore_tags"]
    ignored = tuple(part.strip() for names in tags for part in names.split(",") if part.strip())
    asked = [Text(text, given["tag_handling"], SPLITS[given["split_sentences"]], ignored) for text in texts]
    answers = await service.translate(asked, given["source_lang"], given["target_lang"], nearest=True)
    return {
        "translations": [
            {
                "detected_source_language": base(answer.source.language).upper(),
                "text": answer.texts[0],
                "billed_characters": len(text),
            }
            for text, answer in zip(texts, answers, strict=True)
        ]
    }


async def languages(service: Service, given: Given) -> Any:
    """GET /v2/languages?type=source|target."""
    if given["type"] == "source":
        codes = dict.fromkeys(base(code) for code in service.pairs.sources)
        return [{"language": code.upper(), "name": name_of(code)} for code in codes]
    codes = dict.fromkeys(each for code in service.pairs.targets for each in REGIONS.get(code, (code.upper(),)))
    return [{"language": code, "name": name_of(code), "supports_formality": False} for code in codes]


async def usage(service: Service, given: Given) -> Any:
    """GET /v2/usage."""
    return {"character_count": service.characters, "character_limit": CHARACTER_LIMIT}


async def glossary_pairs(service: Service, given: Given) -> Any:
    """GET /v2/glossary-language-pairs."""
    return {"supported_languages": []}


async def glossaries(service: Service, given: Given) -> Any:
    """GET /v2/glossaries."""
    return {"glossaries": []}


TRANSLATE = {
    "text": Field("texts"),
    "target_lang": Field("target"),
    "source_lang": Field("source", None),
    "tag_handling": Field("choice", "text", ("xml", "html")),
    "ignore_tags": Field("texts", ()),
    "split_sentences": Field("choice", "1", ("0", "1", "nonewlines")),
    "formality": Field("choice", None, ("default", "prefer_more", "prefer_less")),
    "glossary_id": Field("choice", None),
}
TRANSLATIONS = {"translations": [{"detected_source_language": str, "text": str, "billed_characters": int}]}
LANGUAGES = Endpoint(
    languages,
    {"type": Field("choice", "source", ("source", "target"))},
    [{"language": str, "name": str, "supports_formality?": bool}],
)
PATHS = {
    "/v2/translate": {"POST": Endpoint(translate, TRANSLATE, TRANSLATIONS)},
    "/v2/languages": {"GET": LANGUAGES, "POST": LANGUAGES._replace(returns=None)},
    "/v2/usage": {"GET": Endpoint(usage, {}, {"character_count": int, "character_limit": int})},
    "/v2/glossary-language-pairs": {"GET": Endpoint(glossary_pairs, {}, {"supported_languages": []})},
    "/v2/glossaries": {"GET": Endpoint(glossaries, {}, {"glossaries": []})},
}
