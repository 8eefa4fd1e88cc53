"""Scores equal sacreBLEU's, intervals and p-values behave, and failures of outputs are counted as defined."""

import random

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from s2s.errors import DataError
from s2s.translation.scores import (
    bleu,
    by_length,
    chrf,
    has_loop,
    paired_bootstrap,
    quick_bleu,
    quick_chrf,
    rates,
    tokenization_for,
)

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


def test_bleu_and_chrf_are_sacrebleus() -> None:
    right = references()
    outputs = worsened(right, 0.3, seed=2)
    expected = sacrebleu.corpus_bleu(outputs, [right], force=True).score
    score = bleu(outputs, right, bootstrap=200)
    assert score.value == quick_bleu(outputs, right) == expected
    assert score.low < score.value < score.high
    assert score.signature == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    score = chrf(outputs, right, bootstrap=200)
    assert score.value == quick_chrf(outputs, right) == sacrebleu.corpus_chrf(outputs, [right]).score
    assert score.low < score.value < score.high
    assert score.signature == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"


def test_options_reach_the_signature_and_the_value() -> None:
    assert bleu(["A GREEN HOUSE stands"], ["a green house stands"], lowercase=True, bootstrap=0).value == pytest.approx(
        100
    )
    assert "case:lc" in chrf(["A"], ["a"], lowercase=True, bootstrap=0).signature
    score = bleu(["古い家が川の近くにある"], ["古い家が川のそばにある"], tokenize="char", bootstrap=0)
    assert "tok:char" in score.signature
    assert 0 < score.value < 100
    assert score.low == score.value == score.high


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("de", "13a"), ("ko", "13a"), ("ja", "char"), ("ja_JP", "char"), ("th", "char"), ("zh-Hans", "zh")],
)
def test_tokenizer_of_a_language(language: str, tokenizer: str) -> None:
    assert tokenization_for(language) == tokenizer
    assert bleu(["x y z a"], ["x y z a"], tokenize=tokenizer, bootstrap=0).value == pytest.approx(100)


def test_interval_narrows_with_more_sentences_and_repeats_with_the_seed() -> None:
    few, many = references(20), references(500)
    narrow = bleu(worsened(many, 0.3, 2), many, bootstrap=100)
    wide = bleu(worsened(few, 0.3, 2), few, bootstrap=100)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert bleu(worsened(few, 0.3, 2), few, bootstrap=100) == wide
    assert bleu(worsened(few, 0.3, 2), few, bootstrap=100, seed=6) != wide


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_paired_bootstrap_is_sacrebleus(metric: str) -> None:
    right = references()
    first, second = worsened(right, 0.30, seed=2), worsened(right, 0.27, seed=3)
    result = paired_bootstrap(first, second, right, metric=metric, bootstrap=200)
    measure = {"bleu": BLEU(force=True), "chrf": sacrebleu.CHRF()}[metric]
    test = PairedTest([("first", first), ("second", second)], {metric: measure}, [right], test_type="bs", n_samples=200)
    name = next(key for key in test()[1] if key != "System")
    one, two = test()[1][name]
    assert result.p_value == pytest.approx(two.p_value)
    assert result.difference == pytest.approx(two.score - one.score)
    assert result.low < result.difference < result.high


def test_paired_bootstrap_tells_different_from_equal() -> None:
    right = references()
    bad, good = worsened(right, 0.6, seed=2), worsened(right, 0.1, seed=3)
    better = paired_bootstrap(bad, good, right, bootstrap=100)
    assert better.p_value == pytest.approx(1 / 101)
    assert 0 < better.low < better.difference < better.high
    worse = paired_bootstrap(good, bad, right, bootstrap=100)
    assert worse == pytest.approx((better.p_value, -better.difference, -better.high, -better.low))
    assert paired_bootstrap(good, good, right, bootstrap=100) == (1.0, 0.0, 0.0, 0.0)


def test_by_length_covers_every_sentence_once() -> None:
    right = references()
    lengths = list(range(len(right)))
    rows = by_length(right, worsened(right, 0.2, 2), right, lengths=lengths)
    assert sum(row["examples"] for row in rows) == len(right)
    assert [row["source_tokens"] for row in rows] == ["0", "1-5", "6-10", "11-15", "16-20", "21-30", "31-50", ">50"]
    assert all(row["length_ratio"] == 1 and 0 < row["bleu"] < 100 for row in rows)


def test_by_length_counts_words_and_leaves_out_empty_rows() -> None:
    rows = by_length(["a b c", "a b c d e f"], ["u v w", "u v w x y z u v"], ["u v w x", "u v w x"])
    assert [(row["source_tokens"], row["examples"], row["length_ratio"]) for row in rows] == [
        ("1-5", 1, 0.75),
        ("6-10", 1, 2.0),
    ]


def test_rates_of_failures() -> None:
    sources = ["ein Haus", "zwei Häuser", "", "drei  alte Häuser", "Berlin", "vier", "fünf sechs", "sieben"]
    outputs = ["a house", " ", "", "Drei alte häuser", "Berlin", "so so so so", "five six", "seven"]
    assert rates(sources, outputs) == {"loops": 1 / 8, "empty": 1 / 8, "copied": 1 / 8}
    assert rates(["x"], ["ははははははは"], split=list)["loops"] == 1


def test_unequal_or_no_sentences_are_refused() -> None:
    with pytest.raises(DataError, match="1,001 translations, but 1,000 references"):
        bleu(["x"] * 1001, ["x"] * 1000)
    with pytest.raises(DataError, match="2 translations, but 1 sources"):
        rates(["x"], ["x", "y"])
    with pytest.raises(DataError, match="0 sentences"):
        chrf([], [])


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
