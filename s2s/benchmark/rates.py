"""Ways to do a thing, timed in turn."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

from tqdm import tqdm


class Rates(NamedTuple):
    """How much a second, in each of some rounds."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return median(self.rounds)

    def over(self, other: "Rates") -> float:
        """The median of the ratios of the same rounds: a machine's speed changes between them, and that of both."""
        return median(own / its for own, its in zip(self.rounds, other.rounds, strict=True))

    def as_json(self) -> dict[str, float]:
        """The median and the extremes by name."""
        return {"median": self.median, "low": min(self.rounds), "high": max(self.rounds)}


def alternate(ways: Mapping[str, Callable[[], tuple[int, float]]], rounds: int) -> dict[str, Rates]:
    """Run ways that give (how much, seconds) in turn, after a warm-up of each, and take the rates of each."""
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
