"""The page of a server, and what it asks for: one line translated, with its alignment."""

import math
from typing import Any

from starlette.responses import HTMLResponse

from s2s.export.html import server_page
from s2s.serve.fields import Endpoint, Field, Given
from s2s.serve.libretranslate import TRANSLATE
from s2s.serve.limits import Refused
from s2s.serve.pairs import Text
from s2s.serve.service import Service
from s2s.translation.outputs import Alternative, Translation


async def page(service: Service, given: Given) -> Any:
    """GET /; Refused with 403 where an API key is asked for, which the page does not have."""
    if service.api_key is not None:
        raise Refused(403, "there is no page where an API key is asked for")
    return HTMLResponse(server_page([pair.card for pair in service.pairs]))


async def translate(service: Service, given: Given) -> Any:
    """POST /translations: what the export's `model.translate` answers."""
    line, most = given["line"], service.limits.alternatives + 1
    pair = service.pairs.between(given["source"], given["target"])[0]
    characters = service.require_size([line])
    found = await pair.line(line, min(max(given["nbest"], 1), most), given["attention"])
    if found is None:  # in parts, which have no score together
        [[text, *_]] = await pair.translate([Text(line)])
        found = Translation(text, math.nan, math.nan, ("long",))
    service.characters += characters
    return {
        **_scored(found),
        "flags": found.flags,
        "tokens": found.tokens,
        "logProbabilities": [round(float(each), 5) for each in found.log_probabilities],
        "sourceTokens": found.source_tokens,
        "attention": None if found.attention is None else found.attention.astype(float).round(4).tolist(),
        "nbest": [_scored(each) for each in found.nbest or (found,)],
    }


def _scored(found: Translation | Alternative) -> dict[str, Any]:
    numbers = {"score": found.score, "logProbability": found.log_probability}
    known = {name: None if math.isnan(value) else round(float(value), 5) for name, value in numbers.items()}
    return {"text": found.text, **known}


LINE = {
    "line": Field("text"),
    "source": Field("source"),
    "target": Field("target"),
    "nbest": Field("count", 1),
    "attention": Field("flag", False),
}
SCORED = {"text": str, "score": (float, None), "logProbability": (float, None)}
TRANSLATION = {
    **SCORED,
    "flags": [str],
    "tokens": [str],
    "logProbabilities": [float],
    "sourceTokens": [str],
    "attention": ([[float]], None),
    "nbest": [SCORED],
}
PATHS = {
    "/": {"GET": Endpoint(page), "POST": TRANSLATE._replace(returns=None)},
    "/translations": {"POST": Endpoint(translate, LINE, TRANSLATION)},
}
