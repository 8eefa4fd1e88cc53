"""Placeables: what is one, and that masks bring each back once."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.placeables import Masked, invented, protection
from s2s.text.special import MASKS
from s2s.text.tokenizer import Tokenizer, train_tokenizers
from s2s.translation.recipe import PairTokenizer
from tests.small_runs import TOKENIZERS, phrases

PROTECTION = protection(True)
PIECES = ["201509776343383259310", "1,000", "3.5", "10:30", "2024-05-12", "+49-30-1234567", "12/05", "１２３", "$12.50",
          "99 €", "5%", "1 000 000", "$HOME_DIR", "Müller@web.de", "⏰", "{name}",
          "{{a.b}}", "%s", "${x}", "<b>", "</b>", "https://x.y/z?a=1", "a.b@c.de", "😀", "👩‍👩‍👧", "🇰🇷", "1️⃣", "❤️",
          "👍🏽", "☎️", MASKS[2]]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_is_found_whole_among_words(piece: str) -> None:
    for line in (f"One {piece} two", f"{piece}", f"It is {piece}.", f"방은 {piece}호", f"({piece})"):
        assert [line[start:end] for start, end in PROTECTION.spans(line)] == [piece]


@pytest.mark.parametrize(
    "text", ["I have 5", "A380", "21st", "the 1990s", "a1b2c3", "3D", "© 5 →", "漢字、「かな」", "don't", "x_12"]
)
def test_what_may_change_is_none(text: str) -> None:
    assert not PROTECTION.spans(text)


def test_own_patterns_stand_besides_the_defaults() -> None:
    found = protection((r"(?i)\bab-(\d)\1\b",)).spans("AB-22 and 4711")
    assert found == [(0, 5), (10, 14)]


@given(st.lists(st.sampled_from([*PIECES, "one", "?", " ", "5"]), max_size=12).map(" ".join))
def test_masks_bring_each_piece_back(line: str) -> None:
    masked = PROTECTION.masked(line)
    if masked is None:
        assert len(PROTECTION.spans(line)) > len(MASKS)
        return
    assert masked.keeps_all(masked.text)
    assert masked.filled(masked.text) == line
    assert not masked.keeps_all(masked.text + MASKS[0])
    if masked.pieces:
        assert not masked.keeps_all(masked.text.replace(MASKS[0], "", 1))
    assert PROTECTION.masked("5") == Masked("5")


@given(*[st.lists(st.sampled_from([*PIECES[:7], "{name}", "one", "5"]), max_size=7).map(" ".join)] * 2)
def test_a_pair_is_masked_where_both_sides_agree(source: str, target: str) -> None:
    counts = [Counter(text[slice(*span)] for span in PROTECTION.spans(text)) for text in (source, target)]
    agreed = {piece for piece in counts[0] if counts[0][piece] == counts[1][piece]}
    one, other = PROTECTION.masked_pair(source, target)
    found = [[letter for letter in text if letter in MASKS] for text in (one, other)]
    assert sorted(found[0]) == sorted(found[1])
    assert len(set(found[0])) == len(found[0]) == sum(counts[0][piece] for piece in agreed)
    back = dict(zip(found[0], (p for p in source.split() if p in agreed), strict=True))
    assert re.sub(f"[{''.join(MASKS)}]", lambda mask: back[mask[0]], other) == target


def test_a_translation_of_a_masked_line_has_its_masks_where_it_has_each_piece() -> None:
    read = PROTECTION.masked("room 12 at 10:30 and {x}")
    assert read is not None
    assert PROTECTION.masked_target(read, "{x} um 10:30, Zimmer 12") == f"{MASKS[2]} um {MASKS[1]}, Zimmer {MASKS[0]}"
    assert read.filled(PROTECTION.masked_target(read, "{x} 10:30 12")) == "{x} 10:30 12"
    assert PROTECTION.masked_target(read, "{x} um 10:30") == "{x} um 10:30"


def test_all_masks_are_learned_alike() -> None:
    pairs = [PROTECTION.masked_pair(f"room {number}", f"방 {number}") for number in range(10, 210)]
    assert {mask for source, _ in pairs for mask in source if mask in MASKS} == set(MASKS)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_masks_are_tokens_of_their_own(kind: str) -> None:
    settings = PairTokenizer(**TOKENIZERS[kind])
    pairs = [*phrases()[:1000], *[(f"My room is {mask} .", f"방은 {mask} 호") for mask in MASKS[:4]]]
    both: tuple[Tokenizer, ...] = train_tokenizers(
        settings, settings.joint, lambda: iter(pairs), symbols=(MASKS, MASKS)
    )
    for tokenizer, line in zip(
        both, (f"My room is {MASKS[0]} {MASKS[7]} .", f"방은 {MASKS[3]} {MASKS[6]}"), strict=True
    ):
        for tokens in (tokenizer.encode(line), *tokenizer.encode_sampled([line], 0.3, 1)):
            assert tokenizer.decode(tokens).replace(" ", "") == line.replace(" ", "")
            assert sum(tokenizer.token(token) in MASKS for token in tokens) == 2
            assert not tokenizer.lacks(tokens)


def test_what_an_output_invents_for_programs_is_told() -> None:
    assert invented("call {{city}} at 10", "{{name}} {{city}} {{city}} 99") == ("{{name}}", "{{city}}")
    assert invented("<b>a</b> %s", "%s <b>A</b> 😀") == ()
