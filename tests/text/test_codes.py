"""Codes of languages as recipes and clients write them."""

import pytest

from s2s.text.codes import base, canonical, common_words, is_same, name_of, scripts_of


@pytest.mark.parametrize(
    ("written", "code"),
    [("en", "en"), ("EN-us", "en-US"), ("ko_KR", "ko-KR"), ("zh-hant", "zh-Hant"), ("English", "en"), ("deu", "de"),
     (" ja ", "ja"), ("letters", "letters"), ("simplified Chinese", "simplified chinese")],
)  # fmt: skip
def test_a_code_has_one_spelling(written: str, code: str) -> None:
    assert canonical(written) == code


def test_zh_is_zh_hans_and_pt_is_not_pt_br() -> None:
    assert is_same("zh", "ZH_hans")
    assert not is_same("zh", "zh-Hant")
    assert not is_same("pt", "pt-BR")
    assert base("pt-BR") == "pt"


def test_names_and_scripts() -> None:
    assert [name_of(code) for code in ("ko", "pt-BR", "letters")] == ["Korean", "Portuguese (BR)", "letters"]
    assert scripts_of("ko") == {"HANGUL"}
    assert scripts_of("de") == {"LATIN"}
    assert not scripts_of("letters")


def test_common_words_tell_languages_of_one_script_apart() -> None:
    text = "Where is the station, and what do you have?"
    assert common_words(text, "en") == 7 / 9
    assert common_words(text, "de") == 0
    assert common_words("", "en") == common_words(text, "letters") == 0
