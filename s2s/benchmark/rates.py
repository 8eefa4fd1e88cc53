"""Seconds of a run, and several runs timed in turn."""

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

    def over(self, other: "Rates") -> float:
        """Median of the ratios of the same rounds: a machine's speed changes between them, and that of both."""
        return median(own / its for own, its in zip(self.rounds, other.rounds, strict=True))

    def as_json(self) -> dict[str, float]:
        """The median and the extremes by name."""
        return {"median": self.median, "low": min(self.rounds), "high": max(self.rounds)}


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


def alternate(ways: Mapping[str, Way], rounds: int) -> dict[str, Rates]:
    """Rates of some ways, which are run in turn, after a warm-up of each."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    with tqdm(total=(rounds + 1) * len(ways), desc="bench", disable=None, leave=False) as bar:
        for number in range(rounds + 1):
            for name, way in ways.items():
                bar.set_postfix_str(name.replace("_", " "))
                amount, seconds = way()
                if number:
                    found[name].append(amount / seconds)
                bar.update()
    return {name: Rates(rates) for name, rates in found.items()}
