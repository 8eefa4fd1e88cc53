"""The OpenAPI description of the interfaces."""

from typing import Any

from s2s import __version__
from s2s.serve.libretranslate import AUTO
from s2s.serve.service import Service

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": ["number", "null"]}


def _list(of: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": of, **bounds}


def _object(required: str = "", **properties: Schema) -> Schema:
    """An object with properties, of which some are required: their names with blanks between them."""
    return {"type": "object", "properties": properties, **({"required": required.split()} if required else {})}


NON_EMPTY: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"anyOf": [NON_EMPTY, _list(TEXT, minItems=1)]}
TEXT_OR_TEXTS: Schema = {"anyOf": [TEXT, _list(TEXT)]}
DETECTED = _object("confidence language", confidence={"type": "number", "minimum": 0, "maximum": 100}, language=TEXT)
LANGUAGE = _object("language name", language=TEXT, name=TEXT, supports_formality={"type": "boolean"})
KEY: Schema = {"type": ["string", "null"]}


def _requests(service: Service) -> dict[str, Schema]:
    """Bodies by path. Codes are read in any case; of several pairs not every source has every target."""
    pairs = service.pairs
    source, target = {"enum": pairs.sources}, {"enum": pairs.targets}
    return {
        "/translate": _object(
            "q source target",
            q=TEXTS,
            source={"enum": [AUTO, *pairs.sources]},
            target=target,
            format={"enum": ["text", "html"]},
            alternatives=COUNT,
            api_key=KEY,
        ),
        "/detect": _object("q", q={"anyOf": [NON_EMPTY, _list(NON_EMPTY, minItems=1)]}, api_key=KEY),
        "/v2/translate": _object(
            "text target_lang",
            text=TEXT_OR_TEXTS,
            target_lang={"enum": [code.upper() for code in pairs.targets]},
            source_lang={"enum": [code.upper() for code in pairs.sources]},
            tag_handling={"enum": ["html", "xml"]},
            ignore_tags=TEXT_OR_TEXTS,
            split_sentences={"enum": ["0", "1", "nonewlines"]},
            formality={"enum": ["default", "prefer_more", "prefer_less"]},
        ),
        "/translations": _object(
            "line source target", line=TEXT, source=source, target=target, nbest=COUNT, attention={"type": "boolean"}
        ),
    }


ANSWERS: dict[tuple[str, str], Schema] = {
    ("post", "/translate"): _object(
        "translatedText",
        translatedText=TEXT_OR_TEXTS,
        detectedLanguage={"anyOf": [DETECTED, _list(DETECTED)]},
        alternatives=_list(TEXT_OR_TEXTS),
    ),
    ("post", "/detect"): _list(DETECTED),
    ("get", "/languages"): _list(_object("code name targets", code=TEXT, name=TEXT, targets=_list(TEXT))),
    ("get", "/health"): _object("status", status={"const": "ok"}),
    ("get", "/frontend/settings"): _object("charLimit language", charLimit=COUNT, language=_object()),
    ("post", "/v2/translate"): _object(
        "translations",
        translations=_list(
            _object(
                "detected_source_language text billed_characters",
                detected_source_language=NON_EMPTY,
                text=TEXT,
                billed_characters=COUNT,
            )
        ),
    ),
    ("get", "/v2/languages"): _list(LANGUAGE),
    ("get", "/v2/usage"): _object("character_count character_limit", character_count=COUNT, character_limit=COUNT),
    ("get", "/v2/glossary-language-pairs"): _object("supported_languages", supported_languages=_list(_object())),
    ("get", "/v2/glossaries"): _object("glossaries", glossaries=_list(_object())),
    ("post", "/translations"): _object(
        "text score logProbability flags tokens logProbabilities sourceTokens attention nbest",
        text=TEXT,
        score=NUMBER,
        logProbability=NUMBER,
        flags=_list(TEXT),
        tokens=_list(TEXT),
        logProbabilities=_list(NUMBER),
        sourceTokens=_list(TEXT),
        attention={"anyOf": [_list(_list(NUMBER)), {"type": "null"}]},
        nbest=_list(_object("text score logProbability", text=TEXT, score=NUMBER, logProbability=NUMBER)),
    ),
}
"""Bodies of answers with status 200, by method and path."""
PARAMETERS = {
    "/v2/languages": [{"name": "type", "in": "query", "schema": {"enum": ["source", "target"]}}],
}
DEEPL_ERROR = _object("message detail", message=TEXT, detail=TEXT)
ERROR = _object("error", error=TEXT)


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def specification(service: Service) -> dict[str, Any]:
    """OpenAPI 3.1 of a server."""
    paths: dict[str, dict[str, Any]] = {}
    requests = _requests(service)
    for (method, path), answer in ANSWERS.items():
        error = DEEPL_ERROR if path.startswith("/v2") else ERROR
        refusals = {
            str(status): {"description": text, "content": _json(error)}
            for status, text in {
                400: "an argument is missing or wrong",
                403: "wrong API key",
                408: "the body came too slowly",
                413: "the body is too large",
                415: "the body is compressed",
                503: "too much is waiting",
            }.items()
        }
        operation: dict[str, Any] = {
            "operationId": f"{method}{path.replace('/', '_')}",
            "responses": {"200": {"description": "done", "content": _json(answer)}, **refusals},
        }
        if method == "post":
            operation["requestBody"] = {"required": True, "content": _json(requests[path])}
        if path in PARAMETERS:
            operation["parameters"] = PARAMETERS[path]
        paths.setdefault(path, {})[method] = operation
    info = {"title": f"s2s: {service.pairs}", "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths}
