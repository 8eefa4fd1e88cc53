"""Text that is written token by token: nothing is taken back or held longer than it must be, and stops are found."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.language.writing import LONGEST, Stops, Writer
from s2s.recipe.sections import Tokenizer as Settings
from s2s.text.special import END
from s2s.text.tokenizer import Tokenizer, train_tokenizer

LINES = ["the cat sat (on) a mat.", "a dog ran, and ran", "größe, naïve"]
SETTINGS = {
    "bytes": Settings(kind="subword", vocabulary_size=620),
    "bpe": Settings(kind="subword", model="bpe", vocabulary_size=620),
    "subwords": Settings(kind="subword", vocabulary_size=60, byte_fallback=False),
    "words": Settings(kind="words"),
    "punctuation": Settings(kind="words", punctuation=True),
    "characters": Settings(kind="characters"),
    "every byte": Settings(kind="bytes"),
}
LEARNED = {name: train_tokenizer(settings, LINES) for name, settings in SETTINGS.items()}


def decoded(tokenizer: Tokenizer, tokens: Sequence[int], *, characters: bool) -> str:
    """The text of tokens that are all there."""
    if characters:
        return tokenizer.decode(tokens)
    lines: list[list[int]] = [[]]
    for token in tokens:
        if token == END:
            lines.append([])
        else:
            lines[-1].append(token)
    return "\n".join(map(tokenizer.decode, lines))


@pytest.mark.parametrize("kind", SETTINGS)
@given(data=st.data())
def test_pieces_of_any_tokens_are_their_text(kind: str, data: st.DataObject) -> None:
    tokenizer = LEARNED[kind]
    some = st.lists(st.integers(END, tokenizer.vocabulary_size - 1), max_size=LONGEST + 40)
    # bytes come in runs, as the beginnings and the rests of characters
    values = st.lists(st.integers(0x7E, 0xFF).map(lambda byte: 4 + byte), max_size=LONGEST + 40)
    tokens = data.draw(some | values if kind in ("bytes", "bpe") else some)
    if kind in ("bytes", "bpe"):
        assert tokenizer.token(4 + 0x7E) == "<0x7E>"
    writer = Writer(tokenizer)
    pieces = [*map(writer.add, tokens), writer.finish()]
    assert "".join(pieces) == decoded(tokenizer, tokens, characters=kind == "characters")


def test_a_character_in_bytes_comes_with_its_last_byte_and_a_word_at_once() -> None:
    tokenizer = LEARNED["bytes"]
    tokens = tokenizer.encode("the 猫猫")
    writer = Writer(tokenizer)
    pieces = [writer.add(token) for token in tokens]
    assert "".join(pieces[:-6]) == "the"
    assert pieces[-6:] == ["", "", " 猫", "", "", "猫"]  # the space before a word comes with the word
    assert writer.finish() == ""


def test_bytes_that_never_become_a_character_come_in_the_end() -> None:
    tokenizer = LEARNED["bytes"]
    writer = Writer(tokenizer)
    first, second, *_ = tokenizer.encode("猫")[-3:]
    assert [writer.add(first), writer.add(second), writer.finish()] == ["", "", "\ufffd\ufffd"]


@given(st.lists(st.text("ab", max_size=3), max_size=12), st.lists(st.text("ab", min_size=1, max_size=5), max_size=3))
def test_a_stop_is_found_where_the_whole_text_has_it_first(pieces: list[str], texts: list[str]) -> None:
    stops, given, read = Stops(texts), "", ""
    for piece in pieces:
        given, read = given + stops.add(piece), read + piece
        if stops.found:
            break
        assert given + stops.held == read
        assert not any(stop in read for stop in texts)
        assert len(stops.held) < max([*map(len, texts), 1])
    assert stops.found == any(stop in read for stop in texts)
    if stops.found:
        assert given == read[: min(read.find(stop) for stop in texts if stop in read)]


def test_no_more_is_held_back_than_a_stop_may_need() -> None:
    stops = Stops(["\n\n", "END"])
    assert [stops.add(piece) for piece in ("a\n", "b", "E", "N", "x", "\n")] == ["a", "\nb", "", "", "ENx", ""]
    assert stops.held == "\n"
    assert stops.add("\nmore") == ""
    assert stops.found
