"""Sentences as a report shows them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from s2s.translation.report import differences

LINES = st.lists(st.sampled_from(["a", "b", "<b>", "&amp;", "好"]), max_size=8).map(" ".join)


def without(tag: str, marked: str) -> str:
    return re.sub(f"<{tag}>.*?</{tag}>", "", marked)


@given(LINES, LINES)
def test_marked_sentences_are_the_sentences_and_what_is_not_marked_is_common(reference: str, output: str) -> None:
    left, right = differences(reference, output, unspaced=False)
    assert left.striptags() == reference
    assert right.striptags() == output
    assert without("del", left).split() == without("ins", right).split()


def test_what_is_marked_is_what_differs() -> None:
    assert differences("the cat sat", "the dog sat", unspaced=False) == (
        "the <del>cat</del> sat",
        "the <ins>dog</ins> sat",
    )
    assert differences("我是猫", "我是狗", unspaced=True) == ("我是<del>猫</del>", "我是<ins>狗</ins>")
    assert differences("a", "", unspaced=False) == ("<del>a</del>", "")
