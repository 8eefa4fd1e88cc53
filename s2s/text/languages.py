"""Languages by their names: which write words without spaces, and which write sentences so."""

import re
from functools import lru_cache
from typing import Literal

CHINESE = (
    "zh zho chi zhs zht cn cmn yue wuu hak gan hsn lzh nan cdo cjy cpx czh czo mnp hans hant hani"
    " chinese mandarin cantonese"
)
"""ISO 639-1 and 639-3 codes, ISO 15924 scripts and English names."""
JAPANESE = "ja jp jpn jpan hira kana hrkt japanese"
SOUTHEAST_ASIAN_TIBETAN = (
    "th tha thai lo lao laoo laotian km khm khmr khmer cambodian"
    " my mya bur mymr burmese myanmar bo bod tib tibt tibetan dz dzo dzongkha"
)
"""Languages whose words have no spaces between them, and whose sentences or phrases do."""
SPACED_SCRIPTS = "latn cyrl arab grek hebr hang deva beng armn geor ethi taml telu knda mlym gujr guru"
"""Scripts that say, behind the code of a language, that words have spaces: pinyin is zh_Latn."""
HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d"
THAI_LAO_TIBETAN_BURMESE_KHMER = "\u0e01-\u0fff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff"
LETTERS_WITHOUT_SPACES = re.compile(f"[{HAN}{KANA}{THAI_LAO_TIBETAN_BURMESE_KHMER}]")
"""Letters of scripts in which words have no spaces between them."""
Writing = Literal["spaced", "chinese", "japanese", "phrases"]
"""How words stand: with spaces between them, in Chinese or Japanese without, or with spaces between phrases alone."""


@lru_cache(1000)
def writing(language: str) -> Writing:
    """How a language is written, by its code or English name, such as zh_cn, zho_Hans, jpn or "Simplified Chinese"."""
    names = parts_of(language)
    if set(SPACED_SCRIPTS.split()).intersection(names[1:]):
        return "spaced"
    # a code counts where it stands first, since others are countries; names and scripts count anywhere
    for name in [*names[:1], *(name for name in names[1:] if len(name) > 3)]:
        if name in CHINESE.split():
            return "chinese"
        if name in JAPANESE.split():
            return "japanese"
        if name in SOUTHEAST_ASIAN_TIBETAN.split():
            return "phrases"
    return "spaced"


def parts_of(language: str) -> list[str]:
    """The codes and names that a language's name holds, in small letters."""
    return [part for part in re.split(r"[\W\d_]+", language.lower()) if part]


def uses_spaces(language: str) -> bool:
    """Whether words have spaces between them; True for an unknown language."""
    return writing(language) == "spaced"


def spaces_sentences(language: str) -> bool:
    """Whether sentences have spaces between them, as they do in Thai."""
    return writing(language) not in ("chinese", "japanese")
