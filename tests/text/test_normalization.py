"""Rules of normalisation: what they leave, what every tokenizer makes of them, and what is told of them."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.errors import DataError
from s2s.recipe.sections import Tokenizer as Settings
from s2s.text.normalization import RULES, Normalization, change, changes_of, normalizer
from s2s.text.tokenizer import inspect, load_tokenizers, save_tokenizers, train_tokenizers
from s2s.text.wordlist import WordTokenizer, read_wordlist

SCRIPTS = {
    "Thai": "ฉันจะไปทำงานแต่เช้า น้ำดื่ม",
    "Persian": "می\u200cخواهم به خانه\u200cام بروم",
    "Korean": "ㅋㅋ 안녕하세요 ㅎ",
    "Korean, decomposed": unicodedata.normalize("NFD", "한국어 공부"),
    "Chinese": "你好，世界！（是）：５０％",
    "Japanese": "東京\u3000大阪「はい」ﾃｽﾄ",
    "German": "„Hallo“, sagte er – ½ Liter, 10² m, 1º …",
    "French": "Bonjour\u00a0! Ça va\u202f?",
    "Arabic": "هل تتكلّم العربيّة؟ ﷺ",
    "Hindi": "नमस्ते, आप कैसे हैं? क्\u200dष",
}
KINDS: dict[str, dict[str, Any]] = {
    "unigram": {}, "bpe": {"model": "bpe"}, "no bytes": {"byte_fallback": False},
    "words": {"kind": "words"}, "characters": {"kind": "characters"},
}  # fmt: skip
BOTH: tuple[Normalization, Normalization] = ("nmt_nfkc", "none")
LINES = list(SCRIPTS.values())
LEARNED = {
    kind: train_tokenizers(Settings(vocabulary_size=900, **keys), True, lambda: zip(LINES, LINES, strict=True), BOTH)
    for kind, keys in KINDS.items()
}
PLACES = st.sampled_from([*"ab ÅéÃ\u0301\u0323\u0302½％ｱ\u3000\u00a0\u200c\u0e33ㅋ각\u1100\u1161\t\u2581😀", "\u1e9b"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_target_comes_back_as_it_was_written(kind: str, script: str) -> None:
    target, line = LEARNED[kind][1], SCRIPTS[script]
    assert target.decode(target.encode(line)) == line
    assert target.decode(target.encode_sampled([line], 0.3, seed=1)[0]) == line


@pytest.mark.parametrize("kind", KINDS)
def test_a_joint_vocabulary_is_one_though_each_side_has_its_rule(kind: str, tmp_path: Path) -> None:
    save_tokenizers(*LEARNED[kind], tmp_path)
    source, target = loaded = load_tokenizers(tmp_path)
    assert tuple(each.normalization for each in loaded) == BOTH
    assert [each.fingerprint for each in loaded] == [each.fingerprint for each in LEARNED[kind]]
    labels = [[each.token(token) for token in range(each.vocabulary_size)] for each in loaded]
    assert labels[0] == labels[1]
    for line in LINES:
        assert source.encode(line) == target.encode(normalizer("nmt_nfkc")(line))
        assert source.normalize(line) == target.normalize(normalizer("nmt_nfkc")(line))
    both = train_tokenizers(Settings(vocabulary_size=900, **KINDS[kind]), True, lambda: iter([("a b", "b c")] * 9))
    assert both[0] is both[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=40)
@given(line=st.text(PLACES, max_size=12))
def test_a_tokenizer_reads_what_its_rule_leaves(kind: str, rule: Normalization, line: str) -> None:
    tokenizer = LEARNED[kind][0].under(rule)
    tokens = tokenizer.encode(line)
    assert tokens == LEARNED[kind][1].encode(normalizer(rule)(line))
    if not tokenizer.lacks(tokens):
        assert tokenizer.decode(tokens) == tokenizer.normalize(line)


def test_a_rule_takes_the_place_of_another() -> None:
    for tokenizer in LEARNED["bpe"]:
        for rule, expected in (("none", "５０％"), ("nmt_nfkc", "50%"), ("nfc", "５０％"), ("nfkc", "50%")):
            tokenizer = tokenizer.under(rule)
            assert (tokenizer.normalization, tokenizer.normalize("５０％")) == (rule, expected)


def test_rules_are_unicodes_and_sentencepieces() -> None:
    for line in [*LINES, "a\u0302\u0323", "  x  "]:
        assert normalizer("none")(line) == line
        assert normalizer("nfc")(line) == unicodedata.normalize("NFC", line)
        assert normalizer("nfkc")(line) == unicodedata.normalize("NFKC", line)
    assert normalizer("nmt_nfkc")("５０％\u3000a\u200cb\tc  ½\n") == "50% a b c  1⁄2\n"


def test_white_space_of_earlier_word_lists_is_all_alike() -> None:
    earlier = read_wordlist(b'{"kind": "words", "entries": ["a", "b"]}')
    assert earlier.normalization is None
    assert earlier.encode("a\u00a0b\u3000a") == earlier.encode("a b a") == [4, 5, 4]
    assert b"normalization" not in earlier.serialize()
    assert WordTokenizer(["a\u00a0b", "a"]).encode("a\u00a0b  a\ta") == [4, 5, 5]


def test_text_that_its_rule_leaves_nothing_of_is_refused() -> None:
    chosen, lines = Settings(vocabulary_size=600), [("\u200b", "\u200b")]
    with pytest.raises(DataError, match="the training text is empty"):
        train_tokenizers(chosen, True, lambda: iter(lines), ("nmt_nfkc", "nmt_nfkc"))
    _, target = train_tokenizers(chosen, True, lambda: iter(lines), ("nmt_nfkc", "none"))
    assert target.decode(target.encode("\u200b")) == "\u200b"


def test_what_a_rule_changes_is_told_with_share_and_examples() -> None:
    lines = ["one  two", "a ５０％ b", "你好，世界！", "wait…", *["plain"] * 996]
    target = LEARNED["unigram"][0].under("nmt_nfkc")
    returned = inspect(target, lines).returned
    (told,) = changes_of(returned, "train (zh)", "tokenizer.target_normalization", "nmt_nfkc")
    assert told == (
        "train (zh): tokenizer.target_normalization = nmt_nfkc changes 3 of 1,000 lines (0.30%), and outputs are"
        " written so: ５０％ → 50% | 你好，世界！ → 你好,世界! | wait… → wait...; none keeps them"
    )
    assert changes_of(returned, "train (zh)", "tokenizer.source_normalization", "nmt_nfkc") == []
    (read,) = changes_of(returned[:10], "train (zh)", "tokenizer.source_normalization", "nmt_nfkc")
    assert "3 of 10 lines (30.00%), and the model reads them so: " in read
    assert changes_of(inspect(LEARNED["unigram"][1], lines).returned, "train", "tokenizer.normalization", "none") == []
    assert changes_of([], "train", "tokenizer.normalization", "nfc") == []
    (own,) = changes_of([("a\tb", "a b")], "train", "tokenizer.normalization", "none")
    assert own.endswith(r"the tokenizer changes 1 of 1 lines (100.00%), and outputs are written so: a\tb → a b")


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("see ５０％ of it", "see 50% of it", "５０％ → 50%"),
        ("می\u200cخواهم بروم", "می خواهم بروم", r"می\u200cخواهم → می خواهم"),
        ("an é", "an e\u0301", r"\xe9 → e\u0301"),
        ("x" * 99, "y", f"{'x' * 60} → y"),
    ],
)
def test_a_change_is_shown_where_it_is(before: str, after: str, shown: str) -> None:
    assert change(before, after) == shown
