"""DeepL's interface, version 2, as far as its clients and Weblate use it."""

from typing import Any, Literal

from s2s.serve.arguments import Arguments, text_of, texts_of
from s2s.serve.codes import base, name_of
from s2s.serve.limits import Refused
from s2s.serve.pairs import Markup, Text
from s2s.serve.service import Service

CHARACTER_LIMIT = 10**12
"""Of /v2/usage: there is none, but clients take 0 for one that is reached."""
REGIONS = {"en": ("EN-US", "EN-GB"), "pt": ("PT-PT", "PT-BR")}
"""Targets that clients want in place of EN and PT, which they refuse to ask for."""
MARKUPS: dict[str, Markup] = {"": "text", "html": "html", "xml": "xml"}
SPLITS: dict[str, bool | Literal["nonewlines"]] = {
    "0": False, "false": False, "1": True, "true": True, "nonewlines": "nonewlines"
}  # fmt: skip


async def translate(service: Service, given: Arguments) -> Any:
    """POST /v2/translate."""
    texts, _ = texts_of(given, "text")
    target, source = text_of(given, "target_lang"), text_of(given, "source_lang", "")
    _require_servable(given)
    markup = MARKUPS.get(text_of(given, "tag_handling", ""))
    if markup is None:
        raise Refused(400, "tag_handling: must be xml or html")
    split = SPLITS.get(str(given.get("split_sentences", "1")).lower())
    if split is None:
        raise Refused(400, "split_sentences: must be 0, 1 or nonewlines")
    asked = [Text(text, markup, split, _tags(given.get("ignore_tags"))) for text in texts]
    answers = await service.translate(asked, source or None, target, nearest=True)
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


def _require_servable(given: Arguments) -> None:
    """Refused with 400 for what no model here can do; what is only preferred is passed over."""
    formality = text_of(given, "formality", "default")
    if formality not in ("default", "prefer_more", "prefer_less"):
        raise Refused(400, f"formality: {formality[:20]} is not supported; prefer_more and prefer_less are passed over")
    if given.get("glossary_id"):
        raise Refused(400, "glossary_id: there are no glossaries")


def _tags(value: Any) -> tuple[str, ...]:
    """Names of elements: a list, or a text with commas."""
    names = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused(400, "ignore_tags: must be a list of names, or names with commas between them")
    return tuple(part.strip() for name in names for part in name.split(",") if part.strip())


async def languages(service: Service, given: Arguments) -> Any:
    """GET /v2/languages?type=source|target."""
    kind = text_of(given, "type", "source")
    if kind not in ("source", "target"):
        raise Refused(400, "type: must be source or target")
    if kind == "source":
        codes = dict.fromkeys(base(code) for code in service.pairs.sources)
        return [{"language": code.upper(), "name": name_of(code)} for code in codes]
    codes = dict.fromkeys(each for code in service.pairs.targets for each in REGIONS.get(code, (code.upper(),)))
    return [{"language": code, "name": name_of(code), "supports_formality": False} for code in codes]


async def usage(service: Service, given: Arguments) -> Any:
    """GET /v2/usage."""
    return {"character_count": service.characters, "character_limit": CHARACTER_LIMIT}


async def glossary_pairs(service: Service, given: Arguments) -> Any:
    """GET /v2/glossary-language-pairs."""
    return {"supported_languages": []}


async def glossaries(service: Service, given: Arguments) -> Any:
    """GET /v2/glossaries."""
    return {"glossaries": []}
