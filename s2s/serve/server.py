"""The process of a server: its socket, its signals, its connections."""

import asyncio
import logging
import re
import signal
import socket
import sys
import threading
from contextlib import AbstractContextManager, nullcontext

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from s2s.errors import S2SError

log = logging.getLogger("s2s")

HEAD_BYTES = 1 << 17
"""Of a request's first line and headers: one client puts its texts there."""
HEAD_SECONDS = 20.0
"""Time that they may take."""
IDLE_SECONDS = 60
"""Time that a connection without a request stays open."""

SWITCH_SECONDS = 0.0005
"""Time that a search keeps Python from the requests, a tenth of the usual: with 64 clients a quarter less in all."""
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
"""Offers another protocol, as some clients do with HTTP/2: httptools would take the request to end with its headers."""


class Connection(HttpToolsProtocol):
    """uvicorn's, with limits for what comes before a body: it has none of its own."""

    _deadline: asyncio.TimerHandle | None = None
    _head = 0
    """bytes since the last request"""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._end)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head = 0

    def data_received(self, data: bytes) -> None:
        if self._is_between_requests():
            self._head += len(data)
            head, end, rest = data.partition(b"\r\n\r\n")
            data = UPGRADE.sub(b"\r\nx-upgrade:", head) + end + rest
        super().data_received(data)
        if not self._is_between_requests():
            self._forget_deadline()
        elif self._head > HEAD_BYTES:
            self.send_400_response(f"The request line and the headers may have {HEAD_BYTES:,} bytes.")
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_deadline()

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        if self._is_between_requests():
            self.transport.close()


class Server(uvicorn.Server):
    """Ends at Ctrl-C and SIGTERM when what runs is finished, at the second Ctrl-C at once; says where it listens."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self.address = address

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Take the signals; uvicorn's own raises them again at the end, which would not be exit code 0."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.handle_exit)
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        log.info("%s", self.address)


def bound(host: str, port: int) -> socket.socket:
    """A socket that has its address and does not listen yet; S2SError for an address that cannot be had."""
    server = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        server = socket.socket(family, kind, protocol)  # without its protocol asyncio lets answers wait 40 ms (Nagle)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
    except (OSError, UnicodeError) as problem:
        if server is not None:
            server.close()
        reason = problem.strerror if isinstance(problem, OSError) else "not a host"
        raise S2SError(f"{host}:{port}: {reason}; choose another --host or --port") from problem
    return server


def address_of(server: socket.socket) -> str:
    """The address of a socket, as a browser wants it."""
    host, port, *_ = server.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def configuration(app: ASGIApp) -> uvicorn.Config:
    """uvicorn's settings for an application."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
    )


def serve(app: ASGIApp, server: socket.socket) -> None:
    """Answer on a socket until the process is asked to stop."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of everything that is not HTTP
    sys.setswitchinterval(SWITCH_SECONDS)
    Server(configuration(app), address_of(server)).run(sockets=[server])
