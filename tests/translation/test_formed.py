"""Pairs as they are trained on: masked, and a share once more in other forms, the same for one seed."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from s2s.errors import RecipeError
from s2s.tasks import load_recipe
from s2s.text.special import MASKS
from s2s.text.wordlist import WordTokenizer
from s2s.translation.data import PairSplit
from s2s.translation.encoded import EncodedPairs, encode_pairs
from s2s.translation.formed import augmented, masked, masked_share, with_forms
from s2s.translation.pairs import open_split
from s2s.translation.recipe import TranslationRecipe

WRITTEN = [(f"word {number} is here .", f"Wort {number} ist da .") for number in range(40)]
PAIRS = open_split(PairSplit(pairs=tuple(WRITTEN)), source="en", target="de", corpora=None)


def joined(folder: Path, seed: int = 1, **shares: float) -> EncodedPairs:
    every = [form for pair in WRITTEN for each in pair for form in (each, each.upper(), each.title())]
    words = WordTokenizer(sorted({word for line in every for word in line.split()}))
    encode = partial(encode_pairs, source=words, target=words, max_tokens=9, max_length_ratio=9.0, cache=folder)
    return augmented(encode(PAIRS), PAIRS, shares, seed, encode)


def test_each_epoch_has_all_pairs_and_other_ones_in_forms(tmp_path: Path) -> None:
    pairs = joined(tmp_path, capitals=0.25, unmarked=0.5)
    assert len(pairs) == 120
    assert pairs.rows is not None
    epochs = [pairs.rows(epoch) for epoch in range(30)]
    for rows in epochs:
        assert len(rows) == len(set(rows)) == 40 + 10 + 20
        assert set(range(40)) <= set(rows)
    assert set(np.concatenate(epochs)) == set(range(120))
    assert not np.array_equal(epochs[0], epochs[1])
    again, other = joined(tmp_path, capitals=0.25, unmarked=0.5), joined(tmp_path, seed=2, capitals=0.25, unmarked=0.5)
    assert again.rows is not None
    assert other.rows is not None
    assert np.array_equal(again.rows(7), epochs[7])
    assert not np.array_equal(other.rows(7), epochs[7])


def test_forms_stand_behind_the_pairs_as_they_are(tmp_path: Path) -> None:
    pairs, plain = joined(tmp_path, capitals=1.0), joined(tmp_path)
    assert plain.rows is None
    assert len(plain) == 40
    for row in range(40):
        assert pairs.source[row].tolist() == plain.source[row].tolist()
        assert len(pairs.target[40 + row]) == len(plain.target[row])
        assert pairs.target[40 + row].tolist() != plain.target[row].tolist()


def test_a_form_that_changes_no_line_is_left_out(tmp_path: Path) -> None:
    assert joined(tmp_path, small=0.5).rows is None


def test_masks_are_in_the_pairs_and_their_identity() -> None:
    found = masked(PAIRS, True)
    assert masked_share(found) == (30, 40)
    assert masked_share(PAIRS) == (0, 40)
    assert all(
        sum(letter in MASKS for letter in source) == (number > 9) for number, (source, _) in enumerate(found.read())
    )
    others = {masked(PAIRS, protect).identity for protect in (False, True, ("is",), ("here",))}
    assert len(others) == 4


def test_tokenizers_read_a_share_in_each_form() -> None:
    lines = list(with_forms(PAIRS, {"capitals": 0.5}).read())
    assert lines == list(with_forms(PAIRS, {"capitals": 0.5}).read())
    assert 50 < len(lines) < 70
    assert [line for line in lines if line[0] != line[0].upper()] == WRITTEN


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (['data.protect=["("]'], r"data.protect: must be regular expressions \(given '\(': missing \)"),
        (["data.source=tr", "data.augment={title = 0.1}"], r"augment: .* of tr are not .* leave out title"),
        (['data.protect=["x*"]'], r"data.protect: must be regular expressions that find something \(given 'x\*'\)"),
        (["data.augment.capitals=2"], r"data.augment.capitals: must be at most 1"),
        (["data.augment.upper=0.1"], r"data.augment.upper: unknown key"),
        (["decoding.copy_unknown=true"], r"decoding.copy_unknown: needs words or characters, and attention"),
    ],
)
def test_wrong_values_are_told(overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("phrasebook-en-ko", overrides)


def test_values_of_a_recipe() -> None:
    given = ['data.protect=["AB"]', "data.augment={small = 0.1}", "tokenizer.kind=words", "decoding.copy_unknown=true"]
    recipe = load_recipe("phrasebook-en-ko", given)
    assert isinstance(recipe, TranslationRecipe)
    assert recipe.data.protect == ("AB",)
    assert recipe.data.augment.shares == {"small": 0.1}
