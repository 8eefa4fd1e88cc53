"""Laws of sampled segmentations."""

import itertools
import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.text.sampling import MergeSampler, UnigramSampler

SCORES = {"a": -2.0, "b": -2.5, "c": -3.0, "ab": -2.2, "bc": -4.0, "abc": -5.0, "ca": -3.5, "cab": -4.5}
UNITS = st.text("abc", min_size=1, max_size=7)


def segmentations(unit: str) -> list[tuple[str, ...]]:
    """All ways to spell a unit in pieces, by cutting it at every subset of its inner positions."""
    ways = []
    for count in range(len(unit)):
        for cuts in itertools.combinations(range(1, len(unit)), count):
            bounds = (0, *cuts, len(unit))
            way = tuple(unit[start:end] for start, end in itertools.pairwise(bounds))
            if all(piece in SCORES for piece in way):
                ways.append(way)
    return ways


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_unigram_samples_each_segmentation_with_its_smoothed_probability(alpha: float) -> None:
    sampler, generator, draws = UnigramSampler(SCORES), Random(1), 20_000
    found = Counter(tuple(sampler.sample("abcab", alpha, generator)) for _ in range(draws))
    weights = {way: math.exp(alpha * sum(SCORES[piece] for piece in way)) for way in segmentations("abcab")}
    assert set(found) <= set(weights)
    for way, weight in weights.items():
        expected = weight / sum(weights.values())
        spread = math.sqrt(expected * (1 - expected) / draws)
        assert abs(found[way] / draws - expected) < 5 * spread


@settings(deadline=None)
@given(UNITS)
def test_unigram_with_a_great_alpha_is_the_best_segmentation(unit: str) -> None:
    sampled = UnigramSampler(SCORES).sample(unit, 1e4, Random(0))
    best = max(sum(SCORES[piece] for piece in way) for way in segmentations(unit))
    assert sum(SCORES[piece] for piece in sampled) == pytest.approx(best)


@settings(deadline=None)
@given(UNITS, st.floats(0, 1), st.integers(0, 2**32))
def test_both_spell_the_unit_in_pieces(unit: str, alpha: float, seed: int) -> None:
    for sampler in (UnigramSampler(SCORES), MergeSampler(SCORES)):
        sampled = sampler.sample(unit, alpha, Random(seed))
        assert "".join(sampled) == unit
        assert set(sampled) <= set(SCORES)


def test_merges_are_done_by_score_and_then_from_the_left() -> None:
    sampler = MergeSampler({"a": -9.0, "b": -9.0, "ab": -1.0, "ba": 0.0, "aab": -2.0})
    assert sampler.sample("abab", 0.0, Random(0)) == ["a", "ba", "b"]
    assert sampler.sample("aabab", 0.0, Random(0)) == ["a", "a", "ba", "b"]
    assert sampler.sample("aab", 0.0, Random(0)) == ["aab"]


def test_dropout_of_all_merges_leaves_characters() -> None:
    assert MergeSampler(SCORES).sample("abcab", 1.0, Random(0)) == list("abcab")


def test_dropout_leaves_out_a_single_merge_with_its_probability() -> None:
    sampler, generator = MergeSampler({"a": -1.0, "b": -2.0, "ab": 0.0}), Random(3)
    kept = sum(sampler.sample("ab", 0.3, generator) == ["ab"] for _ in range(10_000)) / 10_000
    assert abs(kept - 0.7) < 5 * math.sqrt(0.3 * 0.7 / 10_000)
