"""The arguments of a request, wherever its client put them: query, form, multipart or JSON."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from s2s.serve.limits import Refused

MOST_FIELDS = 5000
Arguments = Mapping[str, Any]


async def arguments(request: Request, lists: str) -> Arguments:
    """All arguments; those of the body go before those of the query.

    A form may name `lists` several times: then its value is a list. Raises Refused with 400 for what cannot be read,
    and for any other argument that is given twice, and with 415 for a compressed body.
    """
    found = _of_pairs(_decoded(request.scope["query_string"], "the query"), lists)
    body = await request.body()
    if not body:
        return found
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "compressed bodies are not read; send it as it is")
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if "charset" in parameters and not any(name in parameters for name in ("utf-8", "utf8", "us-ascii")):
        raise Refused(400, "the body must be UTF-8")
    if kind.strip() == "multipart/form-data":
        return {**found, **await _of_multipart(request, lists)}
    text = _decoded(body, "the body")
    if "json" in kind or (not kind and text.lstrip()[:1] in "{["):
        return {**found, **_of_json(text)}
    form = _of_pairs(text, lists)
    return {**found, **{name: _with_newlines(value) for name, value in form.items()}}


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Refused(400, f"{where} is not UTF-8: byte {problem.start} is 0x{raw[problem.start]:02x}") from None


def _of_pairs(text: str, lists: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise Refused(400, "the arguments are not percent-encoded UTF-8") from None
    except ValueError:
        raise Refused(400, f"there are more than {MOST_FIELDS:,} arguments") from None
    return _of_named(pairs, lists)


def _of_named(pairs: list[tuple[str, str]], lists: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name == lists and name in found:
            found[name] = [*([found[name]] if isinstance(found[name], str) else found[name]), value]
        elif name in found:
            raise Refused(400, f"{name[:40]}: given twice")
        else:
            found[name] = value
    return found


async def _of_multipart(request: Request, lists: str) -> dict[str, Any]:
    try:
        async with request.form(max_files=MOST_FIELDS, max_fields=MOST_FIELDS, max_part_size=1 << 30) as form:
            pairs = [
                (name, _decoded(await value.read(), name[:40]) if isinstance(value, UploadFile) else value)
                for name, value in form.multi_items()
            ]
    except HTTPException as problem:
        raise Refused(400, f"the multipart body cannot be read: {problem.detail}") from None
    return {name: _with_newlines(value) for name, value in _of_named(pairs, lists).items()}


def _of_json(text: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise Refused(400, "the JSON object has a key twice")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise Refused(400, "the JSON is nested too deeply") from None
    except ValueError as problem:
        place = f" at character {problem.pos}" if isinstance(problem, json.JSONDecodeError) else ""
        raise Refused(400, f"the body is not JSON{place}") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body must be a JSON object")
    try:  # an escape can name half of a pair
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(400, "the JSON has half of a surrogate pair, which is no character") from None
    return found


def _with_newlines(value: Any) -> Any:
    """The text of a form with the line ends that its sender had: forms are sent with CRLF."""
    if isinstance(value, list):
        return [each.replace("\r\n", "\n") for each in value]
    return value.replace("\r\n", "\n")


def texts_of(given: Arguments, name: str) -> tuple[list[str], bool]:
    """The texts of an argument, and whether they were given as a list; Refused with 400 for anything else."""
    value = given.get(name)
    if value is None:
        raise Refused(400, f"{name}: missing; give a text or a list of texts")
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise Refused(400, f"{name}: must be a text or a list of texts")
    return texts, isinstance(value, list)


def text_of(given: Arguments, name: str, default: str | None = None) -> str:
    """The text of an argument; Refused with 400 where it is missing without a default, and for anything else."""
    value = given.get(name)
    if value is None or value == "":
        if default is None:
            raise Refused(400, f"{name}: missing")
        return default
    if not isinstance(value, str):
        raise Refused(400, f"{name}: must be a text")
    return value


def count_of(given: Arguments, name: str, default: int = 0) -> int:
    """The whole number of an argument, also as digits; Refused with 400 for anything else."""
    value = given.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refused(400, f"{name}: must be a whole number of at least 0")
    return value
