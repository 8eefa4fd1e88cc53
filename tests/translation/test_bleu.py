"""BLEU and chrF equal sacreBLEU's, and their intervals behave."""

import pytest
import sacrebleu
from sentences import references, worsened

from s2s.errors import DataError
from s2s.translation.bleu import bleu, by_length, chrf, quick_bleu, quick_chrf, short_share


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


def test_interval_narrows_with_more_sentences_and_repeats() -> None:
    few, many = references(20), references(500)
    narrow = bleu(worsened(many, 0.3, 2), many)
    wide = bleu(worsened(few, 0.3, 2), few)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert bleu(worsened(few, 0.3, 2), few) == wide


def test_bleu_says_nothing_of_references_without_four_tokens() -> None:
    """Of one-word targets sacreBLEU's BLEU is 0.00, also where every output is right."""
    right = ["개", "고양이", "작은 새", "집", "a b c"]
    assert sacrebleu.corpus_bleu(right, [right], force=True).score == 0
    assert short_share(right, "13a") == 1
    assert bleu(right, right)[:3] == (None, None, None)
    assert "tok:13a" in bleu(right, right).signature
    assert quick_bleu(right, right) is None
    assert bleu(["a b c d e", *right[1:]], right).value is None
    assert chrf(right, right).value == 100
    assert [row["bleu"] for row in by_length(right, right, [1] * 5)] == [None]


def test_one_long_reference_among_short_ones_gives_a_bleu_unless_it_is_zero() -> None:
    right = ["a", "b", "c", "a b c d"]
    assert short_share(right, "13a") == 0.75
    assert bleu(right, right).value == quick_bleu(right, right) == pytest.approx(100)
    assert bleu(["a", "b", "c", "a b"], right).value is None
    half = ["a", "a b c d"]
    assert bleu(["a", "b"], half).value == quick_bleu(["a", "b"], half) == 0


def test_short_is_counted_in_the_tokens_of_bleu() -> None:
    assert short_share(["古い家", "古い家が", "a, b.", ""], "char") == 0.5
    assert short_share(["古い家", "古い家が", "a, b.", ""], "13a") == 0.75


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


def test_unequal_or_no_sentences_are_refused() -> None:
    with pytest.raises(DataError, match="1,001 translations, but 1,000 references"):
        bleu(["x"] * 1001, ["x"] * 1000)
    with pytest.raises(DataError, match="0 sentences"):
        chrf([], [])


def test_no_score_is_above_100_by_rounding() -> None:
    same = ["one two three four five"] * 7
    for score in (bleu(same, same), chrf(same, same)):
        assert (score.value, score.low, score.high) == (100, 100, 100)
    assert quick_bleu(same, same) == quick_chrf(same, same) == 100
