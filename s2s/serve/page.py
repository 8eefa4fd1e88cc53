"""The page of a server, and what it asks for: one line translated, with its alignment."""

import math
from typing import Any

from starlette.responses import HTMLResponse

from s2s.export.html import server_page
from s2s.serve.arguments import Arguments, count_of, text_of
from s2s.serve.limits import Refused
from s2s.serve.pairs import Text
from s2s.serve.service import Service
from s2s.translation.translator import Translation


async def page(service: Service, given: Arguments) -> Any:
    """GET /; Refused with 403 where an API key is asked for, which the page does not have."""
    if service.api_key is not None:
        raise Refused(403, "there is no page where an API key is asked for")
    return HTMLResponse(server_page([pair.card for pair in service.pairs]))


async def translate(service: Service, given: Arguments) -> Any:
    """POST /translations: what the export's `model.translate` answers."""
    service.require_key(given.get("api_key"))
    line = given.get("line")
    if not isinstance(line, str):
        raise Refused(400, "line: must be a text")
    pair = service.pair(text_of(given, "source"), text_of(given, "target"))
    nbest = min(max(count_of(given, "nbest", 1), 1), service.limits.alternatives + 1)
    attention = given.get("attention", False)
    if not isinstance(attention, bool):
        raise Refused(400, "attention: must be true or false")
    characters = service.require_size([line])
    found = await pair.line(line, nbest, attention)
    if found is None:  # in parts, which have no score together
        [[text, *_]] = await pair.translate([Text(line)])
        found = Translation(text, math.nan, math.nan, ("long",))
    service.characters += characters
    return _answer(found)


def _answer(found: Translation) -> dict[str, Any]:
    scored = found.nbest or (found,)
    return {
        "text": found.text,
        "score": _number(found.score),
        "logProbability": _number(found.log_probability),
        "flags": list(found.flags),
        "tokens": list(found.tokens),
        "logProbabilities": [round(float(each), 5) for each in found.log_probabilities],
        "sourceTokens": list(found.source_tokens),
        "attention": None if found.attention is None else found.attention.astype(float).round(4).tolist(),
        "nbest": [
            {"text": each.text, "score": _number(each.score), "logProbability": _number(each.log_probability)}
            for each in scored
        ],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)
