"""What stands before the application: paths put right, bodies read within their limit, CORS, numbers and a log."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s2s.serve.limits import Limits

log = logging.getLogger("s2s")

DRAINED = 32 << 20
"""Bytes beyond the limit that are read and forgotten: a client that still sends would not see its answer."""

LAST = {"connection": "close"}
"""Header of an answer to a body that is not read to its end."""


class Front:
    """ASGI application around another one."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        count: Callable[[str, int, float], None],
        paths: Collection[str],
        cors: str | None,
        log_requests: bool,
    ) -> None:
        """`count` is told path, status and seconds of each request; `paths` are those that it tells apart."""
        self.app = app
        self.limits = limits
        self.count = count
        self.paths = paths
        self.log_requests = log_requests
        self.cors: dict[str, str] = {}
        if cors:
            self.cors = {
                "access-control-allow-origin": cors,
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": "Authorization, Content-Type",
                "access-control-max-age": "1728000",
            }
            if cors != "*":
                self.cors["vary"] = "Origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 499  # unless something is sent
        scope["path"] = path = _clean(scope["path"])

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(self.cors)
            await send(message)

        try:
            response, body = await _received(scope, receive, self.limits)
            if response is None:
                await self.app(scope, _replayed(body, receive), sent)
            else:
                await response(scope, receive, sent)
        except ConnectionAbortedError:  # the client is gone
            pass
        seconds = time.monotonic() - start
        self.count(path if path in self.paths else "other", status, seconds)
        if self.log_requests:
            log.info("%s %s %d %.0f ms", scope["method"], _printable(path), status, 1000 * seconds)


async def _received(scope: Scope, receive: Receive, limits: Limits) -> tuple[Response | None, bytes]:
    """The whole body, or the answer to a request that goes no further; ConnectionAbortedError for a lost one."""
    if scope["method"] == "OPTIONS":
        return Response(status_code=204), b""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    declared = int(length) if length.isdigit() else 0
    body, size, most = bytearray(), 0, limits.body
    try:
        async with asyncio.timeout(limits.seconds):
            while declared <= most + DRAINED and size <= most + DRAINED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionAbortedError
                size += len(message.get("body", b""))
                if size <= most:
                    body += message.get("body", b"")
                else:
                    body.clear()
                if not message.get("more_body"):
                    break
    except TimeoutError:
        return problem(scope, 408, f"the body did not come within {limits.seconds:g} s", LAST), b""
    if max(size, declared) > most:
        return problem(scope, 413, f"the body is too large; a request may have {most:,} bytes", LAST), b""
    return None, bytes(body)


def problem(scope: Scope, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the form of the interface that is asked."""
    phrase = HTTPStatus(status).phrase if status != 499 else "Client Closed Request"
    content: dict[str, Any] = {"message": message, "detail": phrase} if is_deepl(scope) else {"error": message}
    return JSONResponse(content, status, headers)


def is_deepl(scope: Scope) -> bool:
    """Whether a request is for DeepL's interface."""
    return str(scope["path"]).startswith("/v2/")


def _clean(path: str) -> str:
    """A path without doubled slashes, /v2 doubled by a client, or a slash at its end."""
    path = re.sub("/{2,}", "/", path)
    path = re.sub("^(/v2)+/", "/v2/", path)
    return path.rstrip("/") or "/"


def _printable(path: str) -> str:
    return path[:80].encode("unicode_escape").decode("ascii")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body, then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay
