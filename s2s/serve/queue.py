"""Sentences of all requests, searched together.

A translator has one queue and one thread that searches; requests live on the event loop. A sentence that comes alone
is searched at once. What waits is taken in batches of similar lengths, the shortest first, so that short sentences are
not held up by long ones; what has waited for PATIENCE goes before all others. Equal sentences are searched once. The
text of a sentence does not depend on its batch (in float32).
"""

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from s2s.serve.limits import Limits, Refused
from s2s.translation.outputs import Translation

log = logging.getLogger("s2s")

PATIENCE = 1.0
"""Seconds that a sentence waits at most for shorter ones."""
FEW = 4
"""Sentences of a batch behind which none is waited for: they may all be of one client."""
LONGER, ROOM = 4, 40
"""A batch holds sentences up to LONGER times as long as its shortest, and ROOM characters."""
PAUSE, LONGEST_PAUSE = 0.2, 0.1
"""Share of a batch's time, and seconds, that the next waits at most to be as large: who was answered asks again."""
CACHED = 2000
"""Sentences whose translations are kept."""
CACHED_CHARACTERS = 1000
"""Of the longest sentence that is kept."""


class Search(NamedTuple):
    """What is to be found: two equal ones have one answer."""

    sentence: str
    nbest: int
    attention: bool


class _Job:
    """A search that waits or runs, and those who want it."""

    __slots__ = ("arrived", "future", "search", "wanted")

    def __init__(self, search: Search, future: "asyncio.Future[Translation]") -> None:
        self.search = search
        self.future = future
        self.arrived = time.monotonic()
        self.wanted = 0

    @property
    def size(self) -> int:
        return len(self.search.sentence)


Translate = Callable[[Sequence[str], int, bool], Sequence[Translation]]
"""sentences, nbest, attention -> a translation of each"""


class SearchQueue:
    """Translations for the coroutines of one event loop, found by one thread. `start` begins, `stop` ends it."""

    def __init__(self, translate: Translate, batch: int, limits: Limits) -> None:
        self.batch = batch
        self.limits = limits
        self.characters = 0
        """waiting"""
        self.batches = self.cached = self.joined = self.searched = 0
        """batches so far, and sentences by where their translation came from"""
        self._translate = translate
        self._seconds_per_character = self._pause = 0.0
        self._expected = 1
        self._jobs: dict[Search, _Job] = {}
        self._waiting: dict[Search, _Job] = {}
        self._cache: OrderedDict[Search, Translation] = OrderedDict()
        self._changed = threading.Condition()  # guards _waiting, characters and _ended
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="search", daemon=True)

    def start(self) -> None:
        """Begin to search, for the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread when it has finished its batch."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Sentences that wait."""
        return len(self._waiting)

    async def translate(self, sentences: Sequence[str], nbest: int = 1, attention: bool = False) -> list[Translation]:
        """A translation of each sentence; Refused with 503 where that would take longer than a request may.

        Cancelled, it leaves no sentence waiting that nobody else wants.
        """
        searches = [Search(sentence, nbest, attention) for sentence in sentences]
        kept = {search: found for search in searches if (found := self._from_cache(search))}
        missing = [search for search in dict.fromkeys(searches) if search not in kept]
        self.cached += len(searches) - len(missing)
        if missing:
            jobs = self._join(missing)
            try:
                await asyncio.wait([job.future for job in jobs])
                kept |= {job.search: job.future.result() for job in jobs}
            finally:
                self._leave(jobs)
        return [kept[search] for search in searches]

    def _join(self, searches: Sequence[Search]) -> list[_Job]:
        new = [_Job(each, self._loop.create_future()) for each in searches if each not in self._jobs]
        characters = sum(job.size for job in new)
        with self._changed:
            self._require_room(characters)
            self._jobs |= {job.search: job for job in new}
            jobs = [self._jobs[search] for search in searches]
            for job in jobs:
                job.wanted += 1
            self._waiting |= {job.search: job for job in new}
            self.characters += characters
            self._changed.notify()
        self.joined += len(jobs) - len(new)
        self.searched += len(new)
        return jobs

    def _require_room(self, characters: int) -> None:
        ahead = self.characters + characters
        seconds = self._seconds_per_character * self.characters
        if self.characters and (ahead > self.limits.waiting or seconds > self.limits.seconds):
            raise Refused(
                503, f"too much is waiting ({self.characters:,} characters, {seconds:.0f} s); try again later"
            )

    def _leave(self, jobs: Sequence[_Job]) -> None:
        with self._changed:
            for job in jobs:
                job.wanted -= 1
                if not job.wanted and job.search in self._waiting:
                    del self._waiting[job.search]
                    self.characters -= job.size
                    del self._jobs[job.search]
                if not job.wanted and job.future.done():
                    job.future.exception()  # looked at, or asyncio would log it

    def _from_cache(self, search: Search) -> Translation | None:
        found = self._cache.get(search)
        if found is not None:
            self._cache.move_to_end(search)
        return found

    def _work(self) -> None:
        while batch := self._next():
            start = time.monotonic()
            results = self._results([job.search for job in batch])
            seconds = time.monotonic() - start
            self._expected = min(len(batch) + len(self._waiting), self.batch)
            self._pause = min(PAUSE * seconds, LONGEST_PAUSE) if len(batch) > FEW else 0.0
            per_character = seconds / sum(job.size for job in batch)
            self._seconds_per_character += 0.1 * (per_character - self._seconds_per_character)
            self._loop.call_soon_threadsafe(self._deliver, batch, results)

    def _next(self) -> list[_Job]:
        """The next batch, taken from what waits; empty at the end."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            self._changed.wait_for(lambda: self._ended or len(self._waiting) >= self._expected, self._pause)
            batch = [] if self._ended else _chosen(self._waiting.values(), self.batch)
            for job in batch:
                del self._waiting[job.search]
                self.characters -= job.size
        return batch

    def _results(self, searches: Sequence[Search]) -> Sequence[Translation | Exception]:
        """A translation of each, or why there is none: one that fails takes no other with it."""
        _, nbest, attention = searches[0]
        try:
            return self._translate([search.sentence for search in searches], nbest, attention)
        except Exception as problem:
            if len(searches) == 1:
                return [problem]
            return [result for search in searches for result in self._results([search])]

    def _deliver(self, batch: Sequence[_Job], results: Sequence[Translation | Exception]) -> None:
        self.batches += 1
        for job, result in zip(batch, results, strict=True):
            del self._jobs[job.search]
            if isinstance(result, Exception):
                job.future.set_exception(result)
                if not job.wanted:
                    job.future.exception()
                continue
            job.future.set_result(result)
            if not job.search.attention and job.size <= CACHED_CHARACTERS:
                self._cache[job.search] = result
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)


def _chosen(waiting: Iterable[_Job], most: int) -> list[_Job]:
    """The batch to search next: the one that has waited too long, or the shortest, and others like it."""
    jobs = sorted(waiting, key=lambda job: job.size)
    oldest = min(jobs, key=lambda job: job.arrived)
    first = oldest if time.monotonic() - oldest.arrived > PATIENCE else jobs[0]
    kind = first.search[1:]
    shortest, longest = (first.size - ROOM) / LONGER, first.size * LONGER + ROOM
    like = [job for job in jobs if shortest <= job.size <= longest and job.search[1:] == kind and job is not first]
    like.sort(key=lambda job: abs(job.size - first.size))
    return [first, *like[: most - 1]]
