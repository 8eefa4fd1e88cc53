"""Servers whose translator writes everything in capitals."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
from capitals import LIMITS, Live, capitals_service


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """From English to German and to Korean, and from German to English."""
    pairs = (("en", "ko", "the"), ("en", "de", "the"), ("de", "en", "die"))
    with Live(capitals_service(*pairs)) as server:
        yield server


@pytest.fixture(scope="session")
def client(live: Live) -> httpx.Client:
    """Of that server."""
    return live.client


@pytest.fixture
def live_of() -> Iterator[Callable[..., Live]]:
    """Makes other servers: of pairs (source, target, known words), limits, and other options."""
    with ExitStack() as stack:

        def make(
            *pairs: tuple[str, str, str],
            limits: dict[str, Any] | None = None,
            cors: str | None = "*",
            log_requests: bool = False,
            **options: Any,
        ) -> Live:
            service = capitals_service(*pairs, limits=replace(LIMITS, **(limits or {})), **options)
            return stack.enter_context(Live(service, cors=cors, log_requests=log_requests))

        yield make
