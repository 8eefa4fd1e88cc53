"""The longest output of a line."""

EXTRA_TOKENS = 10
"""Added to the longest output that the ratio allows, so that a one-word line has room."""
LEAST_LENGTH_RATIO = 2.0
"""Longest output in tokens per source token where no training pair needs more."""
_ROUNDING = 1e-6


def longest_output(source_tokens: int, ratio: float) -> int:
    """Most tokens of an output, its END counted, for so many of a source, its END counted."""
    return int(source_tokens * ratio + _ROUNDING) + EXTRA_TOKENS
