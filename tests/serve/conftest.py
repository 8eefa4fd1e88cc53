"""Servers whose translator writes everything in capitals."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from capitals import LIMITS, Live, capitals_service
from small_runs import small_run


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """From English to German and to Korean, and from German to English."""
    pairs = (("en", "ko", "the"), ("en", "de", "the"), ("de", "en", "die"))
    with Live(capitals_service(*pairs)) as server:
        yield server


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small model from English to Korean."""
    decoding = {"beam": 1, "max_length_ratio": 0.5}
    return small_run(tmp_path_factory.mktemp("serve") / "run", tokenizer={"kind": "characters"}, decoding=decoding)


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
