"""Many clients of a server at once, a tenth of them slow, huge, cut off or not HTTP: is every good answer right?

    python tests/load.py --port 5000 --source en --target ko --lines FILE [--requests 10000] [--clients 64] [--pid PID]

asks for each line alone first, then sends the requests and compares. With the server's --pid its memory is shown.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Report:
    """What became of the requests."""

    good: int = 0
    """good ones, answered"""
    lost: int = 0
    """good ones that were not answered with 200"""
    wrong: int = 0
    """good ones with another translation than the expected"""
    bad: int = 0
    """others"""
    seconds: float = 0.0
    waited: list[float] = field(default_factory=list)
    """seconds of each good one"""


class Load:
    """Requests to one server; `expected` are the right translations of texts."""

    def __init__(self, host: str, port: int, source: str, target: str, expected: Mapping[str, str]) -> None:
        self.address = host, port
        self.languages = {"source": source, "target": target}
        self.expected = expected
        self.report = Report()

    async def run(self, requests: int, clients: int, pause: float, each: Callable[[int], None] = id) -> Report:
        """Send so many requests from so many clients, every tenth a bad one; `each` is told the number of each.

        Slow ones pause so many seconds between their parts.
        """
        kinds = itertools.cycle((self._slow, self._huge, self._cut_off, self._gone, self._not_http))
        texts = itertools.cycle(self.expected)
        numbers = iter(range(requests))

        async def client(random_numbers: random.Random) -> None:
            for number in numbers:
                each(number)
                if number % 10 == 9:
                    self.report.bad += 1
                    await next(kinds)(next(texts), pause, random_numbers)
                else:
                    await self._good(next(texts))

        start = time.perf_counter()
        await asyncio.gather(*(client(random.Random(seed)) for seed in range(clients)))
        self.report.seconds = time.perf_counter() - start
        return self.report

    async def translation(self, text: str) -> str | None:
        """What the server answers to a text; None where that is no translation."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(self._request(text))
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            return str(json.loads(body)["translatedText"]) if head.startswith(b"HTTP/1.1 200 ") else None
        finally:
            writer.close()

    def _request(self, text: str) -> bytes:
        body = json.dumps({"q": text, **self.languages}).encode()
        head = f"POST /translate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Content-Type: application/json\r\n\r\n" + body

    async def _good(self, text: str) -> None:
        start = time.perf_counter()
        try:
            found = await self.translation(text)
        except (OSError, ValueError, KeyError):
            found = None
        self.report.waited.append(time.perf_counter() - start)
        self.report.good += found is not None
        self.report.lost += found is None
        self.report.wrong += found is not None and found != self.expected[text]

    async def _slow(self, text: str, pause: float, random_numbers: random.Random) -> None:
        request = self._request(text)
        places = sorted(random_numbers.sample(range(1, len(request)), 5))
        parts = [request[first:last] for first, last in itertools.pairwise([0, *places, len(request)])]
        await self._send(parts, pause)

    async def _huge(self, text: str, pause: float, random_numbers: random.Random) -> None:
        await self._send([self._request(text * random_numbers.randint(1, 20_000_000 // len(text)))], 0)

    async def _cut_off(self, text: str, pause: float, random_numbers: random.Random) -> None:
        request = self._request(text)
        await self._send([request[: random_numbers.randrange(len(request))]], 0, answer=False)

    async def _gone(self, text: str, pause: float, random_numbers: random.Random) -> None:
        await self._send([self._request(f"{text} {random_numbers.random()}")], 0, answer=False)

    async def _not_http(self, text: str, pause: float, random_numbers: random.Random) -> None:
        await self._send([random_numbers.randbytes(random_numbers.randint(1, 5000)) + b"\r\n\r\n"], 0)

    async def _send(self, parts: list[bytes], pause: float, answer: bool = True) -> None:
        """Send parts with a pause before each, and read the answer, or go away without it."""
        try:
            reader, writer = await asyncio.open_connection(*self.address)
            for part in parts:
                await asyncio.sleep(pause)
                writer.write(part)
                await writer.drain()
            if answer:
                await asyncio.wait_for(reader.read(), 30)
            writer.close()
        except (OSError, TimeoutError):
            pass


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def main() -> int:
    """Run it; 1 where an answer was lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("host", "127.0.0.1"), ("source", "en"), ("target", "ko"), ("lines", None)):
        parser.add_argument(f"--{name}", default=default, required=default is None)
    for name, number in (("port", 5000), ("requests", 10_000), ("clients", 64), ("pid", 0)):
        parser.add_argument(f"--{name}", type=int, default=number)
    given = parser.parse_args()
    lines = [*dict.fromkeys(filter(str.strip, Path(given.lines).read_text(encoding="utf-8").splitlines()))]
    asking = Load(given.host, given.port, given.source, given.target, {})
    expected = {line: found for line in lines if (found := await asking.translation(line)) is not None}
    print(f"{len(expected)} of {len(lines)} lines translated alone")

    def show(number: int) -> None:
        if given.pid and number % max(given.requests // 10, 1) == 0:
            print(f"{number:>7,} requests: {memory_mib(given.pid):.0f} MiB")

    load = Load(given.host, given.port, given.source, given.target, expected)
    report = await load.run(given.requests, given.clients, 0.2, show)
    if given.pid:
        print(f"{given.requests:>7,} requests: {memory_mib(given.pid):.0f} MiB")
    waited = sorted(report.waited)
    print(f"{report.good} good, {report.lost} lost, {report.wrong} wrong, {report.bad} bad in {report.seconds:.0f} s;"
          f" waited {waited[len(waited) // 2]:.2f} s (median), {waited[-1]:.2f} s at most")  # fmt: skip
    return int(report.lost + report.wrong > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
