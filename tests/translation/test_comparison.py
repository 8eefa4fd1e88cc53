"""Two systems compared: better and worse are told apart, equal ones are called different as often as the level says."""

import logging
from typing import Any

import numpy as np
import pytest
from sentences import references, worsened

from s2s.errors import DataError
from s2s.translation import comparison as module
from s2s.translation.bleu import bleu
from s2s.translation.comparison import compare, comparison_text, p_value, paired_bleu, paired_exact_match


def result(run: str, hypotheses: list[str], references: list[str], short: float = 0.0) -> dict[str, Any]:
    """What of a translator's result is compared."""
    right = [one == other for one, other in zip(hypotheses, references, strict=True)]
    texts = {"hypotheses": hypotheses, "references": references, "right": right, "tokenize": "13a"}
    return {"run": run, **texts, "data": {"short_references": short}}


def test_paired_bootstrap_tells_different_from_equal() -> None:
    right = references()
    bad, good = worsened(right, 0.6, seed=2), worsened(right, 0.1, seed=3)
    better = paired_bleu(bad, good, right)
    assert better.p_value == pytest.approx(1 / 1001)
    assert better.difference == pytest.approx(bleu(good, right).value - bleu(bad, right).value)
    assert 0 < better.low < better.difference < better.high
    worse = paired_bleu(good, bad, right)
    assert worse == pytest.approx((better.p_value, -better.difference, -better.high, -better.low))
    assert paired_bleu(good, good, right) == (1.0, 0.0, 0.0, 0.0)
    assert paired_bleu(bad, good, right, seed=6) != better


def test_p_values_of_equal_systems_are_uniform() -> None:
    """A mean over sentences stands in for BLEU: the p-value sees resampled differences only."""
    generator = np.random.default_rng(1)
    sentences, pairs = 200, 2000
    times = generator.multinomial(sentences, np.full(sentences, 1 / sentences), size=999)
    systems = generator.normal(size=(sentences, pairs))
    resampled = times @ systems / sentences
    values = np.array([p_value(*pair) for pair in zip(systems.mean(0), resampled.T, strict=True)])
    for level in (0.05, 0.2, 0.5, 0.9):
        assert np.mean(values < level) == pytest.approx(level, abs=4 * (level * (1 - level) / pairs) ** 0.5)


def test_equal_systems_are_called_different_as_often_as_the_level_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 comparisons by BLEU of systems that make the same errors equally often."""
    monkeypatch.setattr(module, "RESAMPLES", 99)
    right = references(40)
    values = [
        paired_bleu(worsened(right, 0.3, 2 * i), worsened(right, 0.3, 2 * i + 1), right).p_value for i in range(200)
    ]
    below = sum(value < 0.05 for value in values)
    assert 2 <= below <= 20  # all but 0.1 % of binomials of 200 and 0.04 to 0.05
    assert 80 <= sum(value > 0.45 for value in values) <= 140


def test_exact_match_is_compared_by_right_answers() -> None:
    better = paired_exact_match([True] * 10 + [False] * 40, [True] * 45 + [False] * 5)
    assert better.difference == pytest.approx(0.7)
    assert better.p_value == pytest.approx(1 / 1001)
    assert 0 < better.low < 0.7 < better.high < 1
    assert paired_exact_match([True, False], [False, True]).p_value > 0.45
    assert paired_exact_match([True, False], [True, False]) == (1.0, 0.0, 0.0, 0.0)


def test_runs_are_compared_with_the_first_by_what_can_tell() -> None:
    right = references(10)
    good, bad = result("good", right, right), result("bad", worsened(right, 0.9, 1), right)
    (found,) = compare([good, bad])
    assert (found["run"], found["against"], found["metric"]) == ("bad", "good", "bleu")
    assert found["difference"] < 0
    assert 0 < found["p_value"] <= 1
    assert compare([good]) == compare([]) == []
    words = list("abcdefgh")
    (found,) = compare([result("good", words, words, 1.0), result("bad", ["a", *"aaaaaaa"], words, 1.0)])
    assert (found["metric"], found["difference"]) == ("exact_match", -7 / 8)


def test_runs_with_other_references_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    right = references(10)
    results = [result("one", right, right), result("other", right[1:], right[1:]), result("third", right, right)]
    assert [found["run"] for found in compare(results)] == ["third"]
    assert caplog.messages == ["other and one: scored on different pairs, so they are not compared"]


def test_only_translators_are_compared(caplog: pytest.LogCaptureFixture) -> None:
    right = references(10)
    assert compare([{"run": "lm"}, result("one", right, right)]) == []
    assert "only translators are compared" in caplog.text
    caplog.clear()
    caplog.set_level(logging.INFO)
    assert compare([{"run": "lm"}]) == []
    assert not caplog.text


def test_unequal_or_no_sentences_are_refused() -> None:
    with pytest.raises(DataError, match="2 translations, but 1 references"):
        paired_bleu(["x", "y"], ["x", "y"], ["x"])
    with pytest.raises(DataError, match="0 translations"):
        paired_bleu([], [], [])


def test_a_comparison_reads_well() -> None:
    found = {"run": "b", "against": "a", "metric": "bleu", "difference": 0.5, "low": -0.1, "high": 1.1, "p_value": 0.04}
    assert comparison_text(found) == "b against a: +0.50 BLEU [-0.10, +1.10], p = 0.0400 (paired bootstrap)\n"
    exact = {**found, "metric": "exact_match", "difference": 0.125, "low": 0.0, "high": 0.25}
    assert comparison_text(exact) == (
        "b against a: +12.50% exact match [+0.00%, +25.00%], p = 0.0400 (paired bootstrap)\n"
    )
