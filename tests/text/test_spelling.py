"""What a vocabulary spells badly in other text is told, and nothing where all is well."""

import pytest

from s2s.text.spelling import NAMED, spelled_badly, spelling_of
from s2s.text.subword import SubwordTokenizer
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import CharacterTokenizer, ListTokenizer, PunctuationTokenizer, WordTokenizer

OWN = ["the station is near the old bridge", "where is the next bus stop ?", "the bus is late again"] * 20


def listed(kind: type[ListTokenizer]) -> Tokenizer:
    return kind.train(OWN, vocabulary_size=100, minimum_count=1)


@pytest.fixture(scope="module")
def subwords() -> Tokenizer:
    return SubwordTokenizer.train(OWN, model="bpe", vocabulary_size=700, byte_fallback=True)


@pytest.fixture(scope="module")
def chinese() -> Tokenizer:
    return SubwordTokenizer.train(
        ["车站在旧桥附近。", "公交车又晚了。"] * 9, model="bpe", vocabulary_size=700, byte_fallback=True
    )


def told(tokenizer: Tokenizer, text: list[str], own: list[str]) -> str:
    return "".join(spelled_badly(tokenizer, text, own, "new", "base"))


def test_shares_and_rates_are_those_counted_by_hand(subwords: Tokenizer) -> None:
    found = spelling_of(subwords, ["the łę the", "ł bus"])
    assert found.missing == {"ł": 2, "ę": 1}
    whole = [*subwords.encode("the łę the"), *subwords.encode("ł bus")]
    assert found.tokens == len(whole)
    assert found.lacking_share == pytest.approx(6 / len(whole))  # two bytes each
    assert (found.unit, found.rate) == ("word", len(whole) / 5)


@pytest.mark.parametrize("kind", [WordTokenizer, PunctuationTokenizer, CharacterTokenizer])
def test_units_that_a_list_lacks_are_named(kind: type[ListTokenizer]) -> None:
    missing = spelling_of(listed(kind), ["the bus , the tram"]).missing
    assert missing == {"m": 1, ",": 1} if kind is CharacterTokenizer else {"tram": 1, ",": 1}
    said = told(listed(kind), ["the bus , the tram"], OWN)
    assert said.startswith("new: the vocabulary of base spells it badly: ")
    assert f"it lacks ',' 1 times, {'m' if kind is CharacterTokenizer else 'tram'!r} 1 times" in said


def test_words_in_many_tokens_are_named_by_their_tokens_in_all(subwords: Tokenizer) -> None:
    text = ["tornado brings explorations explorations", "the bus is late"]
    rate = sum(map(len, map(subwords.encode, text))) / 8
    said = told(subwords, text, OWN)
    count = len(subwords.encode("explorations"))
    assert f"0.00% of {8 * rate:.0f} tokens are unknown or bytes, {rate:.2f} per word (0.00%, 1." in said
    assert f"; words of many tokens: 'explorations' in {count}, " in said
    assert "it lacks" not in said
    assert not told(subwords, text, [])  # nothing to compare with, and nothing unknown


@pytest.mark.parametrize("own", [OWN, []])
def test_nothing_is_said_of_text_like_its_own(subwords: Tokenizer, own: list[str]) -> None:
    for tokenizer in (subwords, listed(WordTokenizer), listed(CharacterTokenizer)):
        assert told(tokenizer, OWN[::-1][:30], own) == ""
        assert told(tokenizer, [], own) == ""


def test_what_its_own_text_has_as_often_is_not_told_of(subwords: Tokenizer) -> None:
    text = ["the bus ł is late", "ę again"]
    assert told(subwords, text, OWN)
    assert not told(subwords, text, text[::-1])


def test_a_script_without_spaces_is_counted_by_its_characters(chinese: Tokenizer) -> None:
    found = spelling_of(chinese, ["公交车在桥上。", "车站 in 7"])
    assert (found.unit, found.missing) == ("character", {"上": 1, "i": 1, "n": 1, "7": 1})
    assert found.rate == found.tokens / 12
    said = told(chinese, ["公交车在桥上。"], ["公交车又晚了。"])
    assert " per character (0.00%, " in said
    assert "words of many tokens" not in said


def test_a_few_are_named_the_most_frequent_first() -> None:
    tokenizer = listed(CharacterTokenizer)
    said = told(tokenizer, ["ABCDEFGHIJ", "JJ"], OWN)
    assert said.endswith("it lacks 'J' 3 times, " + ", ".join(f"{each!r} 1 times" for each in "ABCDEFG"))
    assert said.count(" times") == NAMED


def test_words_are_read_under_the_rule_of_the_vocabulary() -> None:
    tokenizer = WordTokenizer.train(OWN, vocabulary_size=100, minimum_count=1).under("nfkc")
    found = spelling_of(tokenizer, ["ｔｈｅ ｂｕｓ ｆｅｒｒｙ"])
    assert (found.tokens, found.missing) == (3, {"ferry": 1})
