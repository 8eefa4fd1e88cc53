"""Made-up sentences for tests of scores."""

import random

WORDS = ["a", "green", "red", "house", "stands", "near", "the", "old", "river", "we", "see", ",", "and", "sing", "."]


def references(count: int = 60, seed: int = 1) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(4, 25))) for _ in range(count)]


def worsened(lines: list[str], share: float, seed: int) -> list[str]:
    """The lines with a share of their words replaced."""
    generator = random.Random(seed)
    return [
        " ".join(generator.choice(WORDS) if generator.random() < share else word for word in line.split())
        for line in lines
    ]
