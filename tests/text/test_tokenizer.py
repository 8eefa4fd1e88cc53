"""What every tokenizer keeps to, and how they are trained, saved, loaded and inspected; loops in text."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.errors import DataError, RunError
from s2s.language.recipe import TextTokenizer as LanguageSettings
from s2s.recipe.sections import Tokenizer as Settings
from s2s.text.special import END, PAD, START, UNKNOWN
from s2s.text.subword import SubwordTokenizer
from s2s.text.tokenizer import (
    Tokenizer,
    has_loop,
    inspect,
    load_tokenizers,
    save_tokenizers,
    train_tokenizer,
    train_tokenizers,
    warnings_of,
)
from s2s.text.wordlist import CharacterTokenizer, WordTokenizer, read_wordlist

PAIRS = [
    (f"{number} {animal} schlafen {place}", f"{number} {creature} sleep {where}")
    for number in range(2, 40)
    for animal, creature in [("Katzen", "cats"), ("Füchse", "foxes"), ("Pferde", "horses")]
    for place, where in [("im Heu", "in the hay"), ("am Fluss", "by the river"), ("unter der Brücke", "under it")]
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
STRANGE = [
    "",
    " ",
    "\t",
    "a\tb",
    "\x00",
    "\x07\x1b[0m",
    "\u0301",
    "😀👩‍👩‍👧",
    "مرحبا بالعالم",
    "a\u2028b",
    "\ufeff",
    "▁",
    "<s> </s>",
]


def pairs() -> Iterator[tuple[str, str]]:
    return iter(PAIRS)


def trained(kind: str, joint: bool = True, size: int = 620) -> tuple[Tokenizer, Tokenizer]:
    chosen: dict[str, Any] = {"kind": kind} if kind not in ("unigram", "bpe") else {"model": kind}
    return train_tokenizers(Settings(vocabulary_size=size, **chosen), joint, pairs)


ALL = {kind: trained(kind)[0] for kind in ("unigram", "bpe", "words", "characters")}
KINDS = list(ALL)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=50)
@given(line=TEXT)
def test_a_line_without_unknown_tokens_comes_back_normalised(kind: str, line: str) -> None:
    tokenizer = ALL[kind]
    tokens = tokenizer.encode(line)
    assert all(UNKNOWN <= token < tokenizer.vocabulary_size and token not in (START, END) for token in tokens)
    if UNKNOWN not in tokens:
        assert tokenizer.decode(tokens) == tokenizer.normalize(line)
    assert isinstance(tokenizer.decode(tokens), str)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@settings(deadline=None, max_examples=50)
@given(line=TEXT)
def test_with_bytes_nothing_is_unknown(kind: str, line: str) -> None:
    assert UNKNOWN not in ALL[kind].encode(line)
    assert ALL[kind].decode(ALL[kind].encode(line)) == ALL[kind].normalize(line)


@settings(deadline=None, max_examples=50)
@given(line=st.text("0123456789 Katzenim\u00fc", max_size=40))
def test_characters_come_back_exactly_and_words_but_for_white_space(line: str) -> None:
    characters, words = ALL["characters"], ALL["words"]
    assert characters.normalize(line) == line
    assert words.normalize(line) == " ".join(line.split())


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=50)
@given(tokens=st.lists(st.integers(0, 40)))
def test_any_tokens_decode_to_one_line_without_special_ids(kind: str, tokens: list[int]) -> None:
    tokenizer = ALL[kind]
    line = tokenizer.decode(tokens)
    assert "\n" not in line
    assert "\r" not in line
    assert line == tokenizer.decode([token for token in tokens if token not in (PAD, START, END)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", [*STRANGE, "Katzen schlafen " * 1000])
def test_strange_lines_are_encoded_sampled_and_decoded(kind: str, line: str) -> None:
    tokenizer = ALL[kind]
    for tokens in [tokenizer.encode(line), *tokenizer.encode_sampled([line], 0.5, seed=1)]:
        assert (UNKNOWN in tokens) or tokenizer.decode(tokens) == tokenizer.normalize(line)


@pytest.mark.parametrize("kind", KINDS)
def test_special_ids_have_the_same_labels_everywhere(kind: str) -> None:
    assert [ALL[kind].token(token) for token in (PAD, UNKNOWN, START, END)] == ["<pad>", "<unk>", "<s>", "</s>"]
    with pytest.raises(IndexError):
        ALL[kind].token(ALL[kind].vocabulary_size)


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_words_and_characters_have_one_segmentation(kind: str) -> None:
    lines = [source for source, _ in PAIRS[:5]]
    assert ALL[kind].encode_sampled(lines, 0.5, seed=1) == [ALL[kind].encode(line) for line in lines]


def test_units_are_ranked_by_count_and_cut() -> None:
    words = WordTokenizer.train(["b a a c c", "a d"], vocabulary_size=7, minimum_count=1)
    assert [words.token(token) for token in range(4, 7)] == ["a", "c", "b"]
    assert words.vocabulary_size == 7
    assert words.encode("c  d a") == [5, UNKNOWN, 4]
    assert words.decode([5, UNKNOWN, END, 4]) == "c ⁇ a"
    counted = CharacterTokenizer.train(["aab"], vocabulary_size=100, minimum_count=2)
    assert counted.encode("ab") == [4, UNKNOWN]


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_lists_refuse_empty_text_and_a_count_that_nothing_reaches(kind: str) -> None:
    listed = {"words": WordTokenizer, "characters": CharacterTokenizer}[kind]
    with pytest.raises(DataError, match="the training text is empty"):
        listed.train([""], vocabulary_size=10, minimum_count=1)
    with pytest.raises(DataError, match=rf"minimum_count: none of 1 {kind} occurs 9 times; .* occurs 2 times"):
        listed.train(["a", "a"], vocabulary_size=10, minimum_count=9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("joint", [True, False])
def test_saved_tokenizers_load_the_same(kind: str, joint: bool, tmp_path: Path) -> None:
    source, target = trained(kind, joint=joint)
    assert (source is target) == joint
    save_tokenizers(source, target, tmp_path)
    suffix = "model" if kind in ("unigram", "bpe") else "json"
    names = {f"tokenizer.{suffix}"} if joint else {f"tokenizer.{side}.{suffix}" for side in ("source", "target")}
    assert {path.name for path in tmp_path.iterdir()} == names
    loaded_source, loaded_target = load_tokenizers(tmp_path)
    assert (loaded_source is loaded_target) == joint
    assert (loaded_source.fingerprint, loaded_target.fingerprint) == (source.fingerprint, target.fingerprint)
    assert loaded_target.encode(PAIRS[0][1]) == target.encode(PAIRS[0][1])
    assert loaded_source.serialize() == source.serialize()


def test_saving_replaces_tokenizers_of_another_form(tmp_path: Path) -> None:
    save_tokenizers(ALL["words"], ALL["characters"], tmp_path)
    save_tokenizers(ALL["bpe"], ALL["bpe"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.model"]


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"tokenizer.model: there is no such file, nor tokenizer.json"):
        load_tokenizers(tmp_path)
    save_tokenizers(ALL["words"], ALL["characters"], tmp_path)
    (tmp_path / "tokenizer.target.json").unlink()
    with pytest.raises(RunError, match=r"tokenizer.target.model: there is no such file, nor tokenizer.target.json"):
        load_tokenizers(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff\xfe\x00", b"[]", b"null"])
def test_a_damaged_tokenizer_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=rf"{name}: the tokenizer cannot be read: it|{name}: .*(Expecting|codec)"):
        load_tokenizers(tmp_path)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({"kind": "words", "entries": ["a", "a"]}, "its vocabulary lists a unit twice"),
        ({"kind": "words", "entries": ["a b"]}, "'a b' in its vocabulary is not one of words"),
        ({"kind": "characters", "entries": ["ab"]}, "'ab' in its vocabulary is not one of characters"),
        ({"kind": "words", "entries": [1]}, "its entries are no list of strings"),
        ({"kind": "syllables", "entries": []}, "its kind is 'syllables', not one of words"),
        ({"kind": "words"}, "it is no JSON object of"),
    ],
)
def test_an_impossible_list_says_why(content: object, rule: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match=rule):
        load_tokenizers(tmp_path)


def test_a_cut_model_is_refused(tmp_path: Path) -> None:
    save_tokenizers(ALL["unigram"], ALL["unigram"], tmp_path)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(RunError, match=r"tokenizer.model: the tokenizer cannot be read"):
        load_tokenizers(tmp_path)


def test_a_report_counts_unknown_tokens_and_keeps_what_comes_back() -> None:
    words = WordTokenizer(["a", "b"])
    report = inspect(words, ["a  b", "a c", "b", "d"])
    assert (report.lines, report.tokens, report.unknown_share) == (4, 6, pytest.approx(2 / 6))
    assert (report.unknown_lines_share, report.examples) == (0.5, ("a c", "d"))
    assert report.returned == (("a  b", "a b"), ("b", "b"))
    (unknown,) = warnings_of(report, "validation source")
    assert unknown.startswith("validation source: 33.3% of 6 tokens are unknown")
    assert "tokenizer.vocabulary_size" in unknown
    assert "'a c' | 'd'" in unknown
    (rare,) = warnings_of(inspect(words, [*["a " * 200] * 40, "a c"]), "train")
    assert rare.startswith("train: 2.4% of 41 lines have tokens that are unknown")


@pytest.mark.parametrize("byte_fallback", [True, False])
def test_what_the_vocabulary_lacks_is_known_from_the_tokens(byte_fallback: bool) -> None:
    lines = ["the cat sat", "the dog sat"] * 5
    size = 600 if byte_fallback else 30
    learned = SubwordTokenizer.train(lines, model="unigram", vocabulary_size=size, byte_fallback=byte_fallback)
    assert [learned.lacks(learned.encode(line)) for line in ("the cat", "the {cat}", "the é", "")] == [0, 1, 1, 0]
    words = WordTokenizer(["the", "cat"])
    assert [words.lacks(words.encode(line)) for line in ("the cat", "the {cat}", "")] == [0, 1, 0]


def test_good_text_and_no_text_give_no_warnings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert warnings_of(inspect(ALL["characters"], (line for pair in PAIRS for line in pair)), "training") == []
        assert warnings_of(inspect(ALL["unigram"], []), "nothing") == []
    assert caplog.text == ""


def test_subword_labels_keep_the_low_line() -> None:
    tokenizer = ALL["unigram"]
    assert isinstance(tokenizer, SubwordTokenizer)
    assert "".join(map(tokenizer.token, tokenizer.encode("Katzen im Heu"))) == "▁Katzen▁im▁Heu"


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


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("kind", ["unigram", "bpe", "words", "characters"])
def test_symbols_are_entries_that_no_text_spells(kind: str, joint: bool, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"kind": kind} if kind not in ("unigram", "bpe") else {"model": kind}
    spelled = [f"{before}<tag:mine>{after}" for before in ("", "x", "1") for after in ("", "▁", " x", "x")]

    def text() -> Iterator[tuple[str, str]]:  # which is full of what looks like the symbol
        return iter([(f"{spelled[number % 12]} {source}", target) for number, (source, target) in enumerate(PAIRS)])

    symbols = (["tag:mine", "mask:1"], ["mask:1"])
    save_tokenizers(*train_tokenizers(Settings(vocabulary_size=620, **chosen), joint, text, symbols=symbols), tmp_path)
    source, target = load_tokenizers(tmp_path)
    assert set(source.symbols) == {"tag:mine", "mask:1"}
    assert set(target.symbols) == ({"tag:mine", "mask:1"} if joint else {"mask:1"})
    tag = source.symbols["tag:mine"]
    assert 4 <= tag < source.vocabulary_size <= 620
    assert source.token(tag) == "<tag:mine>"
    for line in [*spelled, *(f"{each} Katzen" for each in spelled)]:
        assert not source.lacks(source.encode(line))
        assert not {*source.symbols.values()} & {*source.encode(line), *source.encode_sampled([line], 0.5, 1)[0]}
    tokens = source.encode("2 Katzen schlafen")
    assert source.decode([tag, *tokens, source.symbols["mask:1"]]) == source.decode(tokens) == "2 Katzen schlafen"


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_a_word_list_without_symbols_names_none(kind: str) -> None:
    assert set(json.loads(trained(kind)[0].serialize())) == {"kind", "entries", "normalization"}


@given(st.binary(max_size=80))
def test_every_byte_comes_back_and_is_a_token_of_its_own(content: bytes) -> None:
    tokenizer = read_wordlist(train_tokenizer(LanguageSettings(kind="bytes"), []).serialize())
    text = content.decode("utf-8", "surrogateescape")
    tokens = tokenizer.encode(text)
    assert bytes(token - 4 for token in tokens) == content
    assert tokenizer.decode(tokens) == text == tokenizer.normalize(text)
    assert not tokenizer.lacking(text)
    assert tokenizer.vocabulary_size == 260


def test_half_of_a_character_has_no_bytes() -> None:
    with pytest.raises(DataError, match=r"the text has U\+D83D, half of a character, which has no bytes"):
        train_tokenizer(LanguageSettings(kind="bytes"), []).encode("a\ud83d")
