"""Units that follow a trait are found where there is one, and not where there is none."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from s2s import Generator
from s2s.corpus.sources import Source
from s2s.language import units
from s2s.language.model import build_language_model
from s2s.language.text import encode_text
from s2s.language.units import LEVELS, TRAITS, Unit, Watched, traits_of, units_of
from s2s.text.wordlist import CharacterTokenizer
from tests.small_language_runs import LINES, small_language_run

TEXT = 'He said "no (not now)."\nOh.\n\n"Never closed.\n\nAlice [sic!] and “Bob”.\n'


def marked(trait: str) -> str:
    """Characters of TEXT at which a trait holds, others as dots."""
    column = traits_of(TEXT)[:, list(TRAITS).index(trait)]
    return "".join(letter if holds else "·" for letter, holds in zip(TEXT, column, strict=True))


def test_traits_hold_where_their_rules_say() -> None:
    dots = "·" * 100
    assert marked("quotation") == f'{dots[:8]}"no (not now).{dots[:7]}"Never closed.\n{dots[:18]}“Bob{dots[:3]}'
    assert marked("bracket") == f"{dots[:12]}(not now{dots[:31]}[sic!{dots[:13]}"
    assert marked("capital") == f"He{dots[:22]}Oh{dots[:4]}Never{dots[:10]}Alice{dots[:13]}Bob{dots[:3]}"
    assert marked("sentence") == f'{dots[:21]}."\n{dots[:2]}.\n\n"{dots[:12]}.\n\n{dots[:10]}!] {dots[:9]}.\n'
    column = traits_of(TEXT)[:, list(TRAITS).index("line")]
    assert column[:3].tolist() == [1, 2, 3]
    assert column[TEXT.index("\n") :][:2].tolist() == [0, 1]


@pytest.mark.parametrize("quoted", ["„Wer?“", "„Kto?”", "»Wer?«", "«Qui ?»", "”Vem?”", "「誰?」", "“谁?”", '"Who?"'])
def test_quotation_marks_of_every_language(quoted: str) -> None:
    text = f"a {quoted} b\n« c\n\nd », e ” f"
    held = traits_of(text)[:, list(TRAITS).index("quotation")]
    assert "".join(letter for letter, holds in zip(text, held, strict=True) if holds) == quoted[:-1] + "« c\n"


def test_what_a_row_begins_in_is_known_from_the_text_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every row but the first, in a text whose quotations are longer than what is read before tokens count."""
    monkeypatch.setattr(units, "ROWS", 4)
    monkeypatch.setattr(units, "READ_BEFORE", 50)
    monkeypatch.setattr(units, "READ_TOKENS", 4 * 150)
    generator = Generator.load(small_language_run(tmp_path / "run", "characters"), device="cpu")
    plain = 'a cat "' + "the dog " * 40 + '" sat "' + "ran and a dog " * 40 + '" and sat\n'
    known = set("".join(LINES)) | {"\n"}
    generator.tokenizer = CharacterTokenizer([*sorted(known), '"'])
    text = encode_text(Source(lambda: iter([plain]), "1", "text"), generator.tokenizer, lines=False, cache=tmp_path)
    generator.model = build_language_model(generator.recipe.model, generator.tokenizer.vocabulary_size).eval()
    seen = units.watched(generator, text, generator.recipe, generator.tokenizer.token)
    column = list(TRAITS).index("quotation")
    size, whole = 150, traits_of(plain)
    begins = [row * ((len(plain) - 1) // 4) + 50 for row in range(4)]
    assert "".join(seen.texts) == "".join(plain[begin : begin + size] + units.SEAM for begin in begins)
    assert np.array_equal(seen.traits, np.concatenate([whole[begin : begin + size] for begin in begins]))
    assert 0 < seen.traits[:, column].mean() < 1


def test_a_token_has_the_traits_of_its_last_character() -> None:
    by_letter = traits_of(TEXT)
    tokens = [TEXT[at : at + 5] for at in range(0, len(TEXT), 5)]
    ends = [at + len(token.rstrip(" ")) - 1 for at, token in zip(range(0, len(TEXT), 5), tokens, strict=True)]
    assert np.array_equal(traits_of(tokens), by_letter[ends])
    words = ["The ", "cat ", " "]
    assert traits_of(words)[:, list(TRAITS).index("capital")].tolist() == [True, False, False]


def watched(follows: bool) -> Watched:
    random = np.random.default_rng(1)
    words = random.choice(['"so', 'it"', "is", "(was)", "Then.", "then", "and"], 900)
    texts = list(" ".join(words))[:3000]
    values = random.normal(size=(len(texts), 40)).astype(np.float32)
    traits = traits_of(texts)
    if follows:
        values[:, 17] -= 3 * traits[:, 0]
    return Watched(texts, traits, values)


def by_trait(units: list[Unit]) -> dict[str, Unit]:
    return {unit.trait: unit for unit in units}


def test_the_unit_that_follows_a_trait_is_found_with_its_sign_and_means() -> None:
    unit = by_trait(units_of(watched(True), 2, "cell"))["inside quotation marks"]
    assert unit.found
    assert unit.name == "cell 18 of layer 1"
    assert unit.correlation == pytest.approx(-0.83, abs=0.05)
    assert unit.means == pytest.approx((-3.0, 0.0), abs=0.15)
    assert len(unit.bounds) == LEVELS + 1
    # the lowest levels lie inside of the marks
    inside = traits_of([text for _, text in unit.drawn])[:, 0] > 0
    levels = np.array([level for level, _ in unit.drawn])
    assert levels[inside].mean() < 2 < 4 < levels[~inside].mean()
    assert "".join(text for _, text in unit.drawn) in "".join(watched(True).texts)
    assert all(one[0] != other[0] for one, other in pairwise(unit.drawn))


def test_noise_is_at_the_level_of_chance() -> None:
    units = units_of(watched(False), 1, "unit")
    assert {unit.trait for unit in units} == {name for name, _ in TRAITS.values()}
    assert not any(unit.found for unit in units)
    assert max(unit.chance for unit in units) < 0.2


def test_a_trait_that_a_text_lacks_has_no_unit() -> None:
    random = np.random.default_rng(1)
    texts = list("one line of small letters " * 20)
    seen = Watched(texts, traits_of(texts), random.normal(size=(len(texts), 4)).astype(np.float32))
    assert [unit.trait for unit in units_of(seen, 1, "unit")] == ["place in the line"]
