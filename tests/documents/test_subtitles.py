"""Subtitles: sentences run over cues, and nothing but their words changes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shouting import outcome

from s2s.documents.subtitles import broken
from s2s.errors import DataError
from s2s.translation.reading import Reading

TWO = "1\n00:00:01,000 --> 00:00:02,500 X1:9\n{}\n\n2\n00:00:02,600 --> 00:00:04,000\n{}\n"


def sentences(text: str) -> list[str]:
    """What is translated at once."""
    asked: list[str] = []
    outcome(text, "subtitles", by=lambda sentence: asked.append(sentence) or sentence)  # type: ignore[func-returns-value]
    return asked


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("One that\ngoes", "on and on. Two.", ["One that goes on and on.", "Two."]),
        ("One.", "Two", ["One.", "Two"]),
        ("- One\n- two", "three", ["One", "two three"]),
        ("one", "- two", ["one", "two"]),
        ("<i>One that", "goes</i> on.", ["One that goes on."]),
        ("{\\an8}♪ One ♪", "two", ["One", "two"]),
        ("[One]", "two", ["[One]", "two"]),
        ("{name} is\n5", "<b></b>", ["is 5"]),
        ("5 %", "!", []),
    ],
)
def test_sentences_run_over_lines_tags_and_cues(first: str, second: str, expected: list[str]) -> None:
    assert sentences(TWO.format(first, second)) == expected
    assert sentences(TWO.format(first, second).replace("\n", "\r\n")) == expected


def test_a_sentence_does_not_run_over_a_pause() -> None:
    assert sentences(TWO.format("one", "two").replace("2,600", "3,900")) == ["one two"]
    assert sentences(TWO.format("one", "two").replace("2,600", "4,900").replace("04,", "05,")) == ["one", "two"]


@pytest.mark.parametrize(
    ("language", "translation", "first", "second"),
    [
        ("de", "eins zwei drei vier", "eins\nzwei", "<i>drei</i> vier"),
        ("de", "{a} zwei", "{a} zwei", None),
        ("ja", "一二三四五六七八。", "一二\n三四", "<i>五六七</i> 八。"),
        ("th", "กิ่กิ่กิ่กิ่", "กิ่\nกิ่", "<i>กิ่</i> กิ่"),
    ],
)
def test_a_translation_is_broken_as_its_sentence_was(
    language: str, translation: str, first: str, second: str | None
) -> None:
    text = TWO.format("aaaa\nbbbb", "<i>cccc</i> dddd")
    found = outcome(text, "subtitles", by=lambda _: translation, languages=("en", language))
    if second is None:
        assert (found.text, found.left) == (text, ["'{a}': 0 in the source, 1 in the translation"])
    else:
        assert found.text == TWO.format(first, second)


def test_fewer_words_than_subtitles_leave_them_as_they_were() -> None:
    text = TWO.format("one", "two")
    assert outcome(text, "subtitles", by=lambda _: "Eins").left == ["it has fewer words than subtitles to stand in"]
    lines = TWO.format("one\n<i>two</i>\nthree.", "Four")
    assert outcome(lines, "subtitles", by=lambda _: "Eins").text == TWO.format("<i></i>\nEins", "Eins")


VTT = """WEBVTT - title

STYLE
::cue { color: red }

NOTE a note, not a text

first id
00:01.000 --> 00:02.000 align:start
<v Bob>Tom &amp; Jerry <00:01.500>are

00:02.100 --> 00:03.000
friends &lt;3
"""


def test_vtt_keeps_its_header_notes_styles_and_entities() -> None:
    expected = VTT.replace("Tom &amp; Jerry", "TOM &amp; JERRY").replace(">are", ">ARE").replace("friends", "FRIENDS")
    assert outcome(VTT, "subtitles").text == expected
    assert sentences(VTT) == ["Tom & Jerry are friends <3"]
    assert outcome("WEBVTT\n", "subtitles").text == "WEBVTT\n"


PIECES = st.sampled_from(
    ["one", "two", ".", " ", "\n", "<i>", "</i>", "- ", "{\\an8}", "♪", "&amp;", "{x}", "한", "\r\n", "\n\n", "9"]
)
CUES = st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=4)


@given(CUES, st.integers(0, 9), st.sampled_from(["de", "ko", "ja"]), st.booleans())
def test_numbers_times_and_tags_stay_whatever_the_words(cues: list[str], words: int, target: str, is_vtt: bool) -> None:
    text = "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{cue}\n\n" for n, cue in enumerate(cues, 1))
    text = f"WEBVTT\n\n{text.replace(',', '.')}" if is_vtt else text
    assert outcome(text, "subtitles", by=str).text == text
    after = outcome(text, "subtitles", by=lambda _: " ".join(["wort"] * words), languages=("en", target)).text
    fixed = re.compile(r"^(?:\d+\n)?.*-->.*$|</?i>|\{[^}]*\}", re.MULTILINE)
    assert fixed.findall(after) == fixed.findall(text)
    blank = re.compile(r"\n\s*\n")
    assert len(blank.findall(after)) <= len(blank.findall(text))


@given(
    st.text("ab 。「」한가한{x}", min_size=1, max_size=40),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.sampled_from(["de", "ja"]),
)
def test_a_text_is_broken_without_loss(text: str, sizes: list[int], target: str) -> None:
    pieces = broken(text, sizes, Reading("en", target))
    assert len(pieces) == len(sizes)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert "".join(pieces).count("{x}") == text.count("{x}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello", 1),
        ("1\n00:00:01,000 --> 00:00:02,0000\na\n", 2),
        ("1\n00:00:01,000 --> 00:00\na\n", 2),
        ("1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:05,000 -> 00:00:06,000\nb\n", 6),
        ("1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:05,000 –> 00:00:06,000\nb\n", 6),
    ],
)
def test_what_has_no_times_is_refused(text: str, line: int) -> None:
    with pytest.raises(DataError, match=f"file, line {line}: is no time of a subtitle"):
        outcome(text, "subtitles")
