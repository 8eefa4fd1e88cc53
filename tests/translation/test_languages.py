"""BLEU's tokenizer follows a language's name however it is written, and the references where they say otherwise."""

import pytest

from s2s.translation.languages import choose_tokenizer, tokenizer_of_name

CHINESE = ["我喜欢红色的房子。", "你好，世界！"]
JAPANESE = ["古い家が川の近くにある", "コーヒーを一杯ください"]
THAI = ["สวัสดีครับ", "ขอกาแฟหนึ่งแก้ว"]
ENGLISH = ["an old house stands near the river", "one coffee please"]
KOREAN = ["커피 한 잔 주세요", "좋은 아침이에요"]
WRITTEN = {"zh": CHINESE, "char": JAPANESE, "13a": ENGLISH}


@pytest.mark.parametrize(
    ("names", "tokenizer"),
    [
        ("zh ZH zh-Hans zh_CN zh_tw zho zho_Hans zho_Hant cmn cmn_Hans yue yue_Hant wuu chi cn chinese Chinese", "zh"),
        ("chinese_simplified Mandarin cantonese target_chinese zh.tok lzh", "zh"),
        ("ja ja_JP jpn jpn_Jpan japanese Japanese_text jp th tha tha_Thai thai lo lao lao_Laoo", "char"),
        ("km khm khm_Khmr khmer my mya mya_Mymr burmese bo bod_Tibt tibetan dz", "char"),
        ("de en deu eng deu_Latn english ko kor kor_Hang korean vi vie_Latn ru target y words zh_Latn zho_Latn", "13a"),
        ("en-TH de_ch zhang chinook", "13a"),
    ],
)
def test_names_and_codes(names: str, tokenizer: str) -> None:
    for name in names.split():
        assert tokenizer_of_name(name) == tokenizer, name
    assert tokenizer_of_name("Simplified Chinese") == tokenizer_of_name("Chinese (Traditional)") == "zh"
    assert tokenizer_of_name("") == "13a"


@pytest.mark.parametrize("name", ["zho_Hans", "chinese", "jpn", "japanese", "en", "target"])
def test_a_name_that_fits_its_references_is_no_doubt(name: str) -> None:
    tokenizer = tokenizer_of_name(name)
    assert choose_tokenizer(name, WRITTEN[tokenizer], "auto") == (tokenizer, "")


@pytest.mark.parametrize(
    ("name", "references", "tokenizer"),
    [
        ("target", CHINESE, "zh"),
        ("y", JAPANESE, "char"),
        ("column2", THAI, "char"),
        ("de", THAI, "char"),
        ("zh", ENGLISH, "13a"),
        ("zh", JAPANESE, "char"),
        ("thai", KOREAN, "13a"),
    ],
)
def test_references_in_another_script_decide_and_are_told_of(name: str, references: list[str], tokenizer: str) -> None:
    choice = choose_tokenizer(name, references, "auto")
    assert choice.tokenizer == tokenizer
    assert f"data.target is {name!r}, but " in choice.doubt
    assert f"(tok:{tokenizer}); if that is wrong, set evaluation.bleu_tokenizer" in choice.doubt


def test_what_has_no_other_script_is_no_doubt() -> None:
    assert choose_tokenizer("ja", ["日本", "東京"], "auto") == ("char", "")
    assert choose_tokenizer("zh", ["我用 Python and PyTorch", "GPU 很快"], "auto") == ("zh", "")
    assert choose_tokenizer("zh", ["1 2 3", ""], "auto") == ("zh", "")
    assert choose_tokenizer("ko", ["漢字 한국어 학교"], "auto") == ("13a", "")


def test_what_is_asked_for_is_taken() -> None:
    assert choose_tokenizer("zh", CHINESE, "intl") == ("intl", "")
    assert choose_tokenizer("de", ENGLISH, "char") == ("char", "")
