"""Whole answers with several right ones: exact match, word and phone error rates, and the edits between sequences."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.translation.answers import (
    answers,
    are_symbols,
    edit_distance,
    exact_match,
    phone_error_rate,
    word_error_rate,
)

SOURCES = ["r e a d", "r e a d", "c a t", "r e a d"]
RIGHT = ["R IY D", "R EH D", "K AE T", "R IY D"]


def test_a_source_with_several_targets_is_one_with_several_right_answers() -> None:
    read, cat = answers(SOURCES, ["R EH D", "R EH D", " K AE  T", "R EH D"], RIGHT)
    assert read == ("R EH D", ("R IY D", "R EH D"))
    assert read.exact
    assert cat.exact  # white space aside


@pytest.mark.parametrize(
    ("read", "cat", "exact", "phones"),
    [
        ("R EH D", "K AE T", 1, 0),
        ("R IY D", "K AE T", 1, 0),
        ("R EH", "K AE T", 0.5, 1 / 6),
        ("", "K AE T S", 0, 4 / 6),
        ("R IH D", "K T", 0, 2 / 6),
    ],
)
def test_error_rates_take_the_nearest_right_answer(read: str, cat: str, exact: float, phones: float) -> None:
    given = answers(SOURCES, [read, read, cat, read], RIGHT)
    assert exact_match(given) == exact
    assert word_error_rate(given) == 1 - exact
    assert phone_error_rate(given) == pytest.approx(phones)


def test_the_order_of_the_references_changes_no_rate() -> None:
    one, other = (answers(["a", "a"], ["X Y", "X Y"], right) for right in (["X", "X Y Z"], ["X Y Z", "X"]))
    assert phone_error_rate(one) == phone_error_rate(other) == pytest.approx(1 / 3)


def plain_distance(one: str, other: str) -> int:
    """Levenshtein's definition."""
    if not one or not other:
        return len(one) + len(other)
    rest = one[1:], other[1:]
    if one[0] == other[0]:
        return plain_distance(*rest)
    return 1 + min(plain_distance(one[1:], other), plain_distance(one, other[1:]), plain_distance(*rest))


@settings(deadline=None, max_examples=60)
@given(st.text("abc", max_size=5), st.text("abc", max_size=5))
def test_edits_are_levenshteins(one: str, other: str) -> None:
    assert edit_distance(one, other) == plain_distance(one, other)


def test_symbols_are_told_from_words() -> None:
    assert are_symbols(["R IY D", "AE B AH N HH AW S"])
    assert are_symbols(["t͡ɕʰ a k k", "pʲ i s m o̞"])
    assert not are_symbols(["the old house stands near a river", "we see it"])
    assert not are_symbols(["개", "집"])
    assert not are_symbols(["one two three four"])
    assert not are_symbols([f"{number:03} {number + 1:03}" for number in range(500)])
    assert not are_symbols([""])
