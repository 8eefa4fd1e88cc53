"""The application: requests read within their limits, answered by their path's endpoint, counted and logged.

An error has the form of the interface that was asked: `{"error"}`, or `{"message", "detail"}` below /v2. No text of a
request is logged.
"""

import asyncio
import logging
import re
import time
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

import s2s.serve.deepl as deepl
import s2s.serve.libretranslate as libretranslate
import s2s.serve.page as page
from s2s.serve.arguments import arguments
from s2s.serve.fields import Endpoint, Given, checked, specification
from s2s.serve.limits import Refused
from s2s.serve.metrics import Metrics
from s2s.serve.service import Service

log = logging.getLogger("s2s")

DRAINED = 32 << 20
"""Bytes beyond the limit that are read and forgotten: a client that still sends would not see its answer."""
LAST = {"connection": "close"}
"""Header of an answer to a body that is not read to its end."""
KEY_SCHEME = "DeepL-Auth-Key "
GONE = 499
"""Status, in log and metrics alone, of a request whose client is gone."""


class App:
    """ASGI application of a service; its lifespan starts and ends the searches."""

    def __init__(self, service: Service, *, cors: str | None = "*", log_requests: bool = False) -> None:
        """`cors` is the origin of web pages that may ask."""
        self.service = service
        self.metrics = Metrics(service)
        self.log_requests = log_requests
        self.cors = {
            "access-control-allow-origin": cors,
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": "Authorization, Content-Type",
            "access-control-max-age": "1728000",
            **({} if cors == "*" else {"vary": "Origin"}),
        } if cors else {}  # fmt: skip
        own = {"/spec": {"GET": Endpoint(self._spec)}, "/metrics": {"GET": Endpoint(self._metrics)}}
        self.paths: Mapping[str, Mapping[str, Endpoint]] = {**page.PATHS, **libretranslate.PATHS, **deepl.PATHS, **own}

    async def _spec(self, service: Service, given: Given) -> Any:
        return specification(service, self.paths)

    async def _metrics(self, service: Service, given: Given) -> Any:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        start, path = time.monotonic(), _clean(scope["path"])
        response = await self._response(scope, receive, path)
        response.headers.update(self.cors)
        if response.status_code != GONE:
            await response(scope, receive, send)
        seconds = time.monotonic() - start
        self.metrics.count(path if path in self.paths else "other", response.status_code, seconds)
        if self.log_requests:
            shown = path[:80].encode("unicode_escape").decode("ascii")
            log.info("%s %s %d %.0f ms", scope["method"], shown, response.status_code, 1000 * seconds)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        for pair in self.service.pairs:
            pair.queue.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for pair in self.service.pairs:
            await asyncio.to_thread(pair.queue.stop)
        await send({"type": "lifespan.shutdown.complete"})

    async def _response(self, scope: Scope, receive: Receive, path: str) -> Response:
        if scope["method"] == "OPTIONS":
            return Response(status_code=204)
        is_deepl = path.startswith("/v2/")
        try:
            headers = Headers(scope=scope)
            body = await self._body(headers, receive)
            endpoint = self._endpoint(scope["method"], path)
            given = await arguments(scope["query_string"], headers, body, "text" if is_deepl else "q")
            if is_deepl or endpoint.fields:
                self.service.require_key(_key(headers, given))
            work = endpoint.answer(self.service, checked(endpoint.fields, given))
            found = await self._unless_gone(work, receive)
            return found if isinstance(found, Response) else JSONResponse(found)
        except Refused as problem:
            refused = problem
        except Exception as fault:
            places = "".join(traceback.format_tb(fault.__traceback__))
            log.error("%s %s: %s\n%s", scope["method"], path, type(fault).__name__, places)  # without texts
            refused = Refused(500, "the translator failed; the server's log says where")
        content = {"error": refused.message}
        if is_deepl and refused.status != GONE:
            content = {"message": refused.message, "detail": HTTPStatus(refused.status).phrase}
        return JSONResponse(content, refused.status, refused.headers)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body; Refused for one that is too large, too slow, or ends before its end."""
        most, seconds = self.service.limits.body, self.service.limits.seconds
        length = headers.get("content-length", "0")
        declared = int(length) if length.isdecimal() and length.isascii() else 0
        body, size, more = bytearray(), 0, True
        try:
            async with asyncio.timeout(seconds):
                while more and max(size, declared) <= most + DRAINED:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(GONE, "the client is gone")
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
                    if size <= most:
                        body += message.get("body", b"")
        except TimeoutError:
            raise Refused(408, f"the body did not come within {seconds:g} s", LAST) from None
        if max(size, declared) > most:
            raise Refused(413, f"the body is too large; a request may have {most:,} bytes", LAST)
        return bytes(body)

    def _endpoint(self, method: str, path: str) -> Endpoint:
        by_method = self.paths.get(path)
        if by_method is None:
            raise Refused(404, "there is no such path; /spec lists them")
        found = by_method.get("GET" if method == "HEAD" else method)
        if found is None:
            raise Refused(405, f"{method}: not for this path", {"allow": ", ".join(by_method)})
        return found

    async def _unless_gone(self, work: Any, receive: Receive) -> Any:
        """What some work returns; Refused, and the work given up, when its client goes away or it takes too long."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(receive())
        seconds, loop = self.service.limits.seconds, asyncio.get_running_loop()
        leaving.add_done_callback(lambda _: working.cancel())
        late = loop.call_later(seconds, working.cancel)
        try:
            return await working
        except asyncio.CancelledError:
            if leaving.done():
                raise Refused(GONE, "the client is gone") from None
            if late.when() <= loop.time():
                raise Refused(503, f"not finished within {seconds:g} s; try again later") from None
            raise
        finally:
            late.cancel()
            leaving.cancel()


def _key(headers: Headers, given: Given) -> Any:
    """The key that a request has in its header or its arguments, which each client calls otherwise."""
    header = headers.get("authorization", "")
    if header.startswith(KEY_SCHEME):
        return header.removeprefix(KEY_SCHEME).strip()
    return next((given[name] for name in ("api_key", "apiKey", "auth_key") if given.get(name)), None)


def _clean(path: str) -> str:
    """A path without doubled slashes, /v2 doubled by a client, or a slash at its end."""
    path = re.sub("^(/v2)+/", "/v2/", re.sub("/{2,}", "/", path))
    return path.rstrip("/") or "/"
