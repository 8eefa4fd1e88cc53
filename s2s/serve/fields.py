"""What an endpoint takes and returns, described once: requests are checked by it, and /spec tells it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple

from s2s import __version__
from s2s.serve.limits import Refused
from s2s.serve.service import Service

Given = Mapping[str, Any]
"""Arguments of a request; those that its endpoint has fields for are there and checked."""
Schema = dict[str, Any]


class Field(NamedTuple):
    """An argument. `texts` are a text or a list of them, `choice` one of some values, `source` a language's code."""

    kind: Literal["text", "texts", "choice", "count", "flag", "source", "target"]
    default: Any = ...
    """what stands for one that is missing, None or empty; an Ellipsis where it must be given"""
    values: tuple[str, ...] = ()
    """of a choice; of a source or target, those besides the codes of what is served"""

    def read(self, name: str, value: Any) -> Any:
        """The value of this argument; Refused with 400 for a wrong one."""
        if value is None or (value == "" and (self.default is not ... or self.kind in ("source", "target"))):
            if self.default is ...:
                raise Refused(400, f"{name}: missing" + "; give a text or a list of texts" * (self.kind == "texts"))
            return self.default
        if self.kind == "choice":
            return self._choice(name, value)
        if self.kind == "count":
            return _count(name, value)
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise Refused(400, f"{name}: must be true or false")
            return value
        texts = value if self.kind == "texts" and isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise Refused(400, f"{name}: must be a text" + " or a list of texts" * (self.kind == "texts"))
        return value

    def _choice(self, name: str, value: Any) -> str:
        found = str(value).lower() if isinstance(value, str | int) else ""
        found = {"false": "0", "true": "1"}.get(found, found)
        if found not in self.values:
            allowed = " or ".join(self.values) or "left out"
            raise Refused(400, f"{name}: must be {allowed} (given {str(value)[:40]!r})")
        return found

    def schema(self, service: Service) -> Schema:
        """JSON Schema of the values that are taken."""
        if self.kind in ("source", "target"):
            return {"enum": [*self.values, *getattr(service.pairs, f"{self.kind}s")]}
        if self.kind == "choice":
            return {"enum": [*self.values] or [None]}
        if self.kind == "texts":
            least = int(self.default is ...)
            texts = {"type": "array", "items": {"type": "string", "minLength": least}, "minItems": least}
            return {"anyOf": [{"type": "string", "minLength": least}, texts]}
        if self.kind == "count":
            return {"type": "integer", "minimum": 0}
        return {"type": "boolean" if self.kind == "flag" else "string"}


def _count(name: str, value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refused(400, f"{name}: must be a whole number of at least 0")
    return value


class Endpoint(NamedTuple):
    """What answers a method of a path."""

    answer: Callable[[Service, Given], Awaitable[Any]]
    """returns what is sent as JSON, or a response"""
    fields: Mapping[str, Field] = {}
    returns: Any = None
    """the form of the answer, for `schema_of`; None keeps the endpoint out of /spec"""


def checked(fields: Mapping[str, Field], given: Given) -> Given:
    """All that is given, with the values of the fields."""
    return {**given, **{name: field.read(name, given.get(name)) for name, field in fields.items()}}


def schema_of(form: Any) -> Schema:
    """JSON Schema of a form: {"a": str, "b?": [float]} is an object with a text and perhaps a list of numbers.

    A tuple holds forms of which one applies.
    """
    if isinstance(form, dict):
        properties = {name.rstrip("?"): schema_of(each) for name, each in form.items()}
        return {"type": "object", "properties": properties, "required": [name for name in form if name[-1:] != "?"]}
    if isinstance(form, list):
        return {"type": "array", "items": schema_of(form[0]) if form else {}}
    if isinstance(form, tuple):
        return {"anyOf": [schema_of(each) for each in form]}
    return {"type": {str: "string", int: "integer", float: "number", bool: "boolean", None: "null"}[form]}


ERRORS = {
    400: "an argument is missing or wrong",
    403: "wrong API key",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is compressed",
    503: "too much is waiting",
}


def specification(service: Service, paths: Mapping[str, Mapping[str, Endpoint]]) -> dict[str, Any]:
    """OpenAPI 3.1 of a server. Codes are read in any case; of several pairs not every source has every target."""
    described: dict[str, dict[str, Any]] = {}
    for path, by_method in paths.items():
        error = {"message": str, "detail": str} if path.startswith("/v2/") else {"error": str}
        for method, (_, fields, returns) in by_method.items():
            if returns is None:
                continue
            answers = {"200": ("done", returns), **{str(status): (text, error) for status, text in ERRORS.items()}}
            operation: dict[str, Any] = {
                "operationId": f"{method.lower()}{path.replace('/', '_')}",
                "responses": {
                    status: {"description": text, "content": _json(schema_of(form))}
                    for status, (text, form) in answers.items()
                },
            }
            schemas = {name: field.schema(service) for name, field in fields.items()}
            if method == "POST" and fields:
                required = [name for name, field in fields.items() if field.default is ...]
                body = {"type": "object", "properties": schemas, "required": required}
                operation["requestBody"] = {"required": bool(required), "content": _json(body)}
            else:
                operation["parameters"] = [
                    {"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()
                ]
            described.setdefault(path, {})[method.lower()] = operation
    info = {"title": f"s2s: {service.pairs}", "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": described}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
