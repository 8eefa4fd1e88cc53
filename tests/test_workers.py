"""Work shared out to processes: the order of the items, whatever takes long and whoever is killed."""

import heapq
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s2s.workers
from s2s.errors import DataError, RunError
from s2s.workers import AHEAD, TRIES, Ordered, cores, in_order

pytestmark = pytest.mark.skipif(not s2s.workers.can_fork(), reason="needs processes that fork")
PACKAGE = str(Path(s2s.workers.__file__).parents[1])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    items = [*range(40)]
    assert [*in_order(lambda item: (item, item * item), items, workers)] == [(item, item * item) for item in items]
    assert [*in_order(len, [], workers)] == []


def test_texts_larger_than_a_pipe_come_whole() -> None:
    items = ["ä" * size for size in (0, 1, 1 << 16, 1 << 20)]
    assert [*in_order(str.upper, items, 2)] == [item.upper() for item in items]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(1, 8), st.integers())
def test_items_are_taken_once_and_given_in_order_and_few_ahead(count: int, room: int, seed: int) -> None:
    """Whoever has taken an item may finish it, or lose it, at any time."""
    ordered, draw, under_way, given_back = Ordered[int, int](range(count), room), random.Random(seed), {}, []
    seen = set[int]()
    while True:
        while len(under_way) < 4 and (found := ordered.take()):
            under_way[found[0]] = found[1]
            seen.add(found[0])
            assert len(seen) - len(given_back) <= room
        if not under_way:
            break
        number = draw.choice([*under_way])
        item = under_way.pop(number)
        if draw.random() < 0.7:
            ordered.put(number, 10 * item)
        else:
            ordered.put_back(number, item)
        given_back += ordered.give()
    assert given_back == [10 * item for item in range(count)]


def once(folder: Path, item: int) -> bool:
    """Whether an item is seen for the first time."""
    path = folder / str(item)
    seen = path.exists()
    path.touch()
    return not seen


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_worker_is_replaced_and_its_item_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    def work(item: int) -> int:
        if item % 3 == 0 and once(tmp_path, item):
            os.kill(os.getpid(), number)
        return -item

    assert [*in_order(work, range(10), 2)] == [-item for item in range(10)]
    assert {record.getMessage() for record in caplog.records} == {
        f"a worker was killed by signal {number:d}; another one does its part of the work again"
    }


def test_a_worker_that_is_killed_while_it_waits_is_replaced() -> None:
    found = in_order(lambda item: os.getpid(), range(6), 1)
    seen = []
    for process in found:
        seen.append(process)
        if process in seen[-1:] and len(seen) < 6:  # it has the next item, or waits for it
            os.kill(process, signal.SIGKILL)
    assert len(seen) == 6


def test_an_item_that_kills_each_worker_is_an_error_and_not_begun_for_ever(tmp_path: Path) -> None:
    def work(item: int) -> int:
        if item == 2:
            with (tmp_path / "begun").open("a") as file:
                file.write(".")
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    found = in_order(work, range(5), 2)
    with pytest.raises(RunError, match=rf"{TRIES} workers in turn was killed by signal 9 .* fewer --workers"):
        list(found)
    assert (tmp_path / "begun").read_text() == TRIES * "."


def test_an_error_comes_in_its_turn() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise DataError("the third")
        return item

    found = in_order(work, range(100), 4)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="the third"):
        next(found)

    def items() -> Iterator[int]:
        yield from range(3)
        raise DataError("no more lines")

    found = in_order(work, items(), 4)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="no more lines"):
        next(found)


def test_reading_stays_close_to_writing() -> None:
    read = []

    def items() -> Iterator[int]:
        for item in range(200):
            read.append(item)
            yield item

    for written, _ in enumerate(in_order(lambda item: item, items(), 2)):
        assert len(read) - written <= AHEAD * 2 + 1


def test_a_message_is_logged_once_and_by_the_first_process(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("s2s")

    def work(item: int) -> int:
        log.warning("line %s is long", item)
        return os.getpid()

    processes = set(in_order(work, range(8), 2))
    assert os.getpid() not in processes
    assert [record.getMessage() for record in caplog.records] == ["line 0 is long"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_process_that_has_forked_them(number: signal.Signals) -> None:
    """All hold a pipe, and reading it ends when the last of them has."""
    program = (
        "import signal, sys; from s2s.process import leave_when_asked; from s2s.workers import in_order\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # which may be ignored around the tests\n"
        "leave_when_asked()\n"
        "found = in_order(lambda item: item, range(100), 3)\n"
        "print(next(found), next(found), next(found), flush=True)\n"
        "sys.stdin.read()"
    )
    reading, writing = os.pipe()
    environment = {**os.environ, "PYTHONPATH": PACKAGE}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        env=environment,
    ) as process:
        os.close(writing)
        assert process.stdout
        assert process.stdout.readline() == b"0 1 2\n"
        process.send_signal(number)
        assert os.read(reading, 1) == b""
        process.communicate()
    os.close(reading)


def idle_share(durations: list[float], workers: int) -> float:
    """Share of the workers' time in which they have no item, from the first to the last."""
    ordered, clock, busy = Ordered[float, float](durations, AHEAD * workers), 0.0, list[tuple[float, int]]()
    while True:
        while len(busy) < workers and (taken := ordered.take()):
            heapq.heappush(busy, (clock + taken[1], taken[0]))
        if not busy:
            return 1 - sum(durations) / (workers * clock)
        clock, number = heapq.heappop(busy)
        ordered.put(number, clock)
        list(ordered.give())


@pytest.mark.parametrize("workers", [2, 8, 64])
def test_workers_are_idle_for_a_hundredth_of_a_long_text(workers: int) -> None:
    """Simulated: blocks of 128 lines, 100,000 lines a worker, whose time varies as log-normal with sigma 0.5."""
    draw = random.Random(workers)
    durations = [draw.lognormvariate(0, 0.5) for _ in range(100_000 // 128 * workers)]
    assert idle_share(durations, workers) < 0.01


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=60), st.integers(1, 9))
def test_no_more_is_lost_than_a_longest_item_for_each_worker(durations: list[float], workers: int) -> None:
    """Graham's bound for lists of work, while nothing has to wait for room."""
    if len(durations) <= AHEAD * workers:
        whole = sum(durations) / (1 - idle_share(durations, workers)) / workers
        assert whole <= sum(durations) / workers + max(durations) + 1e-9


@pytest.mark.parametrize(("text", "most"), [("max 100000\n", None), ("150000 100000\n", 1), ("50000 100000\n", 1)])
def test_a_containers_share_of_time_counts(
    text: str, most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s2s.workers, "QUOTA", tmp_path / "none")
    all_cores = cores()
    monkeypatch.setattr(s2s.workers, "QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(text)
    assert cores() == (most or all_cores)
