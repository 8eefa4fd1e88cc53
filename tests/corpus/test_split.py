"""Laws of holding pairs out of a corpus in one piece."""

import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.split import LARGEST_HELD_OUT_GROUP, hold_out

few_sentences = st.sampled_from([f"{word}{number}" for word in ("go ", "GO ", "Ｇｏ ") for number in range(25)])
connected_pairs = st.lists(st.tuples(few_sentences, few_sentences), max_size=60)
free_pairs = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=30)
some_sizes = st.fixed_dictionaries({"validation": st.integers(0, 8), "test": st.integers(0, 8)})


def forms(pairs: list[tuple[str, str]], side: int) -> set[str]:
    """The sentences of one side as a slow and obvious comparison sees them, for the sentences of few_sentences."""
    return {pair[side].lower().replace("ｇｏ", "go") for pair in pairs}


@given(st.one_of(connected_pairs, free_pairs), some_sizes)
def test_every_distinct_pair_is_in_exactly_one_split(pairs: list[tuple[str, str]], sizes: dict[str, int]) -> None:
    divided = hold_out(pairs, sizes)
    assert list(divided) == ["train", *sizes]
    assert sorted(pair for split in divided.values() for pair in split) == sorted(set(pairs))


@given(connected_pairs, some_sizes)
def test_no_sentence_is_on_two_sides(pairs: list[tuple[str, str]], sizes: dict[str, int]) -> None:
    divided = list(hold_out(pairs, sizes).values())
    for side in (0, 1):
        for number, split in enumerate(divided):
            for other in divided[number + 1 :]:
                assert not forms(split, side) & forms(other, side)


@given(connected_pairs, some_sizes, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_decides_nothing(
    pairs: list[tuple[str, str]], sizes: dict[str, int], random: random.Random
) -> None:
    shuffled = random.sample(pairs, len(pairs))
    divided, again = hold_out(pairs, sizes), hold_out(shuffled, sizes)
    assert {split: set(kept) for split, kept in divided.items()} == {split: set(kept) for split, kept in again.items()}


@given(connected_pairs, some_sizes)
def test_splits_keep_their_size_and_the_order_of_the_file(pairs: list[tuple[str, str]], sizes: dict[str, int]) -> None:
    divided = hold_out(pairs, sizes)
    for split, size in sizes.items():
        assert len(divided[split]) <= size
    for kept in divided.values():
        assert kept == sorted(kept, key=pairs.index)


def test_unconnected_pairs_fill_the_splits_exactly() -> None:
    pairs = [(f"source {number}", f"target {number}") for number in range(100)]
    divided = hold_out(pairs, {"validation": 10, "test": 20})
    assert {split: len(kept) for split, kept in divided.items()} == {"train": 70, "validation": 10, "test": 20}
    assert divided["validation"] != pairs[:10]


@pytest.mark.parametrize("too_many", [0, 1])
def test_a_large_group_is_for_training(too_many: int) -> None:
    pairs = [("Run!", f"target {number}") for number in range(LARGEST_HELD_OUT_GROUP + too_many)]
    divided = hold_out(pairs, {"test": 100})
    assert divided == ({"train": pairs, "test": []} if too_many else {"train": [], "test": pairs})


def test_pairs_connected_through_others_stay_together() -> None:
    chain = [pair for number in range(9) for pair in ((f"s{number}", f"t{number}"), (f"s{number + 1}", f"t{number}"))]
    assert hold_out(chain, {"test": 17})["test"] == []
    assert hold_out(chain, {"test": 18})["test"] == chain


@pytest.mark.parametrize(
    ("one", "other"),
    [("Go  now. ", "Go now."), ("go", "GO"), ("Ｇｏ", "Go"), ("STRASSE", "Straße"), ("Va\u202f!", "Va !")],
)
def test_case_width_and_spacing_make_no_other_sentence(one: str, other: str) -> None:
    sources, targets = [(one, "b"), (other, "c")], [("b", one), ("c", other)]
    for pairs in (sources, targets):
        assert hold_out(pairs, {"test": 1})["test"] == []
        assert hold_out(pairs, {"test": 2})["test"] == pairs


def test_the_order_is_that_of_sha256_so_a_split_is_the_same_everywhere() -> None:
    pairs = [(f"source {number}", f"target {number}") for number in range(10)]
    hashed = sorted(pairs, key=lambda pair: sha256("\t".join(pair).encode()).hexdigest())
    assert set(hold_out(pairs, {"test": 3})["test"]) == set(hashed[:3])
