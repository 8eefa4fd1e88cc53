"""Running text: encoded once, cut in three ways, none of which loses or invents a token."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.sources import Source
from s2s.errors import DataError
from s2s.language.text import Chunks, EncodedText, SeparateLines, Stream, encode_text, whole_words
from s2s.text.special import END, START
from s2s.text.tokenizer import Tokenizer
from s2s.text.wordlist import CharacterTokenizer, PunctuationTokenizer, WordTokenizer

LETTERS = CharacterTokenizer(list("abcdefghij \n"))
WORDS = WordTokenizer(["one", "two", "three"])


def encode(pieces: list[str], tokenizer: Tokenizer, cache: Path, *, lines: bool = False) -> EncodedText:
    identity = repr(pieces)

    def read() -> Iterator[str]:
        return iter(pieces)

    return encode_text(Source(read, identity, "a text"), tokenizer, lines=lines, cache=cache)


def test_running_characters_keep_their_line_ends(tmp_path: Path) -> None:
    text = encode(["ab\n", "c", "d\n"], LETTERS, tmp_path)
    assert LETTERS.decode(text.tokens.tolist()) == "ab\ncd\n"
    assert (text.size, text.unknown) == ((5, 5, 0), 0)  # the first is given


def test_running_words_close_each_line_with_end(tmp_path: Path) -> None:
    text = encode(["one two\n", "\n", "three four"], WORDS, tmp_path)
    assert text.tokens.tolist() == [4, 5, END, END, 6, 1]
    assert (text.size, text.unknown) == ((16, 16, 5), 1)  # the first word is given


def test_lines_are_sequences_without_their_ends(tmp_path: Path) -> None:
    text = encode(["ab\n", "c", "d\n", "\n", "e"], LETTERS, tmp_path, lines=True)
    assert [LETTERS.decode(text.lines[row].tolist()) for row in range(len(text.lines))] == ["ab", "cd", "", "e"]


def test_a_closed_list_has_its_symbols_alone_and_names_another(tmp_path: Path) -> None:
    closed = CharacterTokenizer(["!", "h", "i"], closed=True)
    assert encode(["hi!"], closed, tmp_path).tokens.tolist() == [1, 2, 0]
    assert closed.vocabulary_size == 3
    assert closed.decode([1, 2, 0]) == "hi!"
    with pytest.raises(DataError, match=r"the text contains '\?', which is not in tokenizer.symbols \(!, h, i\)"):
        encode(["hi?"], closed, tmp_path)


def test_an_empty_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a text: the text is empty"):
        encode([], LETTERS, tmp_path)


@given(st.integers(2, 60), st.integers(1, 7), st.integers(1, 9))
def test_a_stream_reads_each_row_from_left_to_right(count: int, rows: int, window: int) -> None:
    text = in_memory(count)
    stream = Stream(text, rows=rows, window=window)
    batches = list(stream.batches(0, 0))
    assert len(batches) == stream.batches_in_epoch(0)
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    inputs = np.concatenate([batch.inputs.numpy() for batch in batches], axis=1)
    targets = np.concatenate([batch.targets.numpy() for batch in batches], axis=1)
    assert (targets == inputs + 1).all()  # the text counts upwards
    assert (np.diff(inputs.flatten()) == 1).all()  # rows follow one another, and nothing stands in two
    assert inputs.size == sum(batch.tokens for batch in batches) >= count - 1 - rows
    skipped = list(stream.batches(0, 1))
    assert [batch.inputs.tolist() for batch in skipped] == [batch.inputs.tolist() for batch in batches[1:]]


@given(st.integers(2, 60), st.integers(1, 7), st.integers(1, 9))
def test_chunks_are_windows_of_the_text_and_an_epoch_is_fixed(count: int, rows: int, window: int) -> None:
    chunks = Chunks(in_memory(count), rows=rows, window=window, seed=3)
    batches = list(chunks.batches(2, 0))
    assert len(batches) == chunks.batches_in_epoch(2)
    for batch in batches:
        assert (np.diff(batch.inputs.numpy(), axis=1) == 1).all()
        assert (batch.targets.numpy() == batch.inputs.numpy() + 1).all()
        assert int(batch.targets.max()) < count
        assert not batch.continues
    again = [batch.inputs.tolist() for batch in chunks.batches(2, 1)]
    assert again == [batch.inputs.tolist() for batch in batches[1:]]


def test_framed_lines_begin_and_end_and_closed_ones_give_their_first_symbol(tmp_path: Path) -> None:
    text = encode(["ab\n", "cde\n"], LETTERS, tmp_path, lines=True)
    a, b, c, d, e = LETTERS.encode("abcde")
    framed = SeparateLines(text, rows=2, window=5, seed=1, framed=True)
    (batch,) = framed.batches(0, 0)
    assert batch.lengths is not None
    assert batch.tokens == 7
    rows = {tuple(row[:n].tolist()) for row, n in zip(batch.inputs, batch.lengths, strict=True)}
    assert rows == {(START, a, b), (START, c, d, e)}
    targets = {tuple(row[:n].tolist()) for row, n in zip(batch.targets, batch.lengths, strict=True)}
    assert targets == {(a, b, END), (c, d, e, END)}
    (batch,) = SeparateLines(text, rows=2, window=5, seed=1, framed=False).batches(0, 0)
    assert batch.lengths is not None
    rows = {tuple(row[:n].tolist()) for row, n in zip(batch.inputs, batch.lengths, strict=True)}
    assert rows == {(a,), (c, d)}


@given(st.lists(st.text("ab \n", max_size=12), max_size=8), st.integers(3, 20) | st.none())
def test_whole_words_are_the_text_cut_between_words(pieces: list[str], longest: int | None) -> None:
    cut = list(whole_words(iter(pieces), longest))
    assert "".join(cut) == "".join(pieces)
    assert all(piece[-1] in " \n" for piece in cut[:-1])
    assert [word for piece in cut for word in piece.split()] == "".join(pieces).split()


def test_punctuation_stands_apart_and_comes_back_in_its_place() -> None:
    line = "twenty, twenty one (or so), don't you think?"
    units = PunctuationTokenizer.units(line)
    assert units[:4] == ["twenty", ",", "twenty", "one"]
    assert "don't" in units
    assert PunctuationTokenizer.join(units) == line


def in_memory(count: int) -> EncodedText:
    text = EncodedText.__new__(EncodedText)
    text.tokens = np.arange(count, dtype=np.uint16)
    return text
