"""Scores equal sacreBLEU's, intervals and p-values behave, and failures of outputs are counted as defined."""

import random

import numpy as np
import pytest
import sacrebleu

from s2s.errors import DataError
from s2s.translation.scores import (
    bleu,
    by_length,
    chrf,
    p_value,
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
    score = bleu(outputs, right)
    assert score.value == quick_bleu(outputs, right) == expected
    assert score.low < score.value < score.high
    assert score.signature == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    score = chrf(outputs, right)
    assert score.value == quick_chrf(outputs, right) == sacrebleu.corpus_chrf(outputs, [right]).score
    assert score.low < score.value < score.high
    assert score.signature == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"


def test_the_tokenizer_reaches_the_signature_and_the_value() -> None:
    score = bleu(["古い家が川の近くにある"], ["古い家が川のそばにある"], tokenize="char")
    assert "tok:char" in score.signature
    assert 0 < score.value < 100
    assert (score.low, score.high) == pytest.approx((score.value, score.value))


def test_intervals_stay_between_0_and_100() -> None:
    right = references(3)
    wide = bleu([right[0], "x", "y"], right)
    assert 0 == wide.low < wide.value < wide.high <= 100
    assert bleu(right, right)[:3] == pytest.approx((100, 100, 100))
    assert chrf(["x"], ["y"])[:3] == (0, 0, 0)
    seldom = chrf(["a house", *"xxx"], ["a house", *"yyy"])
    assert 0 < seldom.low < seldom.value < seldom.high == 100


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("de", "13a"), ("ko", "13a"), ("ja", "char"), ("ja_JP", "char"), ("th", "char"), ("zh-Hans", "zh")],
)
def test_tokenizer_of_a_language(language: str, tokenizer: str) -> None:
    assert tokenization_for(language) == tokenizer
    assert bleu(["x y z a"], ["x y z a"], tokenize=tokenizer).value == pytest.approx(100)


def test_interval_narrows_with_more_sentences_and_repeats() -> None:
    few, many = references(20), references(500)
    narrow = bleu(worsened(many, 0.3, 2), many)
    wide = bleu(worsened(few, 0.3, 2), few)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert bleu(worsened(few, 0.3, 2), few) == wide


def test_paired_bootstrap_tells_different_from_equal() -> None:
    right = references()
    bad, good = worsened(right, 0.6, seed=2), worsened(right, 0.1, seed=3)
    better = paired_bootstrap(bad, good, right)
    assert better.p_value == pytest.approx(1 / 1001)
    assert better.difference == pytest.approx(bleu(good, right).value - bleu(bad, right).value)
    assert 0 < better.low < better.difference < better.high
    worse = paired_bootstrap(good, bad, right)
    assert worse == pytest.approx((better.p_value, -better.difference, -better.high, -better.low))
    assert paired_bootstrap(good, good, right) == (1.0, 0.0, 0.0, 0.0)
    assert paired_bootstrap(bad, good, right, seed=6) != better


def test_equal_systems_differ_as_often_as_the_level_says() -> None:
    """A mean over sentences stands in for BLEU: the p-value sees resampled differences only."""
    generator = np.random.default_rng(1)
    sentences, pairs = 200, 2000
    times = generator.multinomial(sentences, np.full(sentences, 1 / sentences), size=999)
    systems = generator.normal(size=(sentences, pairs))
    resampled = times @ systems / sentences
    values = np.array([p_value(*pair) for pair in zip(systems.mean(0), resampled.T, strict=True)])
    for level in (0.05, 0.2, 0.5, 0.9):
        assert np.mean(values < level) == pytest.approx(level, abs=4 * (level * (1 - level) / pairs) ** 0.5)


def test_by_length_covers_every_sentence_once() -> None:
    right = references()
    lengths = list(range(len(right)))
    rows = by_length(worsened(right, 0.2, 2), right, lengths)
    assert sum(row["examples"] for row in rows) == len(right)
    assert [row["source_tokens"] for row in rows] == ["0", "1-5", "6-10", "11-15", "16-20", "21-30", "31-50", ">50"]
    assert all(row["length_ratio"] == 1 and 0 < row["bleu"] < 100 for row in rows)


def test_by_length_leaves_out_empty_rows() -> None:
    rows = by_length(["u v w", "u v w x y z u v"], ["u v w x", "u v w x"], [3, 6])
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
