"""The application: paths to what answers them, errors as JSON.

An error has the form of the interface that was asked: `{"error"}`, or `{"message", "detail"}` below /v2. No text of a
request is logged.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import s2s.serve.deepl as deepl
import s2s.serve.libretranslate as libretranslate
import s2s.serve.page as page
from s2s.serve.arguments import Arguments, arguments
from s2s.serve.front import Front, is_deepl, problem
from s2s.serve.limits import Refused
from s2s.serve.metrics import Metrics
from s2s.serve.openapi import specification
from s2s.serve.service import Service

log = logging.getLogger("s2s")

Answer = Callable[[Service, Arguments], Awaitable[Any]]
"""Returns what is sent as JSON, or a response."""
KEY_SCHEME = "DeepL-Auth-Key "


async def _spec(service: Service, given: Arguments) -> Any:
    """GET /spec."""
    return specification(service)


PATHS: dict[str, dict[str, Answer]] = {
    "/": {"GET": page.page, "POST": libretranslate.translate},
    "/translate": {"GET": libretranslate.apertium, "POST": libretranslate.translate},
    "/detect": {"POST": libretranslate.detect},
    "/languages": {"GET": libretranslate.languages},
    "/health": {"GET": libretranslate.health},
    "/frontend/settings": {"GET": libretranslate.settings},
    "/v2/translate": {"POST": deepl.translate},
    "/v2/languages": {"GET": deepl.languages, "POST": deepl.languages},
    "/v2/usage": {"GET": deepl.usage},
    "/v2/glossary-language-pairs": {"GET": deepl.glossary_pairs},
    "/v2/glossaries": {"GET": deepl.glossaries},
    "/translations": {"POST": page.translate},
    "/spec": {"GET": _spec},
}


def build(service: Service, *, cors: str | None = "*", log_requests: bool = False) -> ASGIApp:
    """The application of a service; its lifespan starts and ends the searches."""
    metrics = Metrics(service)

    async def numbers(service: Service, given: Arguments) -> Any:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        for pair in service.pairs:
            pair.queue.start()
        yield
        for pair in service.pairs:
            await asyncio.to_thread(pair.queue.stop)

    paths: dict[str, dict[str, Answer]] = {**PATHS, "/metrics": {"GET": numbers}}
    routes = [Route(path, _endpoint(service, by_method), methods=[*by_method]) for path, by_method in paths.items()]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _http_problem})
    app.router.redirect_slashes = False
    return Front(app, service.limits, metrics.count, frozenset(paths), cors, log_requests)


def _endpoint(service: Service, by_method: dict[str, Answer]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            given = await arguments(request, "text" if is_deepl(request.scope) else "q")
            if is_deepl(request.scope):
                service.require_key(_deepl_key(request, given))
            with _ended_with(request):
                async with asyncio.timeout(service.limits.seconds):
                    found = await by_method["GET" if request.method == "HEAD" else request.method](service, given)
            return found if isinstance(found, Response) else JSONResponse(found)
        except Refused as refused:
            return problem(request.scope, refused.status, refused.message)
        except TimeoutError:
            return problem(request.scope, 503, f"not finished within {service.limits.seconds:g} s; try again later")
        except Exception as fault:
            places = "".join(traceback.format_tb(fault.__traceback__))
            log.error("%s %s: %s\n%s", request.method, request.url.path, type(fault).__name__, places)  # without texts
            return problem(request.scope, 500, "the translator failed; the server's log says where")

    return endpoint


def _deepl_key(request: Request, given: Arguments) -> Any:
    header = request.headers.get("authorization", "")
    return header.removeprefix(KEY_SCHEME).strip() if header.startswith(KEY_SCHEME) else given.get("auth_key")


@contextmanager
def _ended_with(request: Request) -> Iterator[None]:
    """Inside, the work is given up when its client goes away: Refused, which nobody reads."""
    work = asyncio.current_task()
    assert work is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        work.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        work.uncancel()
        raise Refused(499, "the client is gone") from None
    finally:
        watching.cancel()


async def _http_problem(request: Request, fault: Exception) -> Response:
    """What Starlette says of a path or a method that is not there."""
    assert isinstance(fault, HTTPException)
    message = {404: "there is no such path; /spec lists them", 405: f"{request.method}: not for this path"}
    text = message.get(fault.status_code, HTTPStatus(fault.status_code).phrase)
    return problem(request.scope, fault.status_code, text, fault.headers)
