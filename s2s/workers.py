"""Work shared out to forked processes: results come in the order of the items, and a killed process is replaced.

A worker is forked from a process that has loaded what the work needs, so that all share its memory; it starts in
milliseconds. Each has a pipe of its own, and one thread serves them all: no lock can be lost with a process.
"""

import gc
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from s2s.errors import RunError

log = logging.getLogger("s2s")
Item = TypeVar("Item")
Result = TypeVar("Result")
_Answer: TypeAlias = tuple[Result | Exception, list[tuple[str, int, str]]]
"""Result of an item, and the messages meanwhile: template, level, text."""
AHEAD = 8
"""Items for each worker that may be under way, or finished and waiting for one before them: with 4, 64 workers would be
idle for a fortieth of their time."""
TRIES = 3
"""Times that an item is begun at most, where the workers that have it are killed."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def quota() -> int | None:
    """Cores' worth of time that a container has, where it has less than all."""
    with suppress(OSError, ValueError):  # there is no limit
        microseconds, period = map(int, QUOTA.read_text(encoding="ascii").split())
        return max(1, microseconds // period)
    return None


def cores() -> int:
    """CPU cores for this process: those that it may run on, and no more than its container's share of them."""
    found = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(found, quota() or found)


def can_fork() -> bool:
    """Whether a process can be forked here from one that has computed; on macOS its libraries would not survive it."""
    return sys.platform == "linux"


class Ordered(Generic[Item, Result]):
    """Items that are taken in their order, and results that are given in it, whatever the order that they come in."""

    def __init__(self, items: Iterable[Item], room: int) -> None:
        """At most `room` items are taken and not yet given, so that reading stays close to writing."""
        self._items, self._room = iter(items), room
        self._again: list[tuple[int, Item]] = []
        self._results: dict[int, Result] = {}
        self._taken = self._given = 0
        self._problem: Exception | None = None

    def take(self) -> tuple[int, Item] | None:
        """The number and the item that comes next; None where there is none, or no room for it yet."""
        if self._again:
            return self._again.pop()
        if self._problem or self._taken - self._given >= self._room:
            return None
        try:
            item = next(self._items)
        except StopIteration:
            return None
        except Exception as problem:
            self._problem = problem
            return None
        self._taken += 1
        return self._taken - 1, item

    def put_back(self, number: int, item: Item) -> None:
        """Have an item taken once more."""
        self._again.append((number, item))

    def put(self, number: int, result: Result) -> None:
        """Keep the result of an item until its turn comes."""
        self._results[number] = result

    def give(self) -> Iterator[Result]:
        """Results whose turn has come; after the last one the error that the items ended with, if they did."""
        while self._given in self._results:
            yield self._results.pop(self._given)
            self._given += 1
        if self._problem and self._given == self._taken:
            raise self._problem


class _Kept(logging.Handler):
    """Keeps messages, each with its template and level, to be sent to the first process."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((str(record.msg), record.levelno, record.getMessage()))


def _serve(own: Connection, others: Sequence[Connection], work: Callable[[Item], Result]) -> None:
    """The life of a worker: it ends with the process that it was forked from."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, and so for the first process too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for each in others:  # or their workers would not see that the first process has ended
        each.close()
    gc.freeze()  # what is shared is not looked through, which would copy it
    kept = _Kept()
    log.handlers[:] = [kept]
    with suppress(EOFError, OSError):
        while True:
            item = own.recv()
            try:
                result: Result | Exception = work(item)
            except Exception as problem:
                result = problem
            own.send((result, kept.messages))
            kept.messages.clear()


class _Team(Generic[Item]):
    """The workers that live, by their connections."""

    def __init__(self, work: Callable[[Item], object]) -> None:
        self.work = work
        self.idle: list[Connection] = []
        self.busy: dict[Connection, tuple[int, Item]] = {}
        self.processes: dict[Connection, ForkProcess] = {}

    def begin(self, number: int, item: Item) -> None:
        """Have an item worked on by who is idle, or by a new worker."""
        while True:
            connection = self.idle.pop() if self.idle else self._new()
            try:
                connection.send(item)
                self.busy[connection] = number, item
                return
            except OSError:  # it was killed while it was idle
                self.end(connection)

    def _new(self) -> Connection:
        context = get_context("fork")
        own, other = context.Pipe()
        process = context.Process(target=_serve, args=(other, [*self.processes, own], self.work), daemon=True)
        process.start()
        other.close()
        self.processes[own] = process
        return own

    def end(self, connection: Connection) -> int | None:
        """Take a worker out; its exit code, negative for the signal that killed it."""
        process = self.processes.pop(connection)
        connection.close()
        process.kill()
        process.join()
        return process.exitcode


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """What `work` makes of each item, in their order, made by so many processes forked from this one.

    Items and results must be picklable; `work` need not be. An error of the work, or of the items, is raised in its
    turn, after the results before it. Messages are logged here, one for each template, as by a process alone. A worker
    that is killed is replaced, and its item begun again; RunError where that happens TRIES times to one item.
    """
    ordered, team = Ordered[Item, _Answer[Result]](items, AHEAD * workers), _Team(work)
    begun, told = Counter[int](), set[str]()
    try:
        while True:
            while len(team.busy) < workers and (taken := ordered.take()):
                team.begin(*taken)
            last = not team.busy
            for connection in wait([*team.busy]) if team.busy else ():
                assert isinstance(connection, Connection)
                number, item = team.busy.pop(connection)
                try:
                    answer: _Answer[Result] = connection.recv()
                    team.idle.append(connection)
                    ordered.put(number, answer)
                except (EOFError, OSError):
                    code = team.end(connection) or 0
                    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                    begun[number] += 1
                    if begun[number] == TRIES:
                        raise RunError(
                            f"{TRIES} workers in turn {how} at one part of the work, as where memory runs out; give"
                            " fewer --workers, or a smaller --batch"
                        ) from None
                    log.warning("a worker %s; another one does its part of the work again", how)
                    ordered.put_back(number, item)
            for result, messages in ordered.give():
                for template, level, text in messages:
                    if template not in told:
                        told.add(template)
                        log.log(level, "%s", text)
                if isinstance(result, Exception):
                    raise result
                yield result
            if last:
                return
    finally:
        for connection in [*team.processes]:
            team.end(connection)
