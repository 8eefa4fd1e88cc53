"""Languages by their names: which have spaces between words, and between sentences."""

import pytest

from s2s.text.languages import spaces_sentences, uses_spaces


@pytest.mark.parametrize(
    ("names", "words", "sentences"),
    [
        ("en de_DE ko-KR Korean zh_Latn vi letters", True, True),
        ("zh zh-Hans zho_Hant Chinese ja jpn Japanese", False, False),
        ("th tha Thai km lo my bo", False, True),
    ],
)
def test_spaces_stand_between_words_or_sentences_alone(names: str, words: bool, sentences: bool) -> None:
    for name in names.split():
        assert (uses_spaces(name), spaces_sentences(name)) == (words, sentences), name
