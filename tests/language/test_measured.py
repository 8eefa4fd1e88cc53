"""Sizes of what is predicted, and the scores that they give, whatever the tokenizer's units are."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.jobs.evaluate import evaluate
from s2s.language.measured import Size, size_of
from s2s.language.recipe import TextFile
from s2s.language.scores import Predicted, score_text
from s2s.nn.weights import load_tensors, save_tensors
from s2s.run import RunFolder
from s2s.text.tokenizer import load_tokenizers
from s2s.text.wordlist import CharacterTokenizer
from tests.small_language_runs import KINDS, small_language_run


def result_of(run: Path, text: str) -> dict[str, Any]:
    (run.parent / "text.txt").write_text(text, encoding="utf-8")
    (result,) = evaluate([run], files=TextFile(file=str(run.parent / "text.txt")), device="cpu")
    return result


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("kind", "text", "characters", "size", "spelled"),
    [
        ("characters", "the caé\nsat", 10, 11, 3),  # t is given; é unknown
        ("words", "the  café\n\nsat ran\n", 16, 17, 6),  # the first word is given
        ("words", "café the\n", 5, 5, 0),  # and so is an unknown one
        ("words", "\nthe\n", 4, 4, 0),  # or the end of a line
        ("punctuation", "the, cat\n", 6, 6, 2),
        ("bytes", "the café\n", None, None, 0),
        ("subwords", "the é é\n", None, None, 6),
        ("lines", "the café\n\nsat", 14, 15, 6),  # nothing is given, and the last end is predicted too
        ("characters of lines", "the é\n", 6, 7, 3),
        ("every byte", "é caf\n", 5, 6, 0),  # the first byte is given, and é is one character
        ("every byte of lines", "é\n\nsat", 7, 8, 0),
        ("closed", "abc\na\n\ncc\n", 3, 3, 0),  # first symbols are given, ends left out
        ("closed stream", "a b\nc\n", 5, 5, 0),
    ],
)
def test_what_is_predicted_is_counted_as_it_stands(
    kind: str, text: str, characters: int | None, size: int | None, spelled: int, tmp_path: Path
) -> None:
    run = small_language_run(tmp_path / "run", kind)
    result = result_of(run, text)
    if characters is None:
        tokenizer = load_tokenizers(run)[0]
        characters = len(text) - len(tokenizer.decode(tokenizer.encode(text)[:1]))
        size = characters + len(text.encode()) - len(text)
    assert (result["characters"], result["bytes"]) == (characters, size)
    bits = result["nats"] / math.log(2)
    scores = {name: each["value"] for name, each in result["scores"].items()}
    assert scores["bits_per_character"] == pytest.approx(bits / characters)
    assert scores["bits_per_byte"] == pytest.approx(bits / size)
    assert scores.get("bits_per_byte_spelled", 0) == pytest.approx((bits + 8 * spelled) / size if spelled else 0)
    assert ("each byte of what is unknown" in score_text(result)) == bool(spelled)


def test_equal_probabilities_have_equal_bits_per_byte_whatever_the_units(tmp_path: Path) -> None:
    """Weights of zero give each token the same probability: a text has log2 V bits for each."""
    for kind in KINDS:
        run = small_language_run(tmp_path / kind.replace(" ", "-"), kind)
        tensors = load_tensors(RunFolder(run).best)
        save_tensors(RunFolder(run).best, {name: torch.zeros_like(tensor) for name, tensor in tensors.items()})
        result = result_of(run, "a b c a b\n" if "closed" in kind and kind != "closed" else "abcab\n" * 2)
        vocabulary = load_tokenizers(run)[0].vocabulary_size
        expected = result["examples"] * math.log2(vocabulary) / result["bytes"]
        assert result["scores"]["bits_per_byte"]["value"] == pytest.approx(expected, rel=1e-5)


def test_scores_depend_on_nats_and_bytes_and_not_on_tokens() -> None:
    size = Size(10, 12)
    few, many = (Predicted([20.0], [1], tokens, [0.0], 0).scores(size)[0] for tokens in (3, 9))
    assert few["bits_per_byte"] == many["bits_per_byte"] == 20 / math.log(2) / 12
    assert few["bits_per_character"] == many["bits_per_character"]
    assert few["nats_per_token"] == 3 * many["nats_per_token"]


@pytest.mark.parametrize("kind", ["characters", "words", "subwords", "lines"])
def test_known_and_unknown_tokens_add_up(kind: str, tmp_path: Path) -> None:
    result = result_of(small_language_run(tmp_path / "run", kind), "the é cat é\nsnake dog\n")
    known, unknown = result["known"], result["unknown"]
    assert unknown["tokens"] > 1
    assert unknown["nats"] > 0
    assert known["tokens"] + unknown["tokens"] == result["examples"]
    assert known["nats"] + unknown["nats"] == pytest.approx(result["nats"])
    assert result["nats"] == pytest.approx(result["examples"] * result["scores"]["nats_per_token"]["value"])
    said = f"{known['tokens']} known tokens at {known['nats_per_token']:.4f} nats, {unknown['tokens']} unknown tokens"
    assert said in score_text(result)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=6), max_size=4))
def test_pieces_of_a_text_add_up_to_it(pieces: list[str]) -> None:
    letters = CharacterTokenizer(list("abc\n "))
    total, begun = Size(), False
    for piece in pieces:
        tokens = letters.encode(piece)
        total = total.plus(size_of(letters, piece, tokens, lines=False, begins=bool(tokens) and not begun))
        begun = begun or bool(tokens)
    text = "".join(pieces)
    assert total[:2] == (max(len(text) - 1, 0), len(text[1:].encode()))


def test_a_lone_surrogate_is_counted() -> None:
    assert size_of(CharacterTokenizer(["a"]), "a\ud800", [4, 1], lines=False, begins=True) == (1, 3, 4)
