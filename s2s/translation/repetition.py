"""Loops: some words said again and again, the failure that recurrent decoders are known for."""

from collections.abc import Sequence

LONGEST_LOOP = 4
"""Words of the longest unit that is looked for."""


def has_loop(words: Sequence[str]) -> bool:
    """Whether some 1 to 4 words stand at least three times in a row; "very very" is no loop."""
    for size in range(1, LONGEST_LOOP + 1):
        run = 0
        for index in range(size, len(words)):
            run = run + 1 if words[index] == words[index - size] else 0
            if run >= 2 * size:
                return True
    return False
