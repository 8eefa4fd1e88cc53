"""A translator that writes everything in capitals, and servers of it: what they should answer can be written down."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx

from s2s.serve.app import App
from s2s.serve.limits import Limits
from s2s.serve.pairs import Pair, Pairs
from s2s.serve.server import Server, bound, configuration
from s2s.serve.service import Service
from s2s.translation.outputs import Alternative, Translation
from s2s.translation.reading import Reading

LIMITS = Limits()
CARD = {"title": "Capitals", "trained": "2026-11-27", "fingerprint": "0", "s2s": "0", "scores": {}, "data": []}
Found = TypeVar("Found")


class Capitals:
    """A translator with words for tokens, which is sure of what it knows by its words."""

    learned_tokens = 50
    has_warned = False

    def __init__(self, *words: str) -> None:
        self.words = words
        self.free = threading.Event()
        self.free.set()
        self.decoding = SimpleNamespace(batch_lines=64)
        self.source = SimpleNamespace(encode=str.split)
        self.reading = Reading()

    def translate(self, lines: Sequence[str], *, nbest: int = 1, attention: bool = False) -> list[Translation]:
        assert self.free.wait(20)
        return [self._one(line, nbest) for line in lines]

    def _one(self, line: str, nbest: int) -> Translation:
        if "explode" in line:
            raise MemoryError(line)
        text = "" if "silence" in line else line.upper()
        sure = -0.1 if set(self.words) & set(line.split()) else -3.0
        others = tuple(Alternative(f"{text}{'!' * rank}", sure, sure) for rank in range(nbest))
        return Translation(text, sure, sure, tokens=(text,), log_probabilities=(sure,), nbest=others)


def capitals_service(*pairs: tuple[str, str, str], limits: Limits = LIMITS, **options: Any) -> Service:
    """A service of pairs (source, target, words that its translator knows)."""
    made: list[Pair] = []
    for source, target, words in pairs or (("en", "ko", ""),):
        made.append(Pair(source, target, Capitals(*words.split()), limits, CARD))  # type: ignore[arg-type]
    return Service(Pairs(made), limits, **options)


def finished(work: Coroutine[Any, Any, Found]) -> Found:
    """What a coroutine returns, in a thread of its own: the tests of the browser leave a loop in the main one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


class Live:
    """A server of its own thread, on a port of its own."""

    def __init__(self, service: Service, **options: Any) -> None:
        self.service = service
        self.socket = bound("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(configuration(App(service, **options)), self.url)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def __enter__(self) -> "Live":
        self.thread.start()
        self.until(lambda: self.server.started)
        return self

    def __exit__(self, *problem: object) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join()

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that soon is so."""
        end = time.monotonic() + 20
        while not true():
            assert time.monotonic() < end
            threading.Event().wait(0.005)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no translator gets to its end."""
        gates = [pair.translator.free for pair in self.service.pairs]  # type: ignore[attr-defined]
        for gate in gates:
            gate.clear()
        yield
        for gate in gates:
            gate.set()

    @cached_property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20)

    def raw(self, request: bytes) -> bytes:
        """All that a connection answers to some bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))
