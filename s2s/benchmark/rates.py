"""Seconds of a run, and several runs timed in turn, as often as there is time for."""

import math
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

import torch
from tqdm import tqdm

from s2s.device import Compute

Way = Callable[[], tuple[int, float]]
"""A run that gives its amount and its seconds."""


class Rates(NamedTuple):
    """Amounts a second, one for each round."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return median(self.rounds)

    def ratios(self, other: "Rates") -> "Rates":
        """Those of the same rounds: a machine's speed changes between them, and that of both."""
        return Rates([own / its for own, its in zip(self.rounds, other.rounds, strict=True)])

    def over(self, other: "Rates") -> float:
        """Median of the ratios."""
        return self.ratios(other).median

    def as_json(self) -> dict[str, float]:
        """The median, the extremes and the number of rounds by name."""
        return {"median": self.median, "low": min(self.rounds), "high": max(self.rounds), "rounds": len(self.rounds)}


def spread_of(rates: Mapping[str, Rates]) -> dict[str, dict[str, float]]:
    """That of each figure by its name."""
    return {name: rate.as_json() for name, rate in rates.items()}


def now(compute: Compute) -> float:
    """Seconds of a clock, once a GPU has computed all that it has been given."""
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
    return time.perf_counter()


def seconds_of(run: Callable[[], object], compute: Compute) -> float:
    """Seconds of a run, to the end of what it gives a GPU to compute."""
    begin = now(compute)
    run()
    return now(compute) - begin


def timed(amount: int, run: Callable[[], object], compute: Compute) -> Way:
    """A way that is a run of a known amount."""
    return lambda: (amount, seconds_of(run, compute))


def fitting(seconds: float, run: Callable[[], object], compute: Compute, *, least: int, most: int) -> int:
    """How many runs like this one fit into some seconds, after a warm-up; the least and the most bound it."""
    run()
    return max(min(least, most), min(most, int(seconds / max(seconds_of(run, compute), 1e-6))))


def alternate(ways: Mapping[str, Way], rounds: int, seconds: float = math.inf) -> dict[str, Rates]:
    """Rates of some ways, which are run in turn, after a warm-up of each.

    There are fewer rounds, but one, where another like the last would not end within the seconds.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    begin = last = time.perf_counter()
    with tqdm(total=(rounds + 1) * len(ways), desc="bench", disable=None, leave=False) as bar:
        for number in range(rounds + 1):
            before, last = last, time.perf_counter()
            if number > 1 and last + (last - before) > begin + seconds:
                break
            for name, way in ways.items():
                bar.set_postfix_str(name.replace("_", " "))
                amount, taken = way()
                if number:
                    found[name].append(amount / taken)
                bar.update()
    return {name: Rates(rates) for name, rates in found.items()}
