"""Sentences of all requests, searched together: nothing lost, nothing twice, short ones first."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from capitals import finished

from s2s.serve import queue as queue_module
from s2s.serve.limits import Limits, Refused
from s2s.serve.queue import SearchQueue
from s2s.translation.outputs import Translation


class Searches:
    """A translator that answers when it is let, and keeps what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.free = threading.Semaphore(0)

    def __call__(self, sentences: Sequence[str], nbest: int, attention: bool) -> list[Translation]:
        self.batches.append([*sentences])
        assert self.free.acquire(timeout=10)
        if any("bad" in sentence for sentence in sentences):
            raise ValueError("bad")
        return [Translation(sentence.upper(), 0.0, 0.0) for sentence in sentences]


Test = Callable[[SearchQueue, Searches], Coroutine[Any, Any, None]]


def with_queue(test: Test, limits: Limits | None = None) -> None:
    async def run() -> None:
        searches = Searches()
        queue = SearchQueue(searches, 4, limits or Limits())
        queue.start()
        try:
            await test(queue, searches)
        finally:
            searches.free.release(100)
            queue.stop()

    finished(run())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def texts(queue: SearchQueue, *sentences: str) -> list[str]:
    return [found.text for found in await queue.translate(sentences)]


async def first_taken(queue: SearchQueue, searches: Searches) -> "asyncio.Task[list[str]]":
    """A search that runs until it is let go, so that what comes next waits."""
    task = asyncio.create_task(texts(queue, "first"))
    await until(lambda: searches.batches)
    return task


def test_a_lone_sentence_is_searched_at_once_and_kept() -> None:
    async def test(queue: SearchQueue, searches: Searches) -> None:
        searches.free.release(1)
        assert await texts(queue, "a") == ["A"]
        assert await texts(queue, "a", "a") == ["A", "A"]
        assert searches.batches == [["a"]]
        assert (queue.searched, queue.cached, queue.batches) == (1, 2, 1)

    with_queue(test)


def test_what_waits_is_batched_by_similar_lengths_the_shortest_first() -> None:
    async def test(queue: SearchQueue, searches: Searches) -> None:
        first = await first_taken(queue, searches)
        long, short = "l" * 1000, [letter * 5 for letter in "abcdef"]
        waiting = [asyncio.create_task(texts(queue, each)) for each in (long, *short)]
        await until(lambda: queue.waiting == 7)
        searches.free.release(100)
        assert await first == ["FIRST"]
        assert [await each for each in waiting] == [[each.upper()] for each in (long, *short)]
        assert searches.batches[1:] == [short[:4], short[4:], [long]]
        assert queue.characters == 0

    with_queue(test)


def test_what_has_waited_too_long_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "PATIENCE", -1.0)

    async def test(queue: SearchQueue, searches: Searches) -> None:
        first = await first_taken(queue, searches)
        long = asyncio.create_task(texts(queue, "l" * 1000))
        await until(lambda: queue.waiting == 1)
        short = asyncio.create_task(texts(queue, "s"))
        await until(lambda: queue.waiting == 2)
        searches.free.release(100)
        await asyncio.gather(first, long, short)
        assert searches.batches[1:] == [["l" * 1000], ["s"]]

    with_queue(test)


def test_equal_sentences_are_searched_once_also_while_the_search_runs() -> None:
    async def test(queue: SearchQueue, searches: Searches) -> None:
        first = await first_taken(queue, searches)
        again = asyncio.create_task(texts(queue, "first", "b", "b"))
        await until(lambda: queue.waiting == 1)
        searches.free.release(100)
        assert await first == ["FIRST"]
        assert await again == ["FIRST", "B", "B"]
        assert searches.batches == [["first"], ["b"]]
        assert queue.joined == 1

    with_queue(test)


def test_nothing_waits_for_one_who_is_gone_unless_another_wants_it() -> None:
    async def test(queue: SearchQueue, searches: Searches) -> None:
        first = await first_taken(queue, searches)
        gone = asyncio.create_task(texts(queue, "first", "dropped", "shared"))
        await until(lambda: queue.waiting == 2)
        stays = asyncio.create_task(texts(queue, "shared"))
        await until(lambda: queue.joined == 2)
        gone.cancel()
        await until(gone.done)
        assert (queue.waiting, queue.characters) == (1, len("shared"))
        searches.free.release(100)
        assert (await first, await stays) == (["FIRST"], ["SHARED"])
        assert searches.batches == [["first"], ["shared"]]

    with_queue(test)


def test_a_search_that_fails_takes_no_other_with_it() -> None:
    async def test(queue: SearchQueue, searches: Searches) -> None:
        first = await first_taken(queue, searches)
        tasks = [asyncio.create_task(texts(queue, each)) for each in ("a", "bad", "c")]
        await until(lambda: queue.waiting == 3)
        searches.free.release(100)
        a, bad, c = await asyncio.gather(*tasks, return_exceptions=True)
        assert (a, c) == (["A"], ["C"])
        assert isinstance(bad, ValueError)
        assert await first == ["FIRST"]
        assert await texts(queue, "d") == ["D"]

    with_queue(test)


def test_more_than_may_wait_is_refused() -> None:
    async def test(queue: SearchQueue, searches: Searches) -> None:
        await first_taken(queue, searches)
        waiting = asyncio.create_task(texts(queue, "x" * 20))  # however long, where nothing else waits
        await until(lambda: queue.waiting == 1)
        with pytest.raises(Refused, match="too much is waiting") as refused:
            await texts(queue, "b")
        assert refused.value.status == 503
        waiting.cancel()

    with_queue(test, Limits(waiting=10))


def test_the_cache_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "CACHED", 2)

    async def test(queue: SearchQueue, searches: Searches) -> None:
        searches.free.release(100)
        for each in ("a", "b", "a", "c", "a", "b"):
            assert await texts(queue, each) == [each.upper()]
        assert searches.batches == [["a"], ["b"], ["c"], ["b"]]

    with_queue(test)
