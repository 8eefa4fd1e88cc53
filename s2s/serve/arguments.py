"""The arguments of a request, wherever its client put them: query, form, multipart or JSON."""

import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from s2s.serve.limits import Refused

MOST_FIELDS = 5000


async def arguments(query: bytes, headers: Headers, body: bytes, lists: str) -> dict[str, Any]:
    """All arguments; those of the body go before those of the query.

    A form may name `lists` several times: then its value is a list. Raises Refused with 400 for what cannot be read,
    and for any other argument that is given twice, and with 415 for a compressed body.
    """
    found = _of_pairs(_pairs(_decoded(query, "the query")), lists) if query else {}
    if not body:
        return found
    if headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "compressed bodies are not read; send it as it is")
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    if "charset" in parameters and not any(name in parameters for name in ("utf-8", "utf8", "us-ascii")):
        raise Refused(400, "the body must be UTF-8")
    if kind.strip() == "multipart/form-data":
        pairs = await _pairs_of_multipart(headers, body)
    else:
        text = _decoded(body, "the body")
        if "json" in kind or (not kind and text.lstrip()[:1] in "{["):
            return found | _of_json(text)
        pairs = _pairs(text)
    return found | _of_pairs(((name, value.replace("\r\n", "\n")) for name, value in pairs), lists)  # sent with CRLF


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Refused(400, f"{where} is not UTF-8: byte {problem.start} is 0x{raw[problem.start]:02x}") from None


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise Refused(400, "the arguments are not percent-encoded UTF-8") from None
    except ValueError:
        raise Refused(400, f"there are more than {MOST_FIELDS:,} arguments") from None


async def _pairs_of_multipart(headers: Headers, body: bytes) -> list[tuple[str, str]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    parser = MultiPartParser(headers, stream(), max_files=0, max_fields=MOST_FIELDS, max_part_size=len(body))
    try:
        return [(name, str(value)) for name, value in (await parser.parse()).multi_items()]
    except (MultiPartException, KeyError) as problem:
        raise Refused(400, f"the multipart body cannot be read: {problem}") from None


def _of_pairs(pairs: Iterable[tuple[str, str]], lists: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name == lists and name in found:
            found[name] = [*([found[name]] if isinstance(found[name], str) else found[name]), value]
        elif name in found:
            raise Refused(400, f"{name[:40]}: given twice")
        else:
            found[name] = value
    return found


def _of_json(text: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise Refused(400, "the JSON object has a key twice")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=once)
        if "\\u" in text:  # which can name half of a pair
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise Refused(400, "the JSON is nested too deeply") from None
    except UnicodeEncodeError:
        raise Refused(400, "the JSON has half of a surrogate pair, which is no character") from None
    except ValueError as problem:
        place = f" at character {problem.pos}" if isinstance(problem, json.JSONDecodeError) else ""
        raise Refused(400, f"the body is not JSON{place}") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body must be a JSON object")
    return found
