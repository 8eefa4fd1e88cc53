"""Ways to do a thing, timed in turn."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple


class Rate(NamedTuple):
    """How much a second, over some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, rates: list[float]) -> "Rate":
        """The median and the extremes."""
        return cls(median(rates), min(rates), max(rates))

    def as_json(self) -> dict[str, float]:
        """By name."""
        return {"median": self.median, "low": self.low, "high": self.high}


def alternate(ways: Mapping[str, Callable[[], tuple[int, float]]], rounds: int) -> dict[str, Rate]:
    """Run ways that give (how much, seconds) in turn, after a warm-up of each, and take the rates of each."""
    for way in ways.values():
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            amount, seconds = way()
            found[name].append(amount / seconds)
    return {name: Rate.of(rates) for name, rates in found.items()}
