"""Loops are found, and only loops."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.translation.repetition import has_loop


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("", False),
        ("no no", False),
        ("a very very old and very very green house", False),
        ("we sang and we sang and they slept", False),
        ("no no no", True),
        ("they sing of the red the red the red house", True),
        ("x we see a we see a we see a", True),
        ("a b c d a b c d a b c d", True),
        ("a b c d a b c d a b c", False),
        ("a b c d e a b c d e a b c d e", False),
    ],
)
def test_loops(text: str, loops: bool) -> None:
    assert has_loop(text.split()) == loops


@settings(deadline=None)
@given(st.lists(st.sampled_from("ab"), max_size=14))
def test_loops_equal_the_definition(words: list[str]) -> None:
    expected = any(
        words[i : i + 3 * size] == words[i : i + size] * 3
        for size in range(1, 5)
        for i in range(len(words) - 3 * size + 1)
    )
    assert has_loop(words) == expected
